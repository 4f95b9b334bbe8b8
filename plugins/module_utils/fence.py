"""The fence on the host: which run may change a server.

Killing an SSH client does not end the remote command, so an old run may still be at work when its
successor arrives. Two things keep them apart:

- `fence/<server>.json` records the highest generation that was seen and the cloud that owns the
  server. A run records its generation *before* it waits for the lock, so that the old run sees at
  its next step that it has been succeeded, and stops.
- `fence/<server>.lock` is held (flock) while a run works on the server. A successor changes
  nothing before it holds it.

A run whose connection is gone stops at its next step by itself, with no successor yet: nobody is
there to be told what it does.

The record is replaced atomically, which a file under flock can't be (the lock would stay with the
old inode): hence two files. Both stay after the server is deleted; they are tiny, and a late run
of a deleted server must still be refused.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import work

# The owner that a run by hand gives when it was told no other.
NO_CLOUD = "00000000-0000-0000-0000-000000000000"

RECORD_LOCK_TIMEOUT_S = 30.0
STDOUT = 1

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True},
    "owner": {"type": "str", "default": NO_CLOUD},
    "generation": {"type": "int"},
    "override": {"type": "bool", "default": False},
    "lock_timeout_s": {"type": "int", "default": 180},
    "state_path": {"type": "path", "default": "/var/lib/novella"},
}


class FenceError(work.WorkError):
    """The run may not touch this server (any more). Nothing is undone: another run owns it."""


@dataclass(frozen=True)
class Claim:
    """What a run says of itself. `generation` is None for a run by hand."""

    server_id: str
    owner: str = NO_CLOUD
    generation: int | None = None
    override: bool = False


@dataclass(frozen=True)
class Record:
    """What stands on the host for a server; a run goes on only while it stays as it was."""

    owner: str
    generation: int | None


def folder(state_path: str) -> str:
    return os.path.join(state_path, "fence")


def record_path(state_path: str, server_id: str) -> str:
    return os.path.join(folder(state_path), f"{work.check_uuid(server_id, 'server id')}.json")


def lock_path(state_path: str, server_id: str) -> str:
    return os.path.join(folder(state_path), f"{work.check_uuid(server_id, 'server id')}.lock")


def read(state_path: str, server_id: str) -> Record | None:
    """Return the record of a server, or None when no run has touched it here.

    Raises FenceError when the record can't be understood: guessing could let two runs in.
    """
    path = record_path(state_path, server_id)
    text = work.read_file(path)
    if text is None:
        return None
    try:
        entry = json.loads(text)
        generation = entry["generation"]
        return Record(str(entry["owner"]), None if generation is None else int(generation))
    except (ValueError, KeyError, TypeError) as error:
        raise FenceError(
            f"Refused to touch server {server_id}: its fence {path} can't be read ({error}). "
            "Make sure that no run is at work on the server, then remove that file."
        ) from error


def claim(state_path: str, wish: Claim, check_mode: bool = False) -> Record:
    """Record the run's generation and owner, and return the record that now stands.

    Raises FenceError for a generation lower than the recorded one, or another owner.
    """
    return succeed(state_path, wish, check_mode)[1]


def succeed(state_path: str, wish: Claim, check_mode: bool = False) -> tuple[Record | None, Record]:
    """Do as `claim` does; return the record that stood before too."""
    if check_mode:
        present = read(state_path, wish.server_id)
        return present, _merge(present, wish)
    # One short lock for all servers: it is held for a read and a write of a hundred bytes.
    with work.locked(os.path.join(folder(state_path), "record.lock"), RECORD_LOCK_TIMEOUT_S):
        present = read(state_path, wish.server_id)
        wanted = _merge(present, wish)
        if wanted != present:
            _write(record_path(state_path, wish.server_id), wanted)
    return present, wanted


def hand_over(state_path: str, server_id: str, owner: str) -> None:
    """Give the server to the cloud `owner`, as the last thing of a run that had it.

    The generation stays: what is late of earlier runs is refused as before.
    """
    with work.locked(os.path.join(folder(state_path), "record.lock"), RECORD_LOCK_TIMEOUT_S):
        present = read(state_path, server_id)
        if present is not None and present.owner != owner:
            _write(record_path(state_path, server_id), Record(owner, present.generation))


def _merge(present: Record | None, wish: Claim) -> Record:
    """Return the record as it should be once `wish` is let in; FenceError when it is not."""
    if present is None:
        return Record(wish.owner, wish.generation)
    if wish.override:
        # By hand over a controller's server: the record stays the controller's, whose next
        # operation must not be refused.
        return Record(present.owner, _highest(present.generation, wish.generation))
    if present.owner not in (wish.owner, NO_CLOUD):
        raise FenceError(
            f"Refused to touch server {wish.server_id}: cloud {present.owner} owns it, and this "
            f"run is for cloud {wish.owner}. Ask that cloud's controller to do it, or say "
            "-e server_override_owner=true.",
            owner=present.owner,
        )
    if None not in (wish.generation, present.generation) and wish.generation < present.generation:
        raise FenceError(
            f"Refused to touch server {wish.server_id}: generation {wish.generation} has been "
            f"succeeded by {present.generation}. A newer run of this server is under way or done.",
            generation=present.generation,
        )
    return Record(wish.owner, _highest(present.generation, wish.generation))


def _highest(first: int | None, second: int | None) -> int | None:
    known = [generation for generation in (first, second) if generation is not None]
    return max(known, default=None)


def _write(path: str, record: Record) -> None:
    text = json.dumps({"generation": record.generation, "owner": record.owner}) + "\n"
    try:
        work.write_file(path, text, 0o600)
    except work.WorkError as error:
        if error.details.get("errno") != errno.ENOSPC or not os.path.exists(path):
            raise
        # A full disk must not keep a server from being deleted, which would free it. The file
        # has its block already, so write in place; blanks at the end are no matter to JSON.
        with open(path, "r+", encoding="utf-8") as file:
            file.write(text.ljust(os.path.getsize(path)))
            file.flush()
            os.fsync(file.fileno())


def look_again(state_path: str, server_id: str, mine: Record) -> None:
    """Raise FenceError when the record is no longer the one that `claim` returned."""
    now = read(state_path, server_id)
    if now == mine:
        return
    # A record that is gone was removed by a person; stopping is the careful choice.
    newer = "no record" if now is None else f"generation {now.generation} of cloud {now.owner}"
    raise FenceError(
        f"Stopped before the next step on server {server_id}: the fence now holds {newer}, and "
        f"this run has generation {mine.generation}. A newer run has taken the server over.",
        generation=None if now is None else now.generation,
    )


def look_for_starter(server_id: str) -> None:
    """Raise FenceError when nobody reads what this process says any more: its connection is gone.

    The end of ssh, or of the whole controller, does not end what it started here; sshd closes the
    other end of our output, though.
    """
    poll = select.poll()
    poll.register(STDOUT, 0)
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
        raise FenceError(
            f"Stopped before the next step on server {server_id}: the connection of this run is "
            "gone. Its successor goes on from here."
        )


@contextlib.contextmanager
def held(state_path: str, server_id: str, timeout_s: float) -> Iterator[None]:
    """Hold the server's lock. Raises FenceError when another run keeps it past `timeout_s`."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(work.locked(lock_path(state_path, server_id), timeout_s))
        except work.WorkError as error:
            raise FenceError(
                f"Refused to touch server {server_id}: another run has been at work on it for "
                f"{timeout_s:g} s. It stops at its next step; run this again then.",
                locked=True,
            ) from error
        yield


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Claim a server, and wait until no other run is at work on it (module `server_fence`).

    This is for steps that run as tasks of their own, where no process lives long enough to hold
    the lock. Result: {"changed", "diff", "generation", "owner"}.
    """
    state_path, server_id = params["state_path"], params["server_id"]
    before = read(state_path, server_id)
    wish = Claim(server_id, params["owner"], params["generation"], params["override"])
    after = claim(state_path, wish, check_mode)
    if not check_mode:
        with held(state_path, server_id, params["lock_timeout_s"]):
            look_again(state_path, server_id, after)
    return {
        "changed": before != after,
        "diff": work.text_diff(
            record_path(state_path, server_id), _as_text(before), _as_text(after)
        ),
        "generation": after.generation,
        "owner": after.owner,
    }


def _as_text(record: Record | None) -> str:
    if record is None:
        return ""
    return f"generation: {record.generation}\nowner: {record.owner}\n"
