"""Turns: a writer waits for the one before it, and is refused only when its patience ends."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from controller.db import turns
from controller.db.session import Database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'test.db'}")
    with made.write() as session:
        session.execute(text("CREATE TABLE seen (name TEXT)"))
    yield made
    made.dispose()


def test_a_writer_gets_its_turn_beside_one_that_writes_all_the_time(db: Database) -> None:
    """SQLite's own wait of 5 seconds was not enough, under load: creates were answered 503."""
    turn_came, busy = threading.Event(), threading.Event()

    def write_all_the_time() -> None:
        while not turn_came.is_set():
            with db.write() as session:
                busy.set()
                session.execute(text("INSERT INTO seen VALUES ('busy')"))
                turn_came.wait(0.03)

    thread = threading.Thread(target=write_all_the_time)
    thread.start()
    busy.wait()
    try:
        with db.write() as session:
            session.execute(text("INSERT INTO seen VALUES ('other')"))
    finally:
        turn_came.set()
        thread.join()
    with db.read() as session:
        assert session.scalar(text("SELECT count(*) FROM seen WHERE name = 'other'")) == 1


def test_patience_ends_as_the_databases_own_error(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.05)
    with db.write() as first:
        first.execute(text("INSERT INTO seen VALUES ('first')"))
        with pytest.raises(OperationalError, match="database is locked"), db.write() as second:
            second.execute(text("SELECT 1"))
    # The connection is as before: reads wait as long as ever.
    with db.read() as session:
        assert session.scalar(text("PRAGMA busy_timeout")) == turns.USUAL_MS
