"""Hosts share a worker: neither a long queue nor a host that hangs holds up the others."""

import threading
from dataclasses import replace

import pytest

from controller.conductor import engine as engine_module
from controller.conductor.engine import Engine
from controller.db.models import Host, Operation, Server
from lab.waiting import wait_until
from tests.unit.conductor.conftest import Cloud


@pytest.fixture
def hosts(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A host that hangs until `gate` is set, and another."""
    monkeypatch.setattr(engine_module, "HELD_MAX", 8)
    cloud.settings = replace(cloud.settings, batch_max=2)
    return cloud.add_host("busy"), cloud.add_host("idle")


@pytest.fixture
def gate(cloud: Cloud, hosts: tuple[str, str]) -> threading.Event:
    made = threading.Event()
    cloud.executor.fails = lambda run, _id: (
        None if run.hosts[0].id == hosts[1] or made.wait(20) else "late"
    )
    return made


def start_on(cloud: Cloud, host_id: str, count: int) -> None:
    """Accept the start of `count` stopped servers on the host."""
    for number in range(count):
        server_id = cloud.add_server(f"s{number}")
        with cloud.db.write() as session:
            session.query(Operation).filter_by(server_id=server_id).delete()
            server = session.get_one(Server, server_id)
            server.state, server.task_state, server.host_id = "stopped", None, host_id
        cloud.act(server_id, "start")


def wait_served(cloud: Cloud, working: Engine, host_id: str) -> None:
    def served() -> bool:
        working.tick()
        return any(run.hosts[0].id == host_id for run in cloud.executor.runs)

    wait_until(served, what="the idle host's turn", timeout_s=60)


def test_a_hosts_long_queue_leaves_room_for_the_others(
    cloud: Cloud, hosts: tuple[str, str], gate: threading.Event
) -> None:
    start_on(cloud, hosts[0], 30)
    start_on(cloud, hosts[1], 1)
    working = cloud.engine()
    wait_served(cloud, working, hosts[1])
    # What a worker has no room for waits in the database, where other workers find it.
    assert len(cloud.operations(state="queued")) >= 30 - 8 - 4
    gate.set()
    working.run_until_idle()
    assert cloud.operations(state="queued") == []


def test_creates_that_all_chose_a_host_that_hangs_leave_room(
    cloud: Cloud, hosts: tuple[str, str], gate: threading.Event
) -> None:
    with cloud.db.write() as session:
        session.get_one(Host, hosts[1]).enabled = False
    for number in range(16):
        cloud.add_server(f"new{number}", flavor={"memory_mb": 1})
    working = cloud.engine()
    while working.tick():
        pass
    start_on(cloud, hosts[1], 1)
    wait_served(cloud, working, hosts[1])
    gate.set()
    working.run_until_idle()
    assert {each.state for each in cloud.operations(kind="server_create")} == {"succeeded"}
