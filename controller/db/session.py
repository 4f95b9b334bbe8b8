"""Sessions: short transactions that never span a run."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from controller.db.connections import for_writes, open_engine
from controller.db.failures import lost_to_another
from controller.db.outages import Outages

log = logging.getLogger(__name__)
T = TypeVar("T")

# Two transactions that wait for each other: the database ends one, which is then done again.
TRIES = 8
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.5
# In `info` of a session that had a connection. Its transaction alone says nothing: that begins by
# itself, also where the connection then fails and whoever asked copes with it.
REACHED = "reached"


class _Session(Session):
    """A session that knows whether it reached its database."""


@event.listens_for(_Session, "after_begin")
def _note_reached(session: Session, *_what: object) -> None:
    session.info[REACHED] = True


class Database:
    """One database. `read()` and `write()` give a session each; leaving the block commits.

    `on_wake` is called after the commit of any transaction that asked for it (see `wake_after`).
    """

    def __init__(self, url: str, on_wake: Callable[[], None] | None = None) -> None:
        self.engine = open_engine(url)
        self.on_wake = on_wake
        # Where whoever gives up on the database says so.
        self.outages = Outages()
        self._writing = for_writes(self.engine)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session for reading, of one moment; it is rolled back at the end."""
        with _Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            yield session
            if REACHED in session.info:
                self.outages.answered()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session whose work is committed at the end, or rolled back when it raises."""
        with _Session(self._writing, expire_on_commit=False) as session:
            with session.begin():
                yield session
            if REACHED in session.info:
                self.outages.answered()
            if session.info.get("wake") and self.on_wake:
                self.on_wake()

    def run(self, work: Callable[[Session], T]) -> T:
        """Return what `work` returns of a session whose work is committed then.

        A transaction that had to give way to another one is done again, from its beginning: `work`
        changes nothing but the database.
        """
        for attempt in range(TRIES):
            try:
                with self.write() as session:
                    return work(session)
            except DBAPIError as error:
                if attempt == TRIES - 1 or not lost_to_another(error):
                    raise
                log.info("a transaction gave way to another one, and is done again")
                pause_s = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
                time.sleep(random.uniform(0, pause_s))  # noqa: S311 -- no secret: whose turn it is
        raise AssertionError("unreachable: the last try returns or raises")

    def dispose(self) -> None:
        """Close all connections; a forked process calls it before it uses the database."""
        self.engine.dispose()


class Rehearsal(Database):
    """The same database, of whose writing transactions nothing stays.

    `look` sees each of them complete, before it is rolled back: all that the database itself would
    refuse has been refused by then. Nobody is woken.
    """

    def __init__(self, db: Database, look: Callable[[Session], None]) -> None:
        self.engine, self._writing, self.outages = db.engine, db._writing, db.outages
        self.on_wake = None
        self._look = look

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session whose work is looked at, and rolled back."""
        with _Session(self._writing, expire_on_commit=False) as session:
            session.begin()
            yield session
            session.flush()
            self._look(session)


def wake_after(session: Session) -> None:
    """Have the workers woken once this transaction has committed."""
    session.info["wake"] = True
