"""The action half of `novella.cloud.prefetched_image`: sends the image that the host lacks."""

from __future__ import annotations

from ansible_collections.novella.cloud.plugins.action import qcow2_disk


class ActionModule(qcow2_disk.ActionModule):
    _MODULE = "novella.cloud.prefetched_image"
