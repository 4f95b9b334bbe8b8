"""server_live_resize: the claim follows, and whatever goes wrong leaves the server as it was."""

from typing import Any

import pytest

from controller.conductor.reconcilers import server_allocations
from controller.conductor.server_live_resize import KIND
from controller.core import live_sizes
from controller.db.models import Server
from controller.errors import Conflict
from controller.placement import allocations
from controller.settings import Settings
from tests.unit.conductor.conftest import CONTEXT, Cloud
from tests.unit.conductor.killing import kill_at, moments_of, name_of

LIMITS = {"novella:max_vcpus": "4", "novella:max_memory_mb": "8192"}


def a_server(cloud: Cloud) -> str:
    server_id = cloud.add_server(flavor={"extra_specs": LIMITS})
    cloud.work()
    cloud.executor.runs.clear()
    return server_id


def resize(cloud: Cloud, server_id: str, **sizes: int) -> None:
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id, with_for_update=True)
        asked: dict[str, Any] = {"vcpus": None, "memory_mb": None, **sizes}
        settings = Settings(default_quota={"ram": -1, "cores": -1})
        live_sizes.resize(session, settings, CONTEXT, server, **asked)


def held(cloud: Cloud, server_id: str) -> tuple[int, int]:
    with cloud.db.read() as session:
        found = allocations.held(session, server_id)
    return found["VCPU"], found["MEMORY_MB"]


def sizes_of(cloud: Cloud, server_id: str) -> tuple[int, int]:
    flavor = cloud.server(server_id).flavor
    return flavor["vcpus"], flavor["memory_mb"]


@pytest.mark.parametrize("state", ["active", "stopped"])
def test_the_server_has_its_sizes_and_holds_them(cloud: Cloud, state: str) -> None:
    cloud.add_host("h1")
    server_id = a_server(cloud)
    if state == "stopped":
        cloud.act(server_id, "stop")
        cloud.work()
        cloud.executor.runs.clear()
    resize(cloud, server_id, vcpus=2, memory_mb=256)
    assert cloud.server(server_id).task_state == "live_resizing"
    cloud.work()
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == (state, None)
    assert sizes_of(cloud, server_id) == held(cloud, server_id) == (2, 256)
    (run,) = cloud.executor.runs
    told = run.arguments["servers"][0]["flavor"]
    assert run.playbook == KIND
    assert (told["vcpus"], told["max_vcpus"], told["max_memory_mb"]) == (2, 4, 8192)
    if state == "active":
        with pytest.raises(Conflict, match="Stop it first"):
            resize(cloud, server_id, vcpus=1)
        return
    resize(cloud, server_id, vcpus=1)
    cloud.work()
    assert sizes_of(cloud, server_id) == held(cloud, server_id) == (1, 256)


def test_until_it_has_ended_the_server_holds_the_larger_of_both(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = a_server(cloud)
    seen = []
    cloud.executor.fails = lambda _run, each: seen.append(held(cloud, each))
    resize(cloud, server_id, vcpus=2, memory_mb=64)
    cloud.work()
    assert seen == [(2, 128)]
    assert held(cloud, server_id) == (2, 64)


def test_a_guest_that_does_not_go_along_is_given_its_sizes_back(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = a_server(cloud)
    cloud.executor.fails = lambda run, _id: (
        "no balloon" if run.arguments["servers"][0]["flavor"]["memory_mb"] == 256 else None
    )
    resize(cloud, server_id, memory_mb=256)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.fault) == ("active", None, None)
    assert sizes_of(cloud, server_id) == held(cloud, server_id) == (1, 128)
    told = [run.arguments["servers"][0]["flavor"]["memory_mb"] for run in cloud.executor.runs]
    assert told == [256, 128]


def test_a_host_without_room_is_told_nothing(cloud: Cloud) -> None:
    cloud.add_host("h1", memory_mb=1024)
    server_id = a_server(cloud)
    resize(cloud, server_id, memory_mb=4096)
    cloud.work()
    assert cloud.playbooks() == []
    assert sizes_of(cloud, server_id) == held(cloud, server_id) == (1, 128)
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)
    (operation,) = cloud.operations(kind=KIND)
    assert operation.error is not None
    assert "no room" in operation.error["message"]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("case", moments_of(KIND), ids=name_of)
def test_one_whose_worker_died_ends_whole_or_undone(
    cloud: Cloud, case: tuple[str, int, str], fails: bool
) -> None:
    cloud.add_host("h1")
    server_id = a_server(cloud)
    resize(cloud, server_id, vcpus=2, memory_mb=256)
    assert kill_at(cloud, *case[1:])
    if fails:
        cloud.executor.fails = lambda run, _id: (
            "no" if run.arguments["servers"][0]["flavor"]["vcpus"] == 2 else None
        )
    cloud.work()
    (operation,) = cloud.operations(kind=KIND)
    ended = sizes_of(cloud, server_id)
    # What was said before the kill counts.
    assert ended == ((2, 256) if operation.state == "succeeded" else (1, 128))
    assert held(cloud, server_id) == ended
    assert cloud.server(server_id).task_state is None
    assert server_allocations.run(cloud.db, cloud.clock) == 0
