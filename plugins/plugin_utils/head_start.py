"""Run a module in the host's Python that was started while this play was still being loaded.

Whoever runs the play names a folder in the environment (`FOLDER`). There lie `about`, a JSON object
that says what was started: key, folder, interpreter; and what leads to it and back: the FIFOs `in`
and `out`, and the file `err`. It serves one execution. Without it, or when it isn't what is wanted,
the module is run as ever. In any case the folder gets `key`, for the next run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import time
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

FOLDER = "NOVELLA_HEAD_START"
# It was started a while ago; where it isn't there by now, something is wrong with it.
READY_S = 5.0
READY = b"ready "
# The last line of what comes back; without it the connection was lost.
_ENDED = re.compile(rb"\nended ([0-9]{1,3})\n\Z")
_ENDED_MAX_BYTES = 12
OUTPUT_MAX_BYTES = 64 << 20
_PART_BYTES = 1 << 16


def run(wanted: dict[str, str], request: str) -> dict[str, Any] | None:
    """Return what the module said, {"rc", "stdout", "stderr", ...}; None when it was not run.

    `wanted` is what `about` must be. Raises AnsibleConnectionFailure when the connection was lost
    after the module had been given `request`.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    with contextlib.ExitStack() as stack:
        try:
            task, said = _ends(folder, wanted, stack)
            if not _is_ready(said, wanted["key"]):
                return None
            os.unlink(os.path.join(folder, "in"))
            _write(task, request.encode() + b"\n")
        except OSError:
            # The line was not whole, so nothing was done.
            return None
        return _answer(said, folder)


def note(key: str) -> None:
    """Say which archive the host has, for the next run's head start."""
    folder = os.environ.get(FOLDER)
    if folder:
        with contextlib.suppress(OSError), open(os.path.join(folder, "key"), "w") as file:
            file.write(key)


def _ends(folder: str, wanted: dict[str, str], stack: contextlib.ExitStack) -> tuple[int, int]:
    """Return the ends to write to and to read from. Raises OSError where there are none."""
    with open(os.path.join(folder, "about"), encoding="utf-8") as file:
        if json.load(file) != wanted:
            raise FileNotFoundError("what was started is something else")
    # Not to wait for whoever is dead already.
    task = os.open(os.path.join(folder, "in"), os.O_WRONLY | os.O_NONBLOCK)
    stack.callback(os.close, task)
    said = os.open(os.path.join(folder, "out"), os.O_RDONLY | os.O_NONBLOCK)
    stack.callback(os.close, said)
    os.set_blocking(task, True)
    return task, said


def _is_ready(said: int, key: str) -> bool:
    until = time.monotonic() + READY_S
    poll = select.poll()
    poll.register(said, select.POLLIN)
    text = b""
    # Some shells greet whoever comes.
    while len(text) < _PART_BYTES and (left := until - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            return False
        part = os.read(said, _PART_BYTES)
        text += part
        *lines, _ = text.split(b"\n")
        if READY + key.encode() in lines:
            return True
        if not part:
            return False
    return False


def _write(task: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(task, left) :]


def _answer(said: int, folder: str) -> dict[str, Any]:
    os.set_blocking(said, True)
    text = bytearray()
    ended = None
    # The session takes a moment longer to end than the module; of one that failed, all is wanted.
    while ended is None and (part := os.read(said, _PART_BYTES)):
        text += part
        ended = _ENDED.search(text, max(0, len(text) - _ENDED_MAX_BYTES))
        while ended and int(ended[1]) and os.read(said, _PART_BYTES):
            pass
        if len(text) > OUTPUT_MAX_BYTES:
            raise AnsibleActionFail(
                f"The host said more than is taken in: {len(text)} bytes, where "
                f"{OUTPUT_MAX_BYTES} are."
            )
    with open(os.path.join(folder, "err"), "rb") as file:
        stderr = file.read(OUTPUT_MAX_BYTES).decode(errors="replace")
    if ended is None:
        raise AnsibleConnectionFailure(f"The connection was lost in mid-run: {stderr.strip()}")
    out = text[: ended.start()].decode(errors="surrogateescape")
    return {
        "rc": int(ended[1]),
        "stdout": out,
        "stdout_lines": out.splitlines(),
        "stderr": stderr,
        "stderr_lines": stderr.splitlines(),
    }
