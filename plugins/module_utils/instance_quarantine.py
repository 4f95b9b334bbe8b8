"""Disks of deleted servers that a host still had: set aside for a day, then removed.

`instances/_quarantine/<server id>.<seconds since 1970>/` is the server's folder as it was found,
on the same filesystem, so that setting it aside is a rename. The time is in the name: a rename
keeps the folder's own times, and the host's clock is the one that counts.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from typing import Any

from . import work
from .instance_paths import STATE_PATH, InstancePaths, sync_directory

_NAME_RE = re.compile(rf"({work.UUID_RE.pattern})\.([0-9]{{1,12}})")
# Nobody but root looks into what tenants have left.
FOLDER_MODE = 0o700

ARGUMENT_SPEC: dict[str, Any] = {
    "older_than_s": {"type": "int", "default": 86400},
    "state_path": {"type": "path", "default": STATE_PATH},
}


@dataclass(frozen=True)
class Kept:
    """A folder in quarantine; `since` in seconds since 1970."""

    server_id: str
    since: int
    path: str


def folder(state_path: str) -> str:
    return os.path.join(InstancePaths(state_path).instances, "_quarantine")


def kept(state_path: str) -> list[Kept]:
    """Return what is in quarantine, oldest first; what has another kind of name is left alone."""
    try:
        found = os.listdir(folder(state_path))
    except FileNotFoundError:
        return []
    matches = [match for match in map(_NAME_RE.fullmatch, found) if match]
    entries = [
        Kept(match[1], int(match[2]), os.path.join(folder(state_path), match[0]))
        for match in matches
    ]
    return sorted(entries, key=lambda entry: (entry.since, entry.server_id))


def put_aside(server_id: str, path: str, state_path: str) -> str:
    """Move the server's folder `path` into quarantine, and return where it is now."""
    os.makedirs(folder(state_path), mode=FOLDER_MODE, exist_ok=True)
    since = int(time.time())
    while os.path.lexists(target := os.path.join(folder(state_path), f"{server_id}.{since}")):
        since += 1
    os.rename(path, target)
    sync_directory(folder(state_path))
    sync_directory(os.path.dirname(path))
    return target


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Remove what has been in quarantine for `older_than_s`; the module's work.

    Returns `changed`, `diff`, `removed` and `kept`, lists of {"server_id", "since"}. Raises
    WorkError when a folder can't be removed; the others are gone then, and a next run goes on.
    """
    if params["older_than_s"] < 0:
        raise work.WorkError(
            f"Refused to empty the quarantine: older_than_s is {params['older_than_s']}. Give 0 or "
            "more seconds."
        )
    now = time.time()
    entries = kept(params["state_path"])
    due = [entry for entry in entries if now - entry.since >= params["older_than_s"]]
    if not check_mode:
        for entry in due:
            _remove(entry)
    before = "".join(f"{entry.path}\n" for entry in entries)
    after = "".join(f"{entry.path}\n" for entry in entries if entry not in due)
    return {
        "changed": bool(due),
        "diff": [work.text_diff("quarantine", before, after)],
        "removed": [_described(entry) for entry in due],
        "kept": [_described(entry) for entry in entries if entry not in due],
    }


def _remove(entry: Kept) -> None:
    try:
        shutil.rmtree(entry.path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise work.WorkError(
            f"Cannot remove {error.filename or entry.path}: {error.strerror}. Run this again once "
            "the cause is gone."
        ) from error


def _described(entry: Kept) -> dict[str, Any]:
    return {"server_id": entry.server_id, "since": entry.since}
