"""Damaged base images: found by their content, and removed where no disk stands on them.

One that a disk stands on is left and reported: the guest has read from it, and to take it away
would stop the guest. One that was removed is sent again by `image_prefetch`, or when a server needs
it; a formatted one is made again.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from . import base_image, base_image_cache, base_image_sums, work
from .instance_paths import STATE_PATH, InstancePaths

ARGUMENT_SPEC: dict[str, Any] = {
    "repair": {"type": "bool", "default": True},
    "state_path": {"type": "path", "default": STATE_PATH},
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Compare all bases with what they were made as, and remove damaged ones; the module's work.

    Returns `changed`, `diff` and `bases`: {checked: number, unknown, removed, damaged: names}. A
    base is `unknown` when nobody noted what it was made as; `damaged` are those that stay.
    """
    paths = InstancePaths(params["state_path"])
    before = base_image_cache.bases(paths)
    found: dict[str, Any] = {"checked": 0, "unknown": [], "removed": [], "damaged": []}
    for name in before:
        path = os.path.join(paths.base, name)
        wanted = base_image_sums.recorded(path)
        if wanted is None:
            found["unknown"].append(name)
            continue
        with base_image.disk_work_slot(paths) if not check_mode else contextlib.nullcontext():
            damaged = _is_damaged(path, wanted)
        found["checked"] += damaged is not None
        if damaged:
            removed = params["repair"] and _remove(path, paths, check_mode)
            found["removed" if removed else "damaged"].append(name)
    left = [name for name in before if name not in found["removed"]]
    return {
        "changed": bool(found["removed"]),
        "diff": [work.text_diff(f"bases in {paths.base}", _lines(before), _lines(left))],
        "bases": found,
    }


def _is_damaged(path: str, wanted: str) -> bool | None:
    """Return whether the content is another than `wanted`; None when the base is gone by now."""
    try:
        return base_image_sums.content_sum(path) != wanted
    except FileNotFoundError:
        return None


def _remove(path: str, paths: InstancePaths, check_mode: bool) -> bool:
    """Remove a damaged base unless a disk stands on it, or is being made on it."""
    if check_mode:
        return path not in base_image_cache.backing_files(paths)
    with base_image.locked_if_free(path, paths) as free:
        # Looked at again under the lock: somebody may have made it afresh since.
        if not free or path in base_image_cache.backing_files(paths):
            return False
        wanted = base_image_sums.recorded(path)
        if wanted is None or not _is_damaged(path, wanted):
            return False
        work.remove_file(path)
    return True


def _lines(found: list[str]) -> str:
    return "".join(f"{name}\n" for name in found)
