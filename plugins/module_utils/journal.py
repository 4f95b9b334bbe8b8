"""The journal on the host: the result of each item that `apply` worked on.

A controller that lost its connection reads here what its run came to. One file for each
operation (or, by hand, for each server), replaced by the next result; the oldest go.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Any

from . import work

KEEP = 1000

_NAME_RE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


def folder(state_path: str) -> str:
    return os.path.join(state_path, "journal")


def entry_path(state_path: str, key: str) -> str:
    """Return the file of `key`: an operation's id, or a server's."""
    if not _NAME_RE.fullmatch(key):
        raise work.WorkError(
            f"Journal key {key!r} can't be a file name. Use letters, digits, '-' and '_'."
        )
    return os.path.join(folder(state_path), f"{key}.json")


def write(state_path: str, key: str, entry: dict[str, Any]) -> None:
    """Keep `entry` under `key`. Atomic. Raises WorkError when it can't be written."""
    os.makedirs(folder(state_path), mode=0o700, exist_ok=True)
    work.write_file(entry_path(state_path, key), json.dumps(entry, default=str), 0o600)


def read(state_path: str, key: str) -> dict[str, Any] | None:
    """Return the entry of `key`, or None when there is none that can be read."""
    text = work.read_file(entry_path(state_path, key))
    if text is None:
        return None
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def prune(state_path: str, keep: int = KEEP) -> None:
    """Remove all but the `keep` newest entries."""
    with contextlib.suppress(FileNotFoundError):
        with os.scandir(folder(state_path)) as found:
            entries = [entry for entry in found if entry.name.endswith(".json")]
        if len(entries) <= keep:
            return
        entries.sort(key=_age, reverse=True)
        for entry in entries[keep:]:
            work.remove_file(entry.path)


def _age(entry: os.DirEntry[str]) -> float:
    # Another run may prune at the same time.
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0
