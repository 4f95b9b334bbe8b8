"""Snapshots inside a server's disks: their records follow what hosts did."""

from typing import Any

import pytest

from controller.conductor.server_snapshots import CREATE, DELETE, REVERT
from controller.core import disk_snapshots
from controller.core.snapshot_losses import LOSING
from controller.db.models import DiskSnapshot, Server
from controller.errors import Conflict, InvalidState
from controller.runner.requests import Run
from controller.states import TABLE
from tests.unit.conductor.conftest import CONTEXT, Cloud
from tests.unit.conductor.killing import kill_at, moments_of, name_of


def act(cloud: Cloud, server_id: str, action: str, *arguments: str) -> Any:
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id, with_for_update=True)
        do = getattr(disk_snapshots, action)
        return do(session, cloud.settings, CONTEXT, server, *arguments)


def statuses(cloud: Cloud) -> list[str]:
    with cloud.db.read() as session:
        return [each.status for each in session.query(DiskSnapshot)]


def taken(cloud: Cloud) -> tuple[str, str]:
    """Return a server that is off, and its snapshot."""
    cloud.add_host("h1")
    server_id = cloud.active_server()
    snapshot = act(cloud, server_id, "create", "first")
    cloud.work()
    cloud.act(server_id, "stop")
    cloud.work()
    cloud.executor.runs.clear()
    return server_id, snapshot.id


def test_it_is_taken_reverted_to_and_deleted(cloud: Cloud) -> None:
    server_id, snapshot_id = taken(cloud)
    assert statuses(cloud) == ["available"]
    act(cloud, server_id, "revert", snapshot_id)
    assert cloud.server(server_id).task_state == "snapshot_reverting"
    cloud.work()
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("stopped", None)
    act(cloud, server_id, "remove", snapshot_id)
    cloud.work()
    assert statuses(cloud) == []
    assert cloud.playbooks() == [REVERT, DELETE]
    told = [run.arguments["servers"][0]["disk_snapshot"]["id"] for run in cloud.executor.runs]
    assert told == [snapshot_id] * 2


def test_one_that_could_not_be_taken_is_removed_and_shown_in_error(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.fails = lambda run, _id: "disk full" if run.playbook == CREATE else None
    act(cloud, server_id, "create", "first")
    cloud.work()
    assert cloud.playbooks() == [CREATE, DELETE]
    assert statuses(cloud) == ["error"]
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)


@pytest.mark.parametrize(("partly", "state"), [(True, "error"), (False, "stopped")])
def test_a_server_with_disks_of_two_times_is_in_error(
    cloud: Cloud, partly: bool, state: str
) -> None:
    server_id, snapshot_id = taken(cloud)
    answer = cloud.executor._item

    def item(run: Run, item_id: str) -> dict[str, Any]:
        failed = {"failed": True, "msg": "i/o error", "partly_reverted": partly}
        return answer(run, item_id) | (failed if run.playbook == REVERT else {})

    cloud.executor._item = item  # type: ignore[method-assign]
    act(cloud, server_id, "revert", snapshot_id)
    cloud.work()
    assert cloud.server(server_id).state == state
    assert statuses(cloud) == ["available"]


def test_there_are_limits(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    for number in range(cloud.settings.disk_snapshots_max):
        act(cloud, server_id, "create", str(number))
        cloud.work()
    with pytest.raises(Conflict, match=r"may have 5\. Delete one first"):
        act(cloud, server_id, "create", "more")


def test_one_that_is_not_whole_is_not_reverted_to(cloud: Cloud) -> None:
    server_id, snapshot_id = taken(cloud)
    with cloud.db.write() as session:
        session.get_one(DiskSnapshot, snapshot_id).status = "error"
    with pytest.raises(Conflict, match="that is error"):
        act(cloud, server_id, "revert", snapshot_id)


@pytest.mark.parametrize("action", sorted(LOSING & TABLE.keys()))
def test_what_would_lose_them_is_refused(cloud: Cloud, action: str) -> None:
    server_id, _ = taken(cloud)
    with cloud.db.write() as session:
        session.get_one(Server, server_id).state = min(TABLE[action].allowed_in)
    with pytest.raises(InvalidState, match="disk snapshots, which would be lost"):
        cloud.act(server_id, action)


def test_they_go_with_their_server(cloud: Cloud) -> None:
    server_id, _ = taken(cloud)
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"
    assert statuses(cloud) == []


CASES = [case for kind in (CREATE, REVERT, DELETE) for case in moments_of(kind)]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_one_whose_worker_died_ends_whole(cloud: Cloud, case: tuple[str, int, str]) -> None:
    server_id, snapshot_id = taken(cloud)
    kind, number, moment = case
    if kind == CREATE:
        act(cloud, server_id, "create", "second")
    else:
        act(cloud, server_id, "revert" if kind == REVERT else "remove", snapshot_id)
    assert kill_at(cloud, number, moment)
    cloud.work()
    assert {operation.state for operation in cloud.operations(kind=kind)} == {"succeeded"}
    after = {CREATE: ["available"] * 2, REVERT: ["available"], DELETE: []}
    assert statuses(cloud) == after[kind]
    assert cloud.server(server_id).task_state is None
