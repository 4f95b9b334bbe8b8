"""Outages: what is logged while the database is away, and how often.

Every request and every look of a worker fails then. One line says what failed and why; of what
fails like it in the next seconds only the number is said.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from controller.db import failures

log = logging.getLogger(__name__)

# A line per cause in so long.
EVERY_S = 5.0
# Further causes count as one: a server could put anything into its words.
CAUSES_MAX = 20
OTHERS = "(various)"


@dataclass(slots=True)
class _Cause:
    said_at: float
    left_out: int = 0


class Outages:
    """The failures of one database in this process. Threads share it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._causes: dict[str, _Cause] = {}
        self._began: float | None = None
        self._last = 0.0
        self._count = 0

    def note(self, what: str, error: BaseException) -> None:
        """Log that `what` failed by `error`, a database's, without a traceback; or count it, where
        a line about the same cause was written in the last EVERY_S.
        """
        said = failures.said(error)
        with self._lock:
            now = self._now()
            self._began = now if self._began is None else self._began
            self._last, self._count = now, self._count + 1
            known = said in self._causes or len(self._causes) < CAUSES_MAX
            cause = self._causes.setdefault(said if known else OTHERS, _Cause(now - EVERY_S))
            if now - cause.said_at < EVERY_S:
                cause.left_out += 1
                return
            left_out, cause.said_at, cause.left_out = cause.left_out, now, 0
        how = "is away or too busy" if failures.is_away(error) else "refused"
        more = f" ({left_out} more failed like this since the last such line)" if left_out else ""
        log.error("%s failed: the database %s: %s%s", what, how, said, more)

    def answered(self) -> None:
        """Take note that the database did what it was asked; a line when nothing has failed since
        EVERY_S.
        """
        if self._began is None:
            return
        with self._lock:
            if self._began is None or self._now() - self._last < EVERY_S:
                return
            lasted_s, count = self._last - self._began, self._count
            self._began, self._count = None, 0
            self._causes.clear()
        log.warning("the database answers again; %d failed by it in %.0f s", count, lasted_s)
