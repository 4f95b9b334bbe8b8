"""Send an image to a host over the play's own connection, into the base's partial file.

Only bytes go over; `qcow2_disk` on the host then checks, inspects and converts what has come.
Nothing passes through a module's arguments, and no more than a chunk is in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
from collections.abc import Callable
from typing import Any

CHUNK_BYTES = 8 * 1024 * 1024

# "present" when the base has come by another way, else "partial SIZE". Input is read to its end
# whatever happens: an SSH client whose data nobody reads reports a broken connection.
_SCRIPT = """\
if [ -e {base} ]; then cat >/dev/null; echo present
else umask 077; mkdir -p {folder} && {{ {write} || {{ code=$?; rm -f {part}; exit $code; }}; }} \
&& stat -c 'partial %s' {part}
fi"""


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
    "stderr"}. Goes on where an earlier run, or another one at the same time, has come to: each
    writes the same bytes at the same place. Stops when the base is there. Raises StreamError.
    """
    total = _source_size(source, image_id)
    base = base_path(state_path, image_id)
    offset = _write(execute, base, 0, b"")
    if offset is not None and offset > total:
        # Left by another content of the image.
        execute(f"cat >/dev/null; rm -f {shlex.quote(base + '.part')}", b"\n")
        offset = _write(execute, base, 0, b"")
    sent = 0
    with open(str(source), "rb") as file:
        while offset is not None and offset < total:
            file.seek(offset)
            chunk = file.read(CHUNK_BYTES)
            if not chunk:
                raise StreamError(
                    f"Cannot send image {image_id}: {source} shrank while it was read."
                )
            before, offset = offset, _write(execute, base, offset, chunk)
            sent += len(chunk)
            if offset is not None and offset <= before:
                raise StreamError(
                    f"Cannot send image {image_id}: the host's partial file stays at {offset} of "
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


def _write(
    execute: Callable[[str, bytes], dict[str, Any]], base: str, offset: int, chunk: bytes
) -> int | None:
    """Write `chunk` at `offset` of the partial file; return its size (None: the base is there)."""
    part = shlex.quote(f"{base}.part")
    # seek_bytes: after a broken chunk the offset is no multiple of a block.
    write = (
        f"dd of={part} bs=1M iflag=fullblock oflag=seek_bytes seek={offset} "
        "conv=notrunc status=none"
        if chunk
        else f"cat >/dev/null && : >>{part}"
    )
    script = _SCRIPT.format(
        base=shlex.quote(base),
        folder=shlex.quote(os.path.dirname(base)),
        part=part,
        write=write,
    )
    # Never without input: Ansible then asks for a terminal, and logins on one have things to say.
    done = execute(script, chunk or b"\n")
    words = str(done.get("stdout", "")).split()[-2:]
    if done.get("rc") != 0 or not words:
        why = str(done.get("stderr", "")).strip() or f"code {done.get('rc')}"
        raise StreamError(f"Cannot write {base}.part on the host: {why}")
    if words[-1] == "present":
        return None
    if words[0] == "partial" and words[-1].isdigit():
        return int(words[-1])
    raise StreamError(f"Cannot write {base}.part on the host: it answered {words!r}.")
