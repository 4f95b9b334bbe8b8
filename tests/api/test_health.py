"""`/healthz` and `/readyz` tell the truth: each thing that breaks shows, by its name."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from controller.api.common.calls import Services
from controller.core import workers
from controller.db import revisions
from controller.db.base import utcnow
from controller.db.models import Operation, Server, ServerAction, Worker
from controller.db.session import Database
from tests.api.conftest import Caller

OWNER = "place/worker/1-abcd"


@pytest.fixture(autouse=True)
def _ready(services: Services) -> None:
    """A cloud in which all is well: its schema stamped, a worker at work."""
    with services.db.write() as session:
        session.execute(text("DROP TABLE IF EXISTS alembic_version"))
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        session.execute(
            text("INSERT INTO alembic_version VALUES (:newest)"), {"newest": revisions.newest()}
        )
        workers.note_seen(session, OWNER, utcnow())


def ready(caller: Caller) -> tuple[int, str]:
    answer = caller.get("/readyz")
    assert caller.get("/healthz").status_code == 200
    return answer.status_code, answer.get_data(as_text=True)


def test_all_is_well(anonymous: Caller) -> None:
    assert ready(anonymous) == (200, "ok\n")


def test_a_worker_that_fell_silent_shows(anonymous: Caller, services: Services) -> None:
    with services.db.write() as session:
        silent = timedelta(seconds=workers.SILENT_S + 1)
        session.query(Worker).update({Worker.seen_at: utcnow() - silent})
    assert ready(anonymous) == (503, "no worker has been at work in the last 30 s\n")


def test_a_worker_that_stopped_shows_at_once(anonymous: Caller, services: Services) -> None:
    with services.db.write() as session:
        workers.forget(session, OWNER)
    assert ready(anonymous)[0] == 503


def test_one_of_two_workers_is_enough(anonymous: Caller, services: Services) -> None:
    with services.db.write() as session:
        workers.note_seen(session, "place/second/1-abcd", utcnow())
        workers.forget(session, OWNER)
    assert ready(anonymous)[0] == 200


def test_a_schema_that_was_not_upgraded_shows(anonymous: Caller, services: Services) -> None:
    with services.db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    status, said = ready(anonymous)
    assert status == 503
    assert "run `novella db upgrade`" in said
    with services.db.write() as session:
        session.execute(text("DROP TABLE alembic_version"))
    assert ready(anonymous)[0] == 503


def test_a_machine_whose_clock_is_ahead_is_ready_all_the_same(
    anonymous: Caller, services: Services
) -> None:
    # Workers sign by the database's clock, which is an hour behind this machine's.
    at = utcnow() - timedelta(hours=1)
    with services.db.write() as session:
        workers.note_seen(session, OWNER, at)
    assert ready(anonymous)[0] == 503
    object.__setattr__(services, "clock", lambda: at)
    assert ready(anonymous)[0] == 200


def test_a_newer_schema_is_well(anonymous: Caller, services: Services) -> None:
    with services.db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert ready(anonymous)[0] == 200


def test_a_database_that_does_not_answer_shows(anonymous: Caller, services: Services) -> None:
    services.db.dispose()
    away = services.settings.state_dir / "away" / "novella.db"
    object.__setattr__(services, "db", Database(f"sqlite:///{away}"))
    assert ready(anonymous) == (503, "the database does not answer\n")


def test_a_full_queue_is_a_warning_that_takes_no_controller_out(
    anonymous: Caller, services: Services
) -> None:
    with services.db.write() as session:
        server = Server(
            project_id="p", user_id="u", name="web", hostname="web", reservation_id="r-1",
            flavor={},
        )  # fmt: skip
        session.add(server)
        session.flush()
        for _ in range(2):
            action = ServerAction(
                server_id=server.id, request_id="req-1", action="stop", user_id="u", project_id="p"
            )
            session.add(action)
            session.flush()
            session.add(
                Operation(kind="server_stop", server_id=server.id, action_id=action.id, user_id="u")
            )
    assert ready(anonymous) == (200, "ok\n")
    object.__setattr__(services, "settings", replace(services.settings, queue_max=1))
    status, said = ready(anonymous)
    assert (status, said.splitlines()[0]) == (200, "ok")
    assert "warning: the queue is full" in said
    with services.db.write() as session:
        workers.forget(session, OWNER)
    status, said = ready(anonymous)
    assert (status, "ok" in said.splitlines(), "warning: " in said) == (503, False, True)


def test_a_full_disk_shows(anonymous: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(1 << 40, 1 << 40, 0))
    assert ready(anonymous) == (503, "the controller's disk is full\n")
