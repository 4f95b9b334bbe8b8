"""What the log says of a database that is away: once, then how often, then that it is back."""

import logging
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from controller.db import outages
from controller.db.outages import Outages
from controller.db.session import Database


class Now:
    """The time, which a test moves on."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def noted(now: Now) -> Outages:
    return Outages(now)


def away(words: str = "connection refused") -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception(2003, f"{words}\nIs the server running?"))


def test_the_first_failure_is_a_line_without_traceback(
    noted: Outages, caplog: pytest.LogCaptureFixture
) -> None:
    noted.note("GET /servers", away())
    (line,) = caplog.records
    assert line.getMessage() == (
        "GET /servers failed: the database is away or too busy: connection refused"
    )
    assert line.exc_info is None


def test_more_like_it_are_counted_and_said_at_a_bounded_rate(
    noted: Outages, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        noted.note("GET /servers", away())
        now.s += 1 / 64
    assert len(caplog.records) == 4
    assert "(319 more failed like this" in caplog.messages[1]


def test_another_cause_has_a_line_of_its_own_within_bounds(
    noted: Outages, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        noted.note("GET /servers", away(f"cause {number % 500}"))
    assert len(caplog.records) == outages.CAUSES_MAX + 1


def test_a_database_that_answers_again_is_said_once_when_it_keeps_doing_so(
    noted: Outages, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        noted.note("GET /servers", away())
        noted.answered()
        now.s += 1
    assert len(caplog.records) == 1
    now.s += outages.EVERY_S
    noted.answered()
    noted.answered()
    assert caplog.messages[1:] == ["the database answers again; 3 failed by it in 2 s"]
    noted.note("GET /servers", away())
    assert len(caplog.records) == 3


def test_reads_and_writes_say_that_it_answers(
    tmp_path: Path, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    db = Database(f"sqlite:///{tmp_path}/x.db")
    db.outages = Outages(now)
    for use in (db.read, db.write):
        db.outages.note("GET /servers", away())
        now.s += outages.EVERY_S
        with use() as session:
            session.execute(text("SELECT 1"))
        assert "answers again" in caplog.messages[-1]
        caplog.clear()
    db.dispose()


@pytest.mark.parametrize("asks", [True, False])
def test_a_session_that_never_reached_the_database_does_not_say_that_it_answers(
    now: Now, caplog: pytest.LogCaptureFixture, asks: bool
) -> None:
    """One that asks nothing, and one whose asker copes with a database that is away."""
    db = Database("sqlite:////dev/null/x.db")
    db.outages = Outages(now)
    db.outages.note("GET /servers", away())
    now.s += outages.EVERY_S
    for use in (db.read, db.write):
        with use() as session:
            if asks:
                with pytest.raises(OperationalError):
                    session.execute(text("SELECT 1"))
    assert len(caplog.records) == 1
    db.dispose()
