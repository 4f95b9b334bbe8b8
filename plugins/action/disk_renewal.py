"""The action half of `novella.cloud.disk_renewal`: sends the image when the host has no base."""

from __future__ import annotations

from ansible_collections.novella.cloud.plugins.action import qcow2_disk


class ActionModule(qcow2_disk.ActionModule):
    _MODULE = "novella.cloud.disk_renewal"
