"""Sessions: what a transaction gives, and to how many at once."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.db.session import Database, wake_after


def test_every_thread_gets_a_connection_however_many_there_are(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'many.db'}")
    with ExitStack() as open_ones:
        for _ in range(40):
            session = open_ones.enter_context(db.read())
            assert session.scalar(text("SELECT 1")) == 1
    db.dispose()


def test_workers_are_woken_after_a_commit_that_asked_for_it_and_by_nothing_else(
    tmp_path: Path,
) -> None:
    woken: list[str] = []
    db = Database(f"sqlite:///{tmp_path / 'wake.db'}", on_wake=lambda: woken.append("up"))
    with db.write() as session:
        session.execute(text("CREATE TABLE t (n INTEGER NOT NULL)"))
    assert woken == []
    with db.write() as session:
        wake_after(session)
        assert woken == []
    assert woken == ["up"]
    with pytest.raises(IntegrityError), db.write() as session:
        _ask_and_fail(session)
    assert woken == ["up"]
    db.dispose()


def _ask_and_fail(session: Session) -> None:
    wake_after(session)
    session.execute(text("INSERT INTO t VALUES (NULL)"))
