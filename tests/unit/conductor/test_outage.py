"""What a worker logs while the database is away."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from controller.conductor.engine import Engine
from controller.conductor.worker import Periodic
from controller.db import outages
from controller.db.session import Database
from controller.runner.requests import Run, RunResult
from controller.runner.simulated import SimulatedExecutor
from lab.waiting import wait_until
from tests.unit.conductor.conftest import Cloud


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that doesn't answer. What is said of it is said once in this test."""
    monkeypatch.setattr(outages, "EVERY_S", 3600.0)
    db = Database(f"sqlite:///{tmp_path}/away/novella.db")
    yield db
    db.dispose()


def test_a_reconciler_says_it_once_and_goes_on(
    away: Database, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = []

    def reconcile() -> None:
        rounds.append(1)
        with away.read() as session:
            session.execute(text("SELECT 1"))

    periodic = Periodic("expired-leases", 0.001, reconcile, away.outages)
    periodic.start()
    wait_until(lambda: len(rounds) > 20, what="twenty rounds are over", timeout_s=30)
    periodic.stop()
    periodic.join()
    (line,) = caplog.records
    assert line.exc_info is None
    assert line.getMessage().startswith(
        "expired-leases, which is tried again, failed: the database"
    )


def test_a_reconciler_with_a_bug_leaves_a_traceback(
    away: Database, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = []

    def reconcile() -> None:
        rounds.append({}["nothing"])

    periodic = Periodic("expired-leases", 3600.0, reconcile, away.outages)
    periodic.start()
    wait_until(lambda: bool(caplog.records), what="the round has failed", timeout_s=30)
    periodic.stop()
    periodic.join()
    assert caplog.records[0].exc_info is not None


class Vanishing(SimulatedExecutor):
    """Its runs end when the database is away."""

    engine: Engine
    away: Database

    def run(self, run: Run) -> RunResult:
        self.engine.db = self.away
        return super().run(run)


def test_results_that_find_no_database_leave_one_line(
    cloud: Cloud, away: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    cloud.add_host("alpha")
    for _ in range(5):
        cloud.add_server()
    executor = Vanishing()
    engine = Engine(cloud.settings, cloud.db, executor, owner="test/one/1", clock=cloud.clock)
    executor.engine, executor.away = engine, away
    engine.tick()
    wait_until(lambda: not engine._held, what="all is given up", timeout_s=30)
    (line,) = caplog.records
    assert line.exc_info is None
    assert "the database is away" in line.getMessage()
