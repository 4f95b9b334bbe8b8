"""port_update: one play about all ports of a host."""

import threading
from typing import Any

import pytest

from controller.conductor import runs
from controller.core import hosts
from controller.core.port_updates import GATHER_S, submit_for_hosts
from controller.db.models import (
    IPAllocation,
    Port,
    PortSecurityGroup,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
)
from controller.runner.requests import Run
from lab.waiting import wait_until
from tests.unit.conductor.conftest import CONTEXT, Cloud


def submit(cloud: Cloud, host_id: str, after_s: float = 0.0) -> None:
    with cloud.db.write() as session:
        submit_for_hosts(session, {host_id}, after_s=after_s)


def test_it_tells_the_host_of_all_its_servers_without_going_before_newer_runs(
    cloud: Cloud,
) -> None:
    host_id = cloud.add_host("h1")
    first, second = cloud.active_server(), cloud.active_server()
    generations = {each: cloud.server(each).generation for each in (first, second)}
    submit(cloud, host_id)
    cloud.work()
    run = cloud.executor.runs[-1]
    assert run.playbook == "port_update"
    told = {entry["id"]: entry["generation"] for entry in run.arguments["servers"]}
    assert told == generations
    assert run.arguments["host_fence"] == {"id": host_id, "generation": 1}
    submit(cloud, host_id)
    cloud.work()
    assert cloud.executor.runs[-1].arguments["host_fence"]["generation"] == 2
    assert cloud.operations(kind="port_update")[0].state == "succeeded"


def test_a_server_that_a_newer_run_works_on_is_no_failure(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.active_server()
    original = cloud.executor._item

    def fenced(run: Run, item_id: str) -> dict[str, Any]:
        return original(run, item_id) | {"failed": True, "fenced": True, "msg": "succeeded by 9"}

    cloud.executor._item = fenced  # type: ignore[method-assign]
    submit(cloud, host_id)
    cloud.work()
    assert cloud.operations(kind="port_update")[0].state == "succeeded"


def test_a_host_that_refuses_the_newest_run_has_not_set_its_rules(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.active_server()
    original = cloud.executor._item

    def fenced(run: Run, item_id: str) -> dict[str, Any]:
        return original(run, item_id) | {"failed": True, "fenced": True, "host_fenced": True}

    cloud.executor._item = fenced  # type: ignore[method-assign]
    submit(cloud, host_id)
    cloud.work()
    (update,) = cloud.operations(kind="port_update")
    assert (update.state, update.attempts) == ("queued", 1)


def test_it_is_tried_until_the_host_is_back(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.active_server()
    cloud.executor.unreachable = {"h1"}
    submit(cloud, host_id)
    for _ in range(4):
        cloud.work()
        cloud.clock.advance(3600)
    cloud.executor.unreachable = set()
    cloud.work()
    (update,) = cloud.operations(kind="port_update")
    assert (update.state, update.attempts) == ("succeeded", 4)


def test_a_host_gets_one_at_a_time_so_that_older_rules_never_come_last(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    gate = threading.Event()
    cloud.active_server()
    cloud.executor.fails = lambda _run, _id: None if gate.wait(60) else "late"
    submit(cloud, host_id)
    engine = cloud.engine()
    engine.tick()
    wait_until(lambda: bool(cloud.executor.runs), what="the first one runs", timeout_s=60)
    submit(cloud, host_id)
    assert engine.tick() == 0
    gate.set()
    engine.run_until_idle()
    assert cloud.playbooks() == ["port_update"] * 2


def test_a_change_does_not_wait_for_the_next_try_of_one_that_failed(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.active_server()
    cloud.executor.fails = lambda _run, _id: "no iptables"
    submit(cloud, host_id)
    cloud.work()
    cloud.executor.fails = None
    submit(cloud, host_id)
    cloud.work()
    (update,) = cloud.operations(kind="port_update")
    assert (update.state, update.attempts) == ("succeeded", 1)


@pytest.mark.parametrize("changed", [True, False])
def test_rules_that_changed_during_a_run_are_set_anew_after_it(cloud: Cloud, changed: bool) -> None:
    """The update of the change may have come first, and the run have set the older rules last."""
    cloud.add_host("h1")
    server_id = cloud.add_server()
    port_id = cloud.add_port(server_id)
    with cloud.db.write() as session:
        group = SecurityGroup(project_id=CONTEXT.project, name="web")
        session.add(group)
        session.flush()
        rule = SecurityGroupRule(
            security_group_id=group.id, project_id=CONTEXT.project, direction="ingress"
        )
        session.add_all([rule, PortSecurityGroup(port_id=port_id, security_group_id=group.id)])

    def change(run: Run, _item_id: str) -> None:
        if changed and run.playbook == "server_create":
            with cloud.db.write() as session:
                session.delete(session.merge(rule))

    cloud.executor.fails = change
    cloud.work()
    assert cloud.server(server_id).state == "active"
    assert cloud.playbooks() == ["server_create", *(["port_update"] if changed else [])]
    if changed:
        (told,) = cloud.executor.runs[-1].arguments["security_groups"]
        assert told["rules"] == []


def test_members_that_came_during_a_run_have_time(cloud: Cloud) -> None:
    """Fifty creates side by side must not have as many updates of the rules after them."""
    cloud.add_host("h1")
    first, second = cloud.add_server(), cloud.active_server()
    with cloud.db.write() as session:
        group = SecurityGroup(project_id=CONTEXT.project, name="web")
        session.add(group)
        session.flush()
        rule = SecurityGroupRule(
            security_group_id=group.id, project_id=CONTEXT.project, direction="ingress",
            remote_group_id=group.id,
        )  # fmt: skip
        session.add(rule)
    other = cloud.add_port(second)
    cloud.act(first, "stop")
    cloud.work()
    mine = cloud.add_port(first)
    with cloud.db.write() as session:
        session.get_one(Port, mine).host_id = cloud.server(first).host_id
        for port_id in (mine, other):
            session.add(PortSecurityGroup(port_id=port_id, security_group_id=group.id))

    def come(run: Run, _item_id: str) -> None:
        if run.playbook == "server_start":
            with cloud.db.write() as session:
                port = session.get_one(Port, other)
                port.host_id = cloud.server(second).host_id
                subnet = Subnet(
                    network_id=port.network_id, project_id=CONTEXT.project, cidr="192.0.2.0/24"
                )
                session.add(subnet)
                session.flush()
                address = {"ip_address": "192.0.2.9", "position": 9}
                session.add(IPAllocation(subnet_id=subnet.id, port_id=other, **address))

    cloud.executor.fails = come
    cloud.executor.runs.clear()
    cloud.act(first, "start")
    cloud.work()
    assert cloud.playbooks() == ["server_start"]
    cloud.clock.advance(GATHER_S)
    cloud.work()
    assert cloud.playbooks() == ["server_start", "port_update"]


def test_it_ends_when_its_host_was_removed(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.executor.unreachable = {"h1"}
    submit(cloud, host_id)
    cloud.work()
    with cloud.db.write() as session:
        hosts.remove(session, hosts.get(session, host_id))
    cloud.clock.advance(3600)
    cloud.work()
    assert cloud.operations(kind="port_update")[0].state == "succeeded"


def test_what_servers_change_by_coming_and_going_is_gathered_for_a_moment(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.active_server()
    for _ in range(3):
        submit(cloud, host_id, after_s=GATHER_S)
    cloud.work()
    assert cloud.playbooks() == []
    cloud.clock.advance(GATHER_S)
    cloud.work()
    assert cloud.playbooks() == ["port_update"]


def test_what_a_caller_takes_back_does_not_wait_for_what_is_gathered(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.active_server()
    submit(cloud, host_id, after_s=GATHER_S)
    submit(cloud, host_id)
    submit(cloud, host_id, after_s=GATHER_S)
    cloud.work()
    assert cloud.playbooks() == ["port_update"]


def test_a_host_without_servers_is_told_so(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    submit(cloud, host_id)
    cloud.work()
    assert cloud.operations(kind="port_update")[0].state == "succeeded"


def test_a_server_that_is_being_deleted_is_left_out(cloud: Cloud) -> None:
    """With the delete's own generation it set rules again behind it. Found by chaos."""
    host_id = cloud.add_host("a")
    stays = cloud.active_server()
    goes = cloud.add_server("goes")
    cloud.work()
    cloud.act(goes, "delete")
    with cloud.db.read() as session:
        entries = runs.rules_of_host(session, host_id)["servers"]
    assert [entry["id"] for entry in entries] == [stays]


def test_a_delete_that_failed_has_the_rules_set_again(cloud: Cloud) -> None:
    cloud.add_host("a")
    server_id = cloud.active_server()
    cloud.executor.fails = lambda run, _id: "busy" if run.playbook == "server_delete" else None
    cloud.act(server_id, "delete")
    for _ in range(4):
        cloud.work()
        cloud.clock.advance(10)
    assert cloud.server(server_id).state == "error"
    assert cloud.playbooks()[-1] == "port_update"
    (entry,) = cloud.executor.runs[-1].arguments["servers"]
    assert entry["id"] == server_id
