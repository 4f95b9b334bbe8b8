"""Leftovers: what deleted servers left is removed by way of quarantine; all else is reported."""

import pytest
from sqlalchemy import delete, select

from controller.conductor.reconcilers import host_leftovers, host_tidy
from controller.core import port_departures, reaping
from controller.db.base import new_id
from controller.db.models import Host, IPAllocation, Port, PortDeparture, Server, Subnet
from controller.runner.simulated_hosts import SimulatedHost, SimulatedServer
from tests.unit.conductor.conftest import Cloud

CLOUD_ID = "3f0c0000-0000-4000-8000-000000000000"


def reap(cloud: Cloud) -> int:
    submitted = host_leftovers.run(
        cloud.settings, cloud.db, cloud.executor, cloud.clock, lambda _seconds: None
    )
    cloud.work()
    return submitted


def why_off(cloud: Cloud) -> str | None:
    with cloud.db.read() as session:
        return reaping.why_off(session)


def off(cloud: Cloud) -> dict[str, str]:
    with cloud.db.read() as session:
        return reaping.hosts_off(session)


def empty_host(cloud: Cloud, name: str) -> SimulatedHost:
    host = cloud.executor.hosts.hosts[cloud.add_host(name)] = SimulatedHost()
    return host


@pytest.fixture
def leftover(cloud: Cloud) -> tuple[str, SimulatedHost]:
    """A deleted server that its host still has, and the host."""
    host_id = cloud.add_host("a")
    server_id = cloud.add_server()
    cloud.add_port(server_id)
    cloud.work()
    host = cloud.executor.hosts.hosts[host_id]
    kept = host.servers[server_id]
    cloud.act(server_id, "delete")
    cloud.work()
    host.servers[server_id] = kept
    cloud.executor.runs.clear()
    return server_id, host


def test_what_is_left_of_a_deleted_server_goes_and_its_disks_are_set_aside(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    server_id, host = leftover
    assert reap(cloud) == 1
    assert host.servers == {}
    assert host.quarantine == [server_id]
    (run,) = [run for run in cloud.executor.runs if run.playbook == "server_delete"]
    (entry,) = run.arguments["servers"]
    assert (len(entry["ports"]), len(entry["networks"])) == (1, 1)
    assert entry["generation"] > 2
    assert reap(cloud) == 0


def test_what_another_server_has_on_the_host_by_now_is_left_to_it(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    server_id, _ = leftover
    with cloud.db.write() as session:
        (departed,) = port_departures.of_servers(session, [server_id])
        departed.addresses = ["10.91.0.7", "10.91.0.8"]
        host_id = session.scalars(select(Host.id)).one()
        subnet = Subnet(
            network_id=departed.network_id, project_id="p", ip_version=4, cidr="10.91.0.0/24"
        )
        other = Port(
            network_id=departed.network_id, project_id="p", mac_address="fa:16:3e:00:00:02",
            host_id=host_id,
        )  # fmt: skip
        session.add_all([subnet, other])
        session.flush()
        session.add(
            IPAllocation(subnet_id=subnet.id, ip_address="10.91.0.7", position=7, port_id=other.id)
        )
    assert reap(cloud) == 1
    (run,) = [run for run in cloud.executor.runs if run.playbook == "server_delete"]
    (port,) = run.arguments["servers"][0]["ports"]
    assert port["fixed_ips"] == [{"ip_address": "10.91.0.8"}]


def test_a_port_that_serves_another_server_there_is_left_to_it(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    server_id, _ = leftover
    with cloud.db.write() as session:
        (departed,) = port_departures.of_servers(session, [server_id])
        session.add(
            Port(
                id=departed.port_id, network_id=departed.network_id, project_id="p",
                mac_address=departed.mac_address, device_id=new_id(),
                host_id=session.scalars(select(Host.id)).one(),
            )
        )  # fmt: skip
    assert reap(cloud) == 1
    (run,) = [run for run in cloud.executor.runs if run.playbook == "server_delete"]
    assert run.arguments["servers"][0]["ports"] == []


def test_what_has_no_record_of_deletion_stays(
    cloud: Cloud, leftover: tuple[str, SimulatedHost], caplog: pytest.LogCaptureFixture
) -> None:
    _, host = leftover
    stray = new_id()
    host.servers[stray] = SimulatedServer(CLOUD_ID, {"ports": [], "networks": []}, "running")
    reap(cloud)
    assert set(host.servers) == {stray}
    assert f"stray: a has a domain (running) of server {stray}" in caplog.text


def test_ports_of_a_living_server_are_never_reaped(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    with cloud.db.write() as session:
        session.execute(delete(PortDeparture))
        session.get_one(Server, leftover[0]).deleted_at = None
    assert reap(cloud) == 0
    assert leftover[0] in leftover[1].servers


def test_what_another_cloud_has_on_the_host_is_not_looked_at(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    server_id, host = leftover
    host.servers[server_id].cloud_id = new_id()
    host.fences[server_id] = (new_id(), 99)
    assert reap(cloud) == 0
    assert server_id in host.servers


def test_a_host_with_newer_runs_is_left_alone_until_somebody_looked(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    server_id, host = leftover
    host.fences[new_id()] = (CLOUD_ID, 1)
    assert reap(cloud) == 0
    assert "which is not known" in off(cloud)["a"]
    host.fences = {server_id: host.fences[server_id]}
    assert reap(cloud) == 0
    assert server_id in host.servers
    with cloud.db.write() as session:
        reaping.switch_on(session)
    assert reap(cloud) == 1
    assert host.servers == {}


def test_a_host_that_lies_keeps_reaping_from_no_other(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    server_id, host = leftover
    liar = empty_host(cloud, "liar")
    liar.fences[new_id()] = (CLOUD_ID, 1_000_000)
    assert reap(cloud) == 1
    assert host.servers == {}
    assert list(off(cloud)) == ["liar"]
    assert why_off(cloud) is None
    # What it claims to have of a deleted server stays, too.
    liar.fences[server_id] = host.fences[server_id]
    liar.servers[server_id] = SimulatedServer(CLOUD_ID, {"ports": [], "networks": []}, "running")
    assert reap(cloud) == 0
    assert server_id in liar.servers


def test_a_host_that_can_not_be_asked_meanwhile_waits_until_it_can(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    """It may have newer runs too: a database restored from a backup, and nobody said so."""
    _, host = leftover
    newer = empty_host(cloud, "newer")
    newer.fences[new_id()] = (CLOUD_ID, 1)
    cloud.executor.unreachable = {"a"}
    assert reap(cloud) == 0
    assert off(cloud)["a"] == reaping.NOT_ASKED
    cloud.executor.unreachable = set()
    assert host_tidy.run(cloud.settings, cloud.db, cloud.executor, cloud.clock) == 0
    assert reap(cloud) == 1
    assert host.servers == {}
    assert list(off(cloud)) == ["newer"]
    assert host_tidy.run(cloud.settings, cloud.db, cloud.executor, cloud.clock) == 1


def test_a_restored_database_lets_its_runs_in_and_reaps_nothing(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    server_id, _ = leftover
    before = cloud.server(server_id).generation
    with cloud.db.write() as session:
        reaping.note_restored(session)
    assert cloud.server(server_id).generation == before + reaping.GENERATIONS_AHEAD
    host_id = cloud.server(server_id).host_id
    assert host_id is not None
    assert cloud.host(host_id).generation == reaping.GENERATIONS_AHEAD
    assert why_off(cloud) == reaping.RESTORED
    assert reap(cloud) == 0


def test_a_leftover_on_a_host_that_is_down_waits(
    cloud: Cloud, leftover: tuple[str, SimulatedHost]
) -> None:
    cloud.executor.unreachable = {"a"}
    assert reap(cloud) == 0
