"""Sessions: short transactions that never span a run.

SQLite gets WAL, full synchronous writes, a busy timeout, and BEGIN IMMEDIATE for writes: a write
that began as a read could fail half way when another writer came first.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


class Database:
    """One database. `read()` and `write()` give a session each; leaving the block commits.

    `on_wake` is called after the commit of any transaction that asked for it (see `wake_after`).
    """

    def __init__(self, url: str, on_wake: Callable[[], None] | None = None) -> None:
        self.engine = _engine(url)
        self.on_wake = on_wake

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session for reading; it is rolled back at the end."""
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session whose work is committed at the end, or rolled back when it raises."""
        engine = self.engine.execution_options(novella_write=True)
        with Session(engine, expire_on_commit=False) as session:
            with session.begin():
                yield session
            if session.info.get("wake") and self.on_wake:
                self.on_wake()

    def dispose(self) -> None:
        """Close all connections; a forked process calls it before it uses the database."""
        self.engine.dispose()


def wake_after(session: Session) -> None:
    """Have the workers woken once this transaction has committed."""
    session.info["wake"] = True


def _engine(url: str) -> Engine:
    # Parameters stay out of errors, and so out of logs: there are secrets among them. Connections
    # are bounded by the threads, whose number is a setting; the pool's own bound of 15 would have
    # the sixteenth wait half a minute and then fail.
    common: dict[str, Any] = {"hide_parameters": True, "max_overflow": -1}
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED", **common)
    engine = create_engine(url, connect_args={"timeout": 5, "check_same_thread": False}, **common)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late and is never IMMEDIATE; `_begin_sqlite` sends ours.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get("novella_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
