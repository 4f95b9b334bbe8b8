"""The base of an image before any server needs it: the work of `prefetched_image`."""

from __future__ import annotations

from typing import Any

from . import base_image, qcow2_disk, work
from .instance_paths import STATE_PATH, InstancePaths

ARGUMENT_SPEC: dict[str, Any] = {
    "base": {**qcow2_disk.ARGUMENT_SPEC["base"], "required": True},
    "state_path": {"type": "path", "default": STATE_PATH},
    "disk_work_slots": {"type": "int", "default": base_image.DISK_WORK_SLOTS},
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have the base of `base` on the host, and its age count from now; the module's work.

    Returns `changed`, `diff` and `base` {path, made}. Raises WorkError for an image that is not
    what it says or has no room, with `missing_base` when its bytes have yet to be brought.
    """
    paths = InstancePaths(params["state_path"])
    image = base_image.image_from(params["base"])
    path = base_image.path_of(image.image_id, paths)
    with base_image.in_use(path, paths, check_mode):
        base = base_image.ensure_image(image, paths, None, check_mode, params["disk_work_slots"])
    shown = f"format: raw\nsize_bytes: {base.virtual_size_bytes or 'as the image says'}\n"
    return {
        "changed": base.made,
        "diff": [work.text_diff(f"base {path}", "", shown)] if base.made else [],
        "base": {"path": path, "made": base.made},
    }
