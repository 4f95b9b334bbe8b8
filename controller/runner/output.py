"""What a run prints, taken in while it runs; and a look, now and then, whether it has to end."""

import codecs
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

# How soon a cancel or a timeout is noticed.
LOOK_EVERY_S = 0.2
READ_BYTES = 1 << 16


class Output:
    """A context: give `file` to the run as its standard output and error.

    What comes is written to `path` without ansible-runner's marks, and each event in it is handed
    to `take_event`. `ended_by` is what the function of `look_for` said last.
    """

    def __init__(self, path: Path, take_event: Callable[[dict[str, Any]], None]) -> None:
        from ansible_runner.utils import OutputEventFilter

        self.ended_by: str | None = None
        self.taken_bytes = 0
        self._look: Callable[[], str | None] = lambda: None
        # The filter closes it.
        said = codecs.open(str(path), "w", encoding="utf-8")  # noqa: SIM115
        self._filter = OutputEventFilter(said, take_event, suppress_ansible_output=True)
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.file: BinaryIO = os.fdopen(writing, "wb", buffering=0)
        self._over = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._take, name="run-output", daemon=True)

    def look_for(self, look: Callable[[], str | None]) -> None:
        """Ask `look` every LOOK_EVERY_S; once it returns a word it is asked no more."""
        self._look = look

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until all was taken in; raise what failed in that."""
        self._over = True
        self.file.close()
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def _take(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        try:
            while True:
                # Some process that outlives the run may hold its output open for ever.
                over = self._over
                ready = poll.poll(LOOK_EVERY_S * 1000)
                data = self._read() if ready else None
                if data:
                    self.taken_bytes += len(data)
                    self._filter.write(decoder.decode(data))
                elif data is not None or over:
                    break
                if self.ended_by is None:
                    self.ended_by = self._look()
            self._filter.close()
        except Exception as error:
            self._failure = error
        finally:
            # A run that goes on without us finds that nobody reads it, and ends.
            os.close(self._reading)

    def _read(self) -> bytes | None:
        try:
            return os.read(self._reading, READ_BYTES)
        except BlockingIOError:
            return None
