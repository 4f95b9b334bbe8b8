"""From release to release: queued work is finished, and no process works on a schema too old."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from controller.conductor import claims
from controller.conductor.engine import UNREADABLE_TRIES
from controller.conductor.incarnation import Incarnation
from controller.conductor.reconcilers import expired_leases
from controller.core.operations import FORMAT_VERSION
from controller.db.models import Operation, Server
from controller.runner.requests import ITEM_FORMAT_VERSION, Run
from lab.servers import any_free_port
from lab.waiting import wait_until
from tests.fixtures import schema
from tests.unit.conductor.conftest import Cloud

PROJECT = Path(__file__).resolve().parents[3]
# Operations as earlier releases wrote them; a row is added here with each release, none is changed.
QUEUED_BY = {
    # Before the first release: no request, no notes.
    "0": {"format_version": 0, "request_id": None, "data": {}, "arguments": {}},
    # 0.1: a create that has a host and was about to spawn when its worker was stopped.
    "0.1": {
        "format_version": 1, "request_id": "req-1", "step": 2, "generation": 4, "attempts": 1,
        "data": {"tried": [], "failures": [], "spawned": True}, "arguments": {"forced_host": None},
    },
}  # fmt: skip


def requeue(cloud: Cloud, server_id: str, row: dict[str, Any]) -> None:
    """Make the server's operation one that another release has queued."""
    kinds = {name: json.dumps(value) for name, value in row.items() if isinstance(value, dict)}
    names = ", ".join(f"{name} = :{name}" for name in row)
    with cloud.db.write() as session:
        session.execute(
            text(f"UPDATE operations SET {names} WHERE server_id = :server"),  # noqa: S608
            {**row, **kinds, "server": server_id},
        )


@pytest.mark.parametrize("release", QUEUED_BY)
def test_what_an_earlier_release_has_queued_is_finished(cloud: Cloud, release: str) -> None:
    host_id = cloud.add_host("h1")
    server_id = cloud.add_server()
    row = dict(QUEUED_BY[release])
    if "step" in row:
        row["host_id"] = host_id
        with cloud.db.write() as session:
            server = session.get_one(Server, server_id)
            server.host_id, server.task_state = host_id, "spawning"
    requeue(cloud, server_id, row)
    cloud.work()
    assert cloud.server(server_id).state == "active"
    assert cloud.server(server_id).host_id == host_id


def test_a_run_that_an_earlier_release_had_in_flight_is_finished(cloud: Cloud) -> None:
    """Its worker is gone in mid-run; what its host says is in the form of before versions."""
    cloud.add_host("h1")
    server_id = cloud.add_server()
    cloud.executor.delay_s = 60
    earlier = cloud.engine("elsewhere/worker/1")
    earlier.tick()
    wait_until(lambda: bool(cloud.executor.runs), what="its run is under way", timeout_s=60)
    requeue(cloud, server_id, {"format_version": 0})
    # Killed: it renews no lease and writes nothing more.
    cloud.clock.advance(cloud.settings.lease_s + 1)
    incarnation = Incarnation(cloud.settings.run_dir, "here")
    assert expired_leases.run(cloud.db, incarnation, cloud.clock) == 1
    incarnation.close()
    cloud.executor.delay_s = 0.0
    cloud.work()
    assert cloud.server(server_id).state == "active"
    assert cloud.playbooks() == ["server_create"] * 2
    first, second = (run.arguments["servers"][0] for run in cloud.executor.runs)
    # By these the host knows the earlier run's work for done, and refuses what is left of it.
    assert first["operation_id"] == second["operation_id"]
    assert first["generation"] < second["generation"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_result_of_a_newer_release_is_left_to_its_workers(cloud: Cloud, count: int) -> None:
    """In a rolling upgrade an old worker may start playbooks that are new on disk already."""
    cloud.add_host("h1")
    ids = [cloud.add_server(f"web{number}") for number in range(count)]
    honest = cloud.executor._item

    def newer(run: Run, item_id: str) -> dict[str, Any]:
        return {**honest(run, item_id), "format_version": ITEM_FORMAT_VERSION + 1, "failed": "?"}

    cloud.executor._item = newer  # type: ignore[method-assign]
    cloud.work()
    assert cloud.playbooks() == ["server_create"]
    assert [cloud.server(each).state for each in ids] == ["building"] * count
    assert {each.state for each in cloud.operations()} == {"queued"}

    cloud.executor._item = honest  # type: ignore[method-assign]
    cloud.clock.advance(5)
    cloud.work()
    assert [cloud.server(each).state for each in ids] == ["active"] * count


def test_results_that_nobody_can_read_end_in_an_error_that_says_what_to_do(cloud: Cloud) -> None:
    """An operator has put newer playbooks beside an old controller."""
    cloud.add_host("h1")
    server_id = cloud.active_server()
    honest = cloud.executor._item

    def newer(run: Run, item_id: str) -> dict[str, Any]:
        return {**honest(run, item_id), "format_version": "from the future"}

    cloud.executor._item = newer  # type: ignore[method-assign]
    operation_id = cloud.act(server_id, "stop")
    for _ in range(UNREADABLE_TRIES + 5):
        cloud.work()
        cloud.clock.advance(4000)
    assert cloud.playbooks() == ["server_stop"] * UNREADABLE_TRIES
    (operation,) = cloud.operations(id=operation_id)
    assert operation.state == "failed"
    assert "have all controllers" in operation.error["details"]
    server = cloud.server(server_id)
    assert (server.state, server.task_state) == ("active", None)


def test_a_database_that_fails_over_an_unreadable_result_holds_up_nobody(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_host("h1")
    unread, honest_one = cloud.add_server("unread"), cloud.add_server("honest")
    honest = cloud.executor._item

    def newer(run: Run, item_id: str) -> dict[str, Any]:
        newest = {"format_version": ITEM_FORMAT_VERSION + 1} if item_id == unread else {}
        return {**honest(run, item_id), **newest}

    def away(*_arguments: Any) -> int:
        raise OperationalError("UPDATE", {}, Exception("the server closed the connection"))

    cloud.executor._item = newer  # type: ignore[method-assign]
    monkeypatch.setattr(claims, "note_unreadable", away)
    cloud.work()
    assert cloud.server(honest_one).state == "active"
    built = [server["id"] for run in cloud.executor.runs for server in run.arguments["servers"]]
    assert sorted(built) == sorted([unread, honest_one])
    (left,) = cloud.operations(server_id=unread)
    assert (left.state, left.lease_owner) == ("queued", None)


def test_what_a_newer_release_has_queued_is_left_to_its_workers(cloud: Cloud) -> None:
    cloud.add_host("h1")
    newer, unknown, ours = (cloud.add_server(name) for name in ("newer", "unknown", "ours"))
    requeue(cloud, newer, {"format_version": FORMAT_VERSION + 1})
    requeue(cloud, unknown, {"kind": "server_teleport"})
    cloud.work()
    assert [cloud.server(each).state for each in (newer, unknown, ours)] == [
        "building", "building", "active"
    ]  # fmt: skip
    assert {each.server_id for each in cloud.operations(state="queued")} == {newer, unknown}


def test_a_delete_waits_for_what_a_newer_release_does_to_the_server(cloud: Cloud) -> None:
    """In a rolling upgrade an old worker must not go before a new one's work on the server."""
    cloud.add_host("h1")
    server_id = cloud.active_server()
    requeue(cloud, server_id, {"format_version": FORMAT_VERSION + 1, "state": "queued"})
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "active"
    with cloud.db.write() as session:
        session.query(Operation).filter(Operation.kind == "server_create").delete()
    cloud.work()
    assert cloud.server(server_id).state == "deleted"


@pytest.mark.parametrize(
    ("process", "api_workers", "revision"),
    [("worker", 1, "0000"), ("worker", 1, None), ("api", 1, "0000"), ("api", 2, None)],
)
def test_a_schema_older_than_the_release_is_refused_with_the_way_out(
    cloud: Cloud, process: str, api_workers: int, revision: str | None
) -> None:
    schema.say(cloud.db, revision)
    config = cloud.settings.state_dir / "novella.toml"
    config.write_text(
        f'state_dir = "{cloud.settings.state_dir}"\nexecutor = "simulated"\n'
        f'database_url = "{cloud.settings.database_url}"\n'
        f'listen_port = {any_free_port()}\nmetrics_listen = ""\napi_workers = {api_workers}\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "controller.cli", "--config", str(config), process],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("novella db upgrade") == 1
    assert "Traceback" not in done.stderr
