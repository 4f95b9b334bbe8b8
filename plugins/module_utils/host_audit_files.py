"""What lies in a host's `state_path`: servers' folders, bases, networks, fences, the journal.

Everything here is read while others write: what goes away between two looks is left out.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from . import fence, image_inspection, instance_quarantine, journal, work
from .instance_paths import InstancePaths


def folders(state_path: str) -> list[dict[str, Any]]:
    """Return what is in `instances` beside the bases: name, the server if it is one's, files."""
    found = []
    for entry in _entries(InstancePaths(state_path).instances):
        if entry.name.startswith("_") or not entry.is_dir(follow_symlinks=False):
            continue
        server_id = entry.name[:36]
        found.append(
            {
                "name": entry.name,
                "server_id": server_id if work.UUID_RE.fullmatch(server_id) else None,
                "files": [_file(each) for each in _entries(entry.path)],
            }
        )
    return found


def _file(entry: os.DirEntry[str]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": entry.name, "size_bytes": 0, "allocated_bytes": 0}
    with contextlib.suppress(OSError, work.WorkError):
        status = entry.stat(follow_symlinks=False)
        described["size_bytes"] = status.st_size
        described["allocated_bytes"] = status.st_blocks * 512
        if entry.name.startswith("disk") and image_inspection.detect_format(entry.path) == "qcow2":
            backing = image_inspection.read_qcow2_header(entry.path).backing_file
            described["backing_file"] = backing
            described["backing_is_there"] = backing is None or os.path.isfile(backing)
    return described


def quarantine(state_path: str) -> list[dict[str, Any]]:
    """Return the folders in quarantine: server_id, since (seconds since 1970), bytes on the disk.

    See instance_quarantine.
    """
    return [
        {
            "server_id": kept.server_id,
            "since": kept.since,
            "allocated_bytes": sum(_file(each)["allocated_bytes"] for each in _entries(kept.path)),
        }
        for kept in instance_quarantine.kept(state_path)
    ]


def bases(state_path: str) -> list[dict[str, Any]]:
    """Return the files in `_base`: name, size_bytes, age_s since the last use."""
    found = []
    for entry in _entries(InstancePaths(state_path).base):
        with contextlib.suppress(OSError):
            if entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                age_s = max(0, int(time.time() - status.st_mtime))
                found.append({"name": entry.name, "size_bytes": status.st_size, "age_s": age_s})
    return found


def networks(state_path: str) -> list[str]:
    """Return the ids of the networks that have a folder."""
    return [entry.name for entry in _networks(state_path)]


def dhcp_hosts(state_path: str) -> list[dict[str, Any]]:
    """Return the reservations: network_id, port_id, lines."""
    return [
        {
            "network_id": network.name,
            "port_id": entry.name,
            "lines": (work.read_file(entry.path) or "").splitlines(),
        }
        for network in _networks(state_path)
        for entry in _entries(os.path.join(network.path, "dhcp-hosts"))
        if work.UUID_RE.fullmatch(entry.name)
    ]


def metadata(state_path: str) -> list[dict[str, Any]]:
    """Return what is served: network_id and address; never the documents, which hold secrets."""
    return [
        {"network_id": network.name, "address": entry.name.removesuffix(".json")}
        for network in _networks(state_path)
        for entry in _entries(os.path.join(network.path, "metadata"))
        if entry.name.endswith(".json")
    ]


def fences(state_path: str) -> list[dict[str, Any]]:
    """Return the fence records: server_id, owner, generation; owner None when it can't be read."""
    found = []
    for entry in _entries(fence.folder(state_path)):
        server_id = entry.name.removesuffix(".json")
        if entry.name == server_id or not work.UUID_RE.fullmatch(server_id):
            continue
        record: fence.Record | None = None
        with contextlib.suppress(work.WorkError):
            record = fence.read(state_path, server_id)
        found.append(
            {
                "server_id": server_id,
                "owner": record.owner if record else None,
                "generation": record.generation if record else None,
            }
        )
    return found


def journal_entries(state_path: str) -> list[str]:
    """Return the keys of the journal: ids of operations, or of servers by hand."""
    return [
        entry.name.removesuffix(".json")
        for entry in _entries(journal.folder(state_path))
        if entry.name.endswith(".json") and not entry.name.startswith(".")
    ]


def _networks(state_path: str) -> Iterator[os.DirEntry[str]]:
    for entry in _entries(os.path.join(state_path, "networks")):
        if work.UUID_RE.fullmatch(entry.name):
            yield entry


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """Return what is in `folder` by name; nothing when it is not there."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
