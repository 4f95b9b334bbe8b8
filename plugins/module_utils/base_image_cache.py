"""Ageing of base images: those that no disk of the host stands on go after a time.

A base is removed under its own lock, which making a disk on it takes too (base_image.in_use): so
either the disk is there when we look, or its maker finds no base and has it made afresh.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Any

from . import base_image, image_inspection, instance_quarantine, names, work
from .instance_paths import STATE_PATH, InstancePaths

# Bases of images and formatted ones; and what a making that was cut short has left.
_BASE_RE = re.compile(r"[0-9a-f]{40}|(ephemeral_[a-z0-9]+|swap)_[0-9]+")
_PARTIAL_RE = re.compile(r"(?P<base>.+)\.(part|converted)")

ARGUMENT_SPEC: dict[str, Any] = {
    "older_than_s": {"type": "int", "default": 86400},
    "keep": {"type": "list", "elements": "str", "default": []},
    "state_path": {"type": "path", "default": STATE_PATH},
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Remove unused bases that were last used `older_than_s` ago; the module's work.

    Returns `changed`, `diff`, `removed` (names) and `freed_bytes`. A base that somebody is at work
    on is left for the next time.
    """
    paths = InstancePaths(params["state_path"])
    keep = {names.base_image_name(work.check_uuid(each, "image id")) for each in params["keep"]}
    removed: list[str] = []
    freed_bytes = 0
    before = _files(paths)
    for name in before:
        path = os.path.join(paths.base, name)
        if base_of(name) in keep or not _is_old(path, params["older_than_s"]):
            continue
        with contextlib.ExitStack() as stack:
            if not check_mode and not stack.enter_context(base_image.locked_if_free(path, paths)):
                continue
            # Again, now that nobody else can begin to use it; and all disks, each time: a host
            # has few bases, and one look for all of them would be old by the last.
            if not _is_old(path, params["older_than_s"]) or path in backing_files(paths):
                continue
            freed_bytes += os.stat(path).st_blocks * 512
            work.remove_file(path, check_mode)
            removed.append(name)
    left = [name for name in before if name not in removed]
    return {
        "changed": bool(removed),
        "diff": [work.text_diff(f"bases in {paths.base}", _lines(before), _lines(left))],
        "removed": removed,
        "freed_bytes": freed_bytes,
    }


def base_of(name: str) -> str:
    """Return the base that the file `name` is, or is a part of."""
    partial = _PARTIAL_RE.fullmatch(name)
    return partial["base"] if partial else name


def bases(paths: InstancePaths) -> list[str]:
    """Return the names of the bases that are there, without what is being made."""
    return [name for name in _files(paths) if _BASE_RE.fullmatch(name)]


def backing_files(paths: InstancePaths) -> set[str]:
    """Return the files that disks stand on, those in quarantine and half-made ones included.

    Raises WorkError for a disk whose header can't be read: what it stands on is not known, so no
    base may go.
    """
    found: set[str] = set()
    for folder in (paths.instances, instance_quarantine.folder(paths.state_path)):
        for path in _disks(folder):
            try:
                if image_inspection.detect_format(path) == "qcow2":
                    backing = image_inspection.read_qcow2_header(path).backing_file
                    found |= {backing} if backing else set()
            except FileNotFoundError:
                continue
    return found


def _disks(folder: str) -> list[str]:
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as servers:
        for server in servers:
            if server.name.startswith("_") or not server.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(FileNotFoundError), os.scandir(server.path) as files:
                found += [
                    file.path
                    for file in files
                    if file.name.startswith("disk") and file.is_file(follow_symlinks=False)
                ]
    return found


def _files(paths: InstancePaths) -> list[str]:
    try:
        found = sorted(os.listdir(paths.base))
    except FileNotFoundError:
        return []
    return [name for name in found if _BASE_RE.fullmatch(base_of(name))]


def _is_old(path: str, older_than_s: int) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime >= older_than_s
    except FileNotFoundError:
        return False


def _lines(found: list[str]) -> str:
    return "".join(f"{name}\n" for name in found)
