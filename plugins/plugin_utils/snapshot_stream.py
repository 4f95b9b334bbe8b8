"""Fetch a copy of a server's disk from its host, over the play's own connection.

The mirror of image_stream: chunk by chunk into a partial file on this side, so that nothing passes
through a module's arguments and no more than a chunk is in memory. What came before goes on where
it broke off: the partial file's name has the copy's checksum, so it can be no other's.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CHUNK_BYTES = 8 * 1024 * 1024
TRIES = 3
_SHA256 = re.compile("[0-9a-f]{64}")

Execute = Callable[[str], tuple[int, bytes, bytes]]


class FetchError(Exception):
    """The copy could not be fetched: what, why, and the way out."""


@dataclass(frozen=True)
class Target:
    """Where a copy is brought to on this side: of at most `max_bytes` (None: of any size), and with
    `reserve_bytes` of the disk left free.
    """

    path: str
    max_bytes: int | None
    reserve_bytes: int


def take_target(step: dict[str, Any]) -> Target | None:
    """Take what is for this side alone out of a step's arguments; None when nothing is fetched."""
    if str(step.get("module")).rpartition(".")[2] != "disk_snapshot":
        return None
    arguments = step.get("args") or {}
    path, reserve = arguments.pop("fetch_to", None), arguments.pop("fetch_reserve_bytes", None)
    if not path or arguments.get("state") == "absent":
        return None
    max_bytes = arguments.get("max_bytes")
    return Target(str(path), None if max_bytes is None else int(max_bytes), int(reserve or 0))


def of_result(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return what an item's result says of a copy that is to be fetched, if it has one."""
    for step in result.get("steps") or []:
        if isinstance(step, dict) and str(step.get("module")).endswith("disk_snapshot"):
            made = (step.get("result") or {}).get("snapshot")
            if isinstance(made, dict):
                return made
    return None


def fetch(execute: Execute, made: dict[str, Any], target: Target) -> dict[str, Any]:
    """Fetch the copy to its target; return its {"size_bytes", "md5", "sha256", "sha512"}.

    `execute(command)` runs a shell command on the host and returns (code, stdout, stderr). `made`
    is the host's word: path, size_bytes, sha256. Raises FetchError, and leaves what came for the
    next try unless it is wrong.
    """
    path, size, sha256 = made.get("path"), made.get("size_bytes"), str(made.get("sha256"))
    if not isinstance(path, str) or not isinstance(size, int) or not _SHA256.fullmatch(sha256):
        raise FetchError("The host did not say where its copy of the disk is.")
    if not os.path.isabs(target.path):
        raise FetchError(f"Cannot keep the copy at {target.path!r}: give an absolute path.")
    if target.max_bytes is not None and size > target.max_bytes:
        raise FetchError(f"The copy has {size} bytes, and {target.max_bytes} are taken.")
    part = f"{target.path}.{sha256[:32]}.part"
    for other in {*glob.glob(f"{glob.escape(target.path)}.*.part")} - {part}:
        os.unlink(other)
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        sums = _receive(execute, file, path, size, target.reserve_bytes)
        file.flush()
        os.fsync(file.fileno())
    if sums["sha256"] != sha256:
        os.unlink(part)
        raise FetchError("What came of the copy is not what the host has. Try again.")
    os.rename(part, target.path)
    return {"size_bytes": size, **sums}


def _receive(
    execute: Execute, file: Any, path: str, size: int, reserve_bytes: int
) -> dict[str, str]:
    sums = [hashlib.md5(usedforsecurity=False), hashlib.sha256(), hashlib.sha512()]
    have = 0
    while have < size and (chunk := file.read(CHUNK_BYTES)):
        have += len(chunk)
        for each in sums:
            each.update(chunk)
    file.truncate(size if have > size else have)
    failures = 0
    while have < size:
        disk = os.fstatvfs(file.fileno())
        if disk.f_bavail * disk.f_frsize - CHUNK_BYTES < reserve_bytes:
            raise FetchError("The image store is full. Delete images, or give it a larger disk.")
        wanted = min(CHUNK_BYTES, size - have)
        code, chunk, errors = execute(f"tail -c +{have + 1} {shlex.quote(path)} | head -c {wanted}")
        if code != 0 or len(chunk) != wanted:
            failures += 1
            if failures >= TRIES:
                why = errors.decode(errors="replace").strip() or f"{len(chunk)} of {wanted} bytes"
                raise FetchError(f"Cannot read {path} on the host: {why}")
            continue
        file.write(chunk)
        for each in sums:
            each.update(chunk)
        have += len(chunk)
    return dict(zip(("md5", "sha256", "sha512"), (each.hexdigest() for each in sums), strict=True))
