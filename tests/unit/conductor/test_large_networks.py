"""Networks and groups of many ports: what a host is told grows with its own ports, no faster."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from controller.conductor import runs
from controller.core import network_arguments, network_updates, port_updates, router_arguments
from controller.db.base import new_id
from controller.db.models import (
    Host,
    IPAllocation,
    Network,
    Port,
    PortSecurityGroup,
    SecurityGroup,
    SecurityGroupRule,
    Server,
    Subnet,
)
from tests.fixtures.statements import counted
from tests.unit.conductor.conftest import CONTEXT, FLAVOR, Cloud


class Large:
    """An overlay network with a group that lets its own members in; ports come as asked for."""

    def __init__(self, session: Session) -> None:
        project = CONTEXT.project
        self.network = Network(project_id=project, network_type="vxlan", segmentation_id=5)
        self.group = SecurityGroup(project_id=project, name="web")
        session.add_all([self.network, self.group])
        session.flush()
        self.subnet = Subnet(
            network_id=self.network.id, project_id=project, cidr="10.0.0.0/16",
            gateway_ip="10.0.0.1",
        )  # fmt: skip
        rule = SecurityGroupRule(
            security_group_id=self.group.id, project_id=project, direction="ingress",
            remote_group_id=self.group.id,
        )  # fmt: skip
        session.add_all([self.subnet, rule])
        session.flush()
        self.count = 0

    def grow(self, session: Session, host_ids: list[str], count: int) -> None:
        """Have `count` ports in all, each of a server, shared out to the hosts."""
        for number in range(self.count, count):
            low = f"{number >> 8}.{number & 255}"
            host_id = host_ids[number % len(host_ids)]
            server = Server(
                project_id=CONTEXT.project, user_id=CONTEXT.user_id, name="web", hostname="web",
                flavor=FLAVOR, reservation_id="r", host_id=host_id, state="active",
            )  # fmt: skip
            session.add(server)
            session.flush()
            port = Port(
                network_id=self.network.id, project_id=CONTEXT.project, device_id=server.id,
                device_owner="compute:nova", host_id=host_id,
                mac_address=f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}",
            )  # fmt: skip
            session.add(port)
            session.flush()
            allocation = IPAllocation(
                subnet_id=self.subnet.id, ip_address=f"10.0.{low}", position=number, port_id=port.id
            )
            link = PortSecurityGroup(port_id=port.id, security_group_id=self.group.id)
            session.add_all([allocation, link])
        self.count = count


Told = Callable[[Session, str], dict[str, Any]]
TELLING: dict[str, Told] = {
    "port_update": runs.rules_of_host,
    "network_update": router_arguments.of_host,
}


@pytest.mark.parametrize("playbook", TELLING)
def test_a_host_is_told_in_as_many_statements_of_many_ports_as_of_few(
    cloud: Cloud, playbook: str
) -> None:
    """A group of 1,000 ports on 20 hosts was told by server: 5.6 MB for each host at every rule."""
    hosts = [cloud.add_host(f"h{number}") for number in range(4)]
    with cloud.db.write() as session:
        for number, host_id in enumerate(hosts):
            session.get_one(Host, host_id).tunnel_ip = f"10.90.0.{number}"
        large = Large(session)
    costs, sizes = [], []
    for count in (40, 160):
        with cloud.db.write() as session:
            large.grow(session, hosts, count)
        with cloud.db.read() as session, counted(cloud.db.engine) as statements:
            told = TELLING[playbook](session, hosts[0])
        costs.append(len(statements))
        sizes.append(len(json.dumps(told)) / count)
    assert costs[0] == costs[1]
    # Four times as many ports on this host and in all: about four times as much, not sixteen.
    assert sizes[1] < 1.2 * sizes[0]


def test_no_query_for_whom_a_change_concerns_reads_every_port_of_the_cloud(cloud: Cloud) -> None:
    """As servers come and go, these are asked each time."""
    if cloud.db.engine.dialect.name != "sqlite":
        pytest.skip("the plan of a query is told in SQLite's words")
    hosts = [cloud.add_host("h1"), cloud.add_host("h2")]
    with cloud.db.write() as session:
        large = Large(session)
        large.grow(session, hosts, 4)
        network_id, group_id = large.network.id, large.group.id
    with cloud.db.write() as session, explained(session) as plans:
        network_updates.members_changed(session, {network_id}, told_host=hosts[0])
        network_updates.networks_changed(session, {network_id}, None)
        network_updates.router_changed(session, new_id(), None)
        network_updates.host_booted(session, hosts[0])
        port_updates.servers_came_or_went(session, {group_id}, told_host=hosts[0])
        port_updates.group_changed(session, {group_id}, None)
        runs.rules_of_host(session, hosts[0])
        router_arguments.of_host(session, hosts[0])
    assert any("SEARCH ports" in step for step in plans)
    assert [step for step in plans if step.startswith("SCAN ports")] == []


@contextmanager
def explained(session: Session) -> Iterator[list[str]]:
    """Yield the steps of SQLite's plans for the block's queries, once it is over."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    steps: list[str] = []
    try:
        yield steps
    finally:
        event.remove(engine, "before_cursor_execute", note)
    for statement, parameters in asked:
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps += [row.detail for row in plan]


def test_the_rules_of_a_host_are_those_of_each_of_its_servers(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    with cloud.db.write() as session:
        Large(session).grow(session, [host_id], 5)
        told = runs.rules_of_host(session, host_id)
        server_ids = [entry["id"] for entry in told["servers"]]
        each = network_arguments.for_servers(session, server_ids)
    assert (len(server_ids), len(told["security_groups"])) == (5, 1)
    assert network_arguments.told_rules(told) == {
        server_id: {name: each[server_id][name] for name in network_arguments.RULES}
        for server_id in server_ids
    }
    assert [len(members) for members in told["remote_group_members"].values()] == [5]
