"""Attaching and detaching, the worker killed around every play: it ends whole or undone."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.conductor import runs
from controller.core import port_records, ports
from controller.core.operations import begin_action
from controller.db.models import Port, Server
from controller.runner.requests import Run, RunResult
from tests.unit.conductor.conftest import CONTEXT, Cloud

ATTACH, DETACH = "server_attach_interface", "server_detach_interface"


@pytest.fixture
def server(cloud: Cloud) -> str:
    """A server that is up, with one port."""
    cloud.add_host("h1")
    server_id = cloud.add_server()
    cloud.add_port(server_id)
    cloud.work()
    cloud.executor.runs.clear()
    return server_id


def attach(cloud: Cloud, server_id: str) -> str:
    """Accept an attach, as the API does; return the port's id."""
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        first = session.query(Port).filter(port_records.serving([server_id])).first()
        assert first is not None
        port = Port(
            network_id=first.network_id, project_id=CONTEXT.project,
            mac_address="fa:16:3e:00:00:02", device_id=server_id, device_owner="compute:nova",
            made_by_server=True, device_position=1,
        )  # fmt: skip
        session.add(port)
        session.flush()
        given = {"port_id": port.id}
        begin_action(session, cloud.settings, CONTEXT, server, "attach_interface", arguments=given)
        return port.id


def detach(cloud: Cloud, server_id: str, port_id: str) -> None:
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        given = {"port_id": port_id}
        begin_action(session, cloud.settings, CONTEXT, server, "detach_interface", arguments=given)


def owned(cloud: Cloud, server_id: str) -> set[str]:
    """The server's ports by the database; all of them are bound to its host."""
    with cloud.db.read() as session:
        found = session.query(Port).filter(port_records.serving([server_id])).all()
        assert {port.host_id for port in found} == {session.get_one(Server, server_id).host_id}
        return {port.id for port in found}


def plugged(cloud: Cloud, server_id: str) -> set[str]:
    """Its ports by the host: those of the last play that it was told."""
    host_id = cloud.server(server_id).host_id
    assert host_id is not None
    entry = cloud.executor.hosts.hosts[host_id].servers[server_id].entry
    return {port["id"] for port in entry["ports"]}


def killed_at(cloud: Cloud, number: int, after: bool) -> Callable[[Run], RunResult]:
    """An executor's `run` whose worker dies at the play of that number, or just behind it."""
    run, count = cloud.executor.run, [0]

    def dying(asked: Run) -> RunResult:
        count[0] += 1
        if count[0] != number:
            return run(asked)
        if after:
            run(asked)
        raise ZeroDivisionError("the worker is killed")

    return dying


def finish(cloud: Cloud) -> None:
    for _ in range(4):
        cloud.work()
        cloud.clock.advance(60)


# The play of the step, and that of its undo.
KILLS = [(number, after) for number in (1, 2) for after in (False, True)]


@pytest.mark.parametrize("fails", [False, True], ids=["done", "undone"])
@pytest.mark.parametrize(("number", "after"), KILLS)
def test_an_attach_ends_whole_or_undone(
    cloud: Cloud, server: str, number: int, after: bool, fails: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    before = owned(cloud, server)
    if fails:
        cloud.executor.fails = lambda run, _: "no slot" if run.playbook == ATTACH else None
    monkeypatch.setattr(cloud.executor, "run", killed_at(cloud, number, after))
    port_id = attach(cloud, server)
    finish(cloud)
    wanted = before if fails else before | {port_id}
    assert owned(cloud, server) == plugged(cloud, server) == wanted
    assert {each.state for each in cloud.operations(kind=ATTACH)} == {
        "failed" if fails else "succeeded"
    }
    assert cloud.server(server).state == "active"


@pytest.mark.parametrize("fails", [False, True], ids=["done", "undone"])
@pytest.mark.parametrize(("number", "after"), KILLS)
def test_a_detach_ends_whole_or_undone(
    cloud: Cloud, server: str, number: int, after: bool, fails: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    port_id = attach(cloud, server)
    cloud.work()
    before = owned(cloud, server)
    if fails:
        cloud.executor.fails = lambda run, _: "kept" if run.playbook == DETACH else None
    monkeypatch.setattr(cloud.executor, "run", killed_at(cloud, number, after))
    detach(cloud, server, port_id)
    finish(cloud)
    wanted = before if fails else before - {port_id}
    assert owned(cloud, server) == plugged(cloud, server) == wanted
    assert {each.state for each in cloud.operations(kind=DETACH)} == {
        "failed" if fails else "succeeded"
    }


def test_what_runs_meanwhile_is_told_of_bound_ports_alone(cloud: Cloud, server: str) -> None:
    """An update of rules beside a detach must not set those again that are being removed."""
    port_id = attach(cloud, server)
    told: list[dict[str, Any]] = []
    answer = cloud.executor.run

    def look(run: Run) -> RunResult:
        if run.playbook == DETACH:
            told.extend(entries(cloud, server))
        return answer(run)

    cloud.work()
    cloud.executor.run = look  # type: ignore[method-assign]
    detach(cloud, server, port_id)
    cloud.work()
    assert port_id not in [port["id"] for entry in told for port in entry["ports"]]


def entries(cloud: Cloud, server_id: str) -> list[dict[str, Any]]:
    host_id = cloud.server(server_id).host_id
    assert host_id is not None
    with cloud.db.read() as session:
        found: list[dict[str, Any]] = runs.rules_of_host(session, host_id)["servers"]
        return found


def test_a_server_on_no_host_is_given_its_card_when_it_comes_to_one(
    cloud: Cloud, server: str
) -> None:
    with cloud.db.write() as session:
        ports.unbind(session, server)
        row = session.get_one(Server, server)
        row.host_id, row.state = None, "stopped"
    attach(cloud, server)
    cloud.work()
    assert cloud.playbooks() == []
    assert {each.state for each in cloud.operations(kind=ATTACH)} == {"succeeded"}
