"""The time that leases are counted by: one clock for all machines, the database's."""

import logging
import threading
import time
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import SQLAlchemyError

from controller.db.base import utcnow
from controller.db.session import Database

log = logging.getLogger(__name__)

# Between two looks machines' clocks drift apart by some milliseconds.
LOOK_EVERY_S = 60.0
# Asking takes a while; what is less than this is no difference.
TOLERANCE = timedelta(seconds=0.5)


class DatabaseClock:
    """Returns the time as naive UTC, by this machine's clock and its difference to the database's.

    A worker whose machine is wrong by a minute would find the leases of all others expired, or its
    own renewed into the past. Threads may share it. A database that is away is asked again later.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._ahead = timedelta()
        self._look_at = 0.0

    def __call__(self) -> datetime:
        with self._lock:
            if time.monotonic() >= self._look_at:
                self._look()
            return utcnow() + self._ahead

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_EVERY_S
        before = utcnow()
        try:
            there = database_time(self._db)
        except SQLAlchemyError as error:
            self._db.outages.note("asking the time, whose last difference counts,", error)
            return
        if there is None:
            return
        here = before + (utcnow() - before) / 2
        ahead = there - here if abs(there - here) > TOLERANCE else timedelta()
        if abs(ahead - self._ahead) > TOLERANCE:
            log.warning("this machine's clock and the database's differ by %s", ahead)
        self._ahead = ahead


def database_time(db: Database) -> datetime | None:
    """Return the database's time as naive UTC; None where it is in this process."""
    expression = _EXPRESSIONS.get(db.engine.dialect.name)
    if expression is None:
        return None
    with db.read() as session:
        return session.scalar(select(expression))


_EXPRESSIONS: dict[str, ColumnElement[datetime]] = {
    "postgresql": func.timezone("utc", func.clock_timestamp()),
    "mysql": func.utc_timestamp(6),
    "mariadb": func.utc_timestamp(6),
}
