"""The clock of leases: the database's, whatever this machine's says."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from controller.db import clock
from controller.db.base import utcnow
from controller.db.clock import DatabaseClock
from controller.db.session import Database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/x.db")
    yield made
    made.dispose()


def test_a_machine_that_is_minutes_wrong_counts_by_the_database(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = timedelta(minutes=-7)
    monkeypatch.setattr(clock, "database_time", lambda _db: utcnow() + there)
    told = DatabaseClock(db)
    assert abs(told() - (utcnow() + there)) < timedelta(seconds=30)


def test_the_time_that_a_question_takes_is_no_difference(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "database_time", lambda _db: utcnow() - timedelta(seconds=0.2))
    told = DatabaseClock(db)
    before = utcnow()
    assert before <= told() <= utcnow()


def test_a_database_that_is_away_leaves_the_last_known_difference(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = timedelta(minutes=7)
    monkeypatch.setattr(clock, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(clock, "database_time", lambda _db: utcnow() + there)
    told = DatabaseClock(db)
    told()

    def away(_db: Database) -> None:
        raise OperationalError("away", {}, Exception())

    monkeypatch.setattr(clock, "database_time", away)
    assert abs(told() - (utcnow() + there)) < timedelta(seconds=30)


def test_a_database_in_this_process_has_this_machines_time(db: Database) -> None:
    assert clock.database_time(db) is None
