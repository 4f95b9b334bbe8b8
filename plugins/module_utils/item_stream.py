"""Items' results on their way to the controller while the batch goes on.

`apply` writes each result as a line of JSON into a FIFO that the run's action plugin reads by a
session of its own on the play's connection. With no reader nothing is written: results are all in
the module's answer too, and in the journal. A FIFO, because its reader sees the end however the
module ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import threading
import time
from typing import Any

from . import work

SUFFIX = ".fifo"
# A reader that takes nothing for this long has lost its connection.
STALLED_S = 2.0

_NAME_RE = re.compile(r"[0-9a-f]{8,64}")


def path(folder: str, name: str) -> str:
    """Return the FIFO of the stream `name`, which is random hexadecimal."""
    if not _NAME_RE.fullmatch(name):
        raise work.WorkError(f"Stream name {name!r} can't be a file name. Use hexadecimal digits.")
    return os.path.join(folder, name + SUFFIX)


class ItemStream:
    """The module's end of a stream; without a name it sends nothing. Threads may share it."""

    def __init__(self, folder: str, name: str | None) -> None:
        self._path = path(folder, name) if name else None
        self._pipe: int | None = None
        self._lock = threading.Lock()

    def send(self, result: dict[str, Any]) -> None:
        """Send a result, if somebody reads. Raises nothing: it is in the answer as well."""
        with self._lock:
            if self._path is None:
                return
            try:
                self._write(self._path, json.dumps(result, default=str).encode() + b"\n")
            except OSError:
                # Part of a line may be out: no other may follow it.
                self._path = None
                self._close()

    def close(self) -> None:
        with self._lock:
            self._path = None
            self._close()

    def _write(self, fifo: str, line: bytes) -> None:
        if self._pipe is None:
            try:
                self._pipe = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                # The reader isn't there yet, or there is none.
                return
        deadline = time.monotonic() + STALLED_S
        while line:
            # Not a wait without end: the work must not hang on who watches it.
            if not select.select([], [self._pipe], [], max(deadline - time.monotonic(), 0))[1]:
                raise TimeoutError("nobody takes what is sent")
            line = line[os.write(self._pipe, line) :]

    def _close(self) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.close(self._pipe)
            self._pipe = None
