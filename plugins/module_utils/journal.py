"""The journal on the host: the result of each item that `apply` worked on.

A run that lost its connection, or the successor of a killed one, finds here what it came to, and
`apply` does not do again what is done. One file for each operation (or, by hand, for each server),
replaced by the next result; the oldest go.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from typing import Any

from . import item_stream, work

KEEP = 1000
# Of entries, and of the results in them. One without it is of before there were numbers, and like
# the first; one of a newer release says nothing here, and its steps are done again.
FORMAT_VERSION = 1
# What an entry has of the item's result; the rest says whose it is.
RESULT = ("id", "changed", "failed", "msg", "steps")
# Streams whose run ended before it opened them.
STALE_STREAM_S = 24 * 3600

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


def done_before(
    state_path: str, item: dict[str, Any], steps_file: str, last_generation: int | None
) -> dict[str, Any] | None:
    """Return the result of `item` that an earlier run of its operation came to, if it stands.

    It stands when it succeeded with the same steps, and when no run but this one has touched the
    server since: `last_generation` is the one that its fence held before. A failure doesn't: it may
    go well this time, and the earlier run has taken back what it made.
    """
    if not item["operation_id"] or last_generation is None:
        return None
    entry = read(state_path, item["operation_id"])
    if entry is None or entry.get("failed") is not False:
        return None
    if entry.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
        return None
    known = (entry.get("id"), entry.get("steps_file"), entry.get("generation"))
    if known != (item["id"], steps_file, last_generation):
        return None
    found = {name: entry[name] for name in RESULT if name in entry}
    return {**found, "format_version": FORMAT_VERSION, "done_before": True}


def prune(state_path: str, keep: int = KEEP) -> None:
    """Remove all but the `keep` newest entries."""
    with contextlib.suppress(FileNotFoundError):
        with os.scandir(folder(state_path)) as found:
            everything = list(found)
        for entry in everything:
            if entry.name.endswith(item_stream.SUFFIX) and _age(entry) < time.time() - (
                STALE_STREAM_S
            ):
                work.remove_file(entry.path)
        entries = [entry for entry in everything if entry.name.endswith(".json")]
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
