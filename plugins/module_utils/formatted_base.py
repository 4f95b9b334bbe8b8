"""Bases without an image: an empty filesystem or swap area, shared by all disks of that size.

`disk.local` and `disk.swap` back onto them, so a large ephemeral disk costs nothing until it is
written to. Made once for each host, kind and size; see base_image.py for locks and names.
"""

from __future__ import annotations

import os
import uuid

from . import work
from .base_image import (
    BaseFile,
    check_base,
    disk_work_slot,
    full_disk_explained,
    partial_files_removed,
    publish_base,
)
from .instance_paths import InstancePaths

# The first part of the base's name, and the formatter. A base that was lost is made again
# under disks that hold changes to it, so each must come out the same, byte for byte.
FORMATTERS = {
    "ext4": (
        "ephemeral_ext4",
        ["mkfs.ext4", "-q", "-F", "-L", "ephemeral0", "-U", "{uuid}", "-E", "hash_seed={uuid}"],
    ),
    "vfat": ("ephemeral_vfat", ["mkfs.vfat", "--invariant", "-n", "EPHEMERAL0"]),
    "swap": ("swap", ["mkswap", "-U", "{uuid}"]),
}
FORMAT_TIMEOUT_S = 600
# Honoured by e2fsprogs, for the times that it writes into the superblock.
SAME_TIME = {"E2FSPROGS_FAKE_TIME": "1700000000"}


def formatted_base_path(content: str, size_bytes: int, paths: InstancePaths) -> str:
    kind, _ = FORMATTERS[content]
    return os.path.join(paths.base, f"{kind}_{size_bytes >> 20}")


def size_of(path: str, content: str, paths: InstancePaths) -> int | None:
    """Return the size in bytes of the base named `path`, there or not; None for another path."""
    size_mb = path.rpartition("_")[2]
    if not size_mb.isdecimal():
        return None
    size_bytes = int(size_mb) << 20
    return size_bytes if path == formatted_base_path(content, size_bytes, paths) else None


def ensure_formatted(
    content: str, size_bytes: int, paths: InstancePaths, check_mode: bool, slots: int
) -> BaseFile:
    """Return the shared base of `content` (a key of FORMATTERS) and `size_bytes`, made if missing.

    Raises WorkError when the host's disk is full or the formatter fails.
    """
    path = formatted_base_path(content, size_bytes, paths)
    if not os.path.lexists(path):
        if check_mode:
            return BaseFile(path, size_bytes, made=True)
        paths.make_base_directories()
        with work.locked(os.path.join(paths.locks, os.path.basename(path))):
            if not os.path.lexists(path):
                _make(path, size_bytes, content, paths, slots)
                return BaseFile(path, check_base(path), made=True)
    found_bytes = check_base(path)
    if not check_mode:
        os.utime(path)
    return BaseFile(path, found_bytes, made=False)


def _make(path: str, size_bytes: int, content: str, paths: InstancePaths, slots: int) -> None:
    converted = path + ".converted"
    same_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:novella:base:{os.path.basename(path)}"))
    _, formatter = FORMATTERS[content]
    argv = [argument.format(uuid=same_id) for argument in formatter]
    with (
        partial_files_removed(converted),
        full_disk_explained(f"format {os.path.basename(path)}", path),
        disk_work_slot(paths, slots),
    ):
        with open(converted, "xb") as file:
            file.truncate(size_bytes)
        work.run_command([*argv, converted], timeout=FORMAT_TIMEOUT_S, environment=SAME_TIME)
        publish_base(converted, path)
