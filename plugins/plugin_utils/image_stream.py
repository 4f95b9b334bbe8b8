"""Send an image to a host over the play's own connection, into the base's partial file.

Only bytes go over; `qcow2_disk` on the host then checks, inspects and converts what has come.
Nothing passes through a module's arguments, and no more than a chunk is in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shlex
import time
from collections.abc import Callable
from typing import Any

CHUNK_BYTES = 8 * 1024 * 1024
# A sender that has not been heard of for so long is taken for gone; by the host's own clock.
SENDER_LOST_S = 15
POLL_S = 1.0

# Says "present" when the base is there, "partial SIZE" when the caller is the one that sends, and
# "busy SIZE" when another does: several runs, or controllers, may want the same new image at once.
# Input is read to its end whatever happens: an SSH client whose data nobody reads reports a broken
# connection.
_SCRIPT = """\
if [ -e {base} ]; then cat >/dev/null; echo present; exit; fi
umask 077; mkdir -p {locks} || {{ code=$?; cat >/dev/null; exit $code; }}
size=$(stat -c %s {part} 2>/dev/null || echo 0)
now=$(date +%s); heard=$(stat -c %Y {sender} 2>/dev/null || echo $now)
if (set -C; echo {token} >{sender}) 2>/dev/null || [ "$(cat {sender} 2>/dev/null)" = {token} ] ||
{{ [ $((now - heard)) -ge {lost_s} ] && echo {token} >{sender}; }}
then {{ {write} || {{ code=$?; rm -f {part} {sender}; exit $code; }}; }}
size=$(stat -c %s {part}) || exit
if [ $size -ge {total} ]; then rm -f {sender}; else touch {sender}; fi; echo partial $size
else cat >/dev/null; echo busy $size; fi"""


class StreamError(Exception):
    """The image could not be sent: what, why, and the way out."""


def base_path(state_path: str, image_id: str) -> str:
    """Return where a host keeps the base of an image (the name is Nova's: SHA-1 of the id)."""
    name = hashlib.sha1(image_id.encode(), usedforsecurity=False).hexdigest()
    return os.path.join(state_path, "instances", "_base", name)


def take_source(step: dict[str, Any]) -> dict[str, str]:
    """Take `base.stream_from`, which is for this side alone, out of a step's arguments.

    Returns {image id: path}, empty when the step names no such file. Fills in `base.size_bytes`,
    by which the host knows when all has come.
    """
    base = (step.get("args") or {}).get("base")
    source = base.pop("stream_from", None) if isinstance(base, dict) else None
    if not source:
        return {}
    if base.get("size_bytes") is None:
        # A wrong path is told when the host asks for the file, not when it has the base already.
        with contextlib.suppress(OSError):
            base["size_bytes"] = os.stat(source).st_size
    return {str(base.get("image_id")): str(source)}


def send(
    execute: Callable[[str, bytes], dict[str, Any]],
    source: str | None,
    image_id: str,
    state_path: str,
) -> int:
    """Send `source` to `<base>.part` on the host; return how many bytes this run sent.

    `execute(command, input)` runs a shell command on the host and returns {"rc", "stdout",
    "stderr"}. Goes on where an earlier run has come to. While another run sends the image, this one
    waits, and takes over when that is lost. Stops when the base is there. Raises StreamError.
    """
    total = _source_size(source, image_id)
    base = base_path(state_path, image_id)
    part = _Part(execute, base, total)
    size = part.write(0, b"")
    if size is not None and size > total and part.is_mine:
        # Left by another content of the image.
        execute(f"cat >/dev/null; rm -f {shlex.quote(base + '.part')}", b"\n")
        size = part.write(0, b"")
    sent = 0
    with open(str(source), "rb") as file:
        while size is not None and size < total:
            if not part.is_mine:
                time.sleep(POLL_S)
                size = part.write(0, b"")
                continue
            file.seek(size)
            chunk = file.read(CHUNK_BYTES)
            if not chunk:
                raise StreamError(
                    f"Cannot send image {image_id}: {source} shrank while it was read."
                )
            before, size = size, part.write(size, chunk)
            sent += len(chunk)
            if part.is_mine and size is not None and size <= before:
                raise StreamError(
                    f"Cannot send image {image_id}: the host's partial file stays at {size} of "
                    f"{total} bytes. Remove {base}.part there and try again."
                )
    return sent


def _source_size(source: str | None, image_id: str) -> int:
    if not source:
        raise StreamError(
            f"The host has no base of image {image_id}, and image.path does not say which file "
            "here to send. Give it, or put the base on the host."
        )
    if not os.path.isabs(source):
        raise StreamError(
            f"Cannot send image {image_id}: image.path is {source!r}; give an absolute path."
        )
    try:
        return os.stat(source).st_size
    except OSError as error:
        raise StreamError(
            f"Cannot send image {image_id}: {source} can't be read here ({error.strerror}). Put "
            "the file there, or give image.path its right place."
        ) from error


class _Part:
    """The partial file on the host, of which one run at a time is the sender."""

    def __init__(
        self, execute: Callable[[str, bytes], dict[str, Any]], base: str, total: int
    ) -> None:
        self.is_mine = False
        self._execute = execute
        self._base = base
        folder, name = os.path.split(base)
        self._names = {
            "base": shlex.quote(base),
            "part": shlex.quote(f"{base}.part"),
            "locks": shlex.quote(f"{folder}/locks"),
            "sender": shlex.quote(f"{folder}/locks/{name}.sender"),
            "token": secrets.token_hex(8),
            "lost_s": SENDER_LOST_S,
            "total": total,
        }

    def write(self, offset: int, chunk: bytes) -> int | None:
        """Write `chunk` at `offset`, if this run sends; return the size then (None: all is there).

        `is_mine` is whether this run sends from now on.
        """
        # seek_bytes: after a broken chunk the offset is no multiple of a block.
        write = (
            f"dd of={self._names['part']} bs=1M iflag=fullblock oflag=seek_bytes seek={offset} "
            "conv=notrunc status=none"
            if chunk
            else f"cat >/dev/null && : >>{self._names['part']}"
        )
        script = _SCRIPT.format(**self._names, write=write)
        # Never without input: Ansible then asks for a terminal, and logins on one have things to
        # say.
        done = self._execute(script, chunk or b"\n")
        words = str(done.get("stdout", "")).split()[-2:]
        if done.get("rc") != 0 or not words:
            why = str(done.get("stderr", "")).strip() or f"code {done.get('rc')}"
            raise StreamError(f"Cannot write {self._base}.part on the host: {why}")
        if words[-1] == "present":
            return None
        if words[0] in ("partial", "busy") and words[-1].isdigit():
            self.is_mine = words[0] == "partial"
            return int(words[-1])
        raise StreamError(f"Cannot write {self._base}.part on the host: it answered {words!r}.")
