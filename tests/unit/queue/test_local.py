"""Wake-ups: they come with a commit, and losing one loses nothing."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from controller.db.session import Database, wake_after
from controller.queue.local import Wakeups, wake_workers


@pytest.fixture
def wakeups(tmp_path: Path) -> Iterator[Wakeups]:
    mine = Wakeups(tmp_path, "one")
    yield mine
    mine.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path / 'novella.db'}", on_wake=partial(wake_workers, tmp_path))
    yield db
    db.dispose()


def test_a_worker_wakes_with_the_commit_that_asked_for_it(
    wakeups: Wakeups, database: Database
) -> None:
    with database.write() as session:
        wake_after(session)
        assert not wakeups.wait(0.01)
    assert wakeups.wait(60)


def test_a_commit_that_asks_for_nothing_wakes_nobody(wakeups: Wakeups, database: Database) -> None:
    with database.write():
        pass
    assert not wakeups.wait(0.01)


def test_what_is_rolled_back_wakes_nobody(wakeups: Wakeups, database: Database) -> None:
    def fail() -> None:
        with database.write() as session:
            wake_after(session)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not wakeups.wait(0.01)


def test_every_worker_of_the_machine_is_woken(wakeups: Wakeups, tmp_path: Path) -> None:
    other = Wakeups(tmp_path, "two")
    wake_workers(tmp_path)
    assert wakeups.wait(60)
    assert other.wait(60)
    other.close()


def test_many_wakeups_are_one(wakeups: Wakeups, tmp_path: Path) -> None:
    for _ in range(3):
        wake_workers(tmp_path)
    assert wakeups.wait(60)
    assert not wakeups.wait(0.01)


def test_a_worker_that_died_or_does_not_listen_holds_nobody_up(
    wakeups: Wakeups, tmp_path: Path
) -> None:
    dead = Wakeups(tmp_path, "dead")
    dead.socket.close()
    # Far more than a socket that nobody reads can hold.
    for _ in range(2000):
        wake_workers(tmp_path)
    assert wakeups.wait(60)
