"""An audit of a whole cloud on simulated hosts: agreement, each kind of disagreement, motion."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, update

from controller.conductor.audit.findings import KINDS, Finding
from controller.conductor.audit.looks import Audit, Auditor
from controller.conductor.audit.text import as_text
from controller.core import network_updates
from controller.core.operations import RUNNING
from controller.db.base import new_id
from controller.db.models import (
    Allocation,
    Image,
    Inventory,
    IPAllocation,
    Operation,
    Port,
    Server,
    Subnet,
)
from controller.errors import NotFound
from controller.runner.requests import RunResult
from controller.runner.simulated_hosts import SimulatedHost
from tests.unit.conductor.conftest import Cloud


def audit(cloud: Cloud, between: Callable[[], None] = lambda: None) -> Audit:
    auditor = Auditor(
        cloud.settings, cloud.db, cloud.executor, cloud.clock, wait=lambda _: between()
    )
    return auditor.audit()


def kinds(found: Audit) -> set[str]:
    return {finding.kind for finding in found.findings}


@pytest.fixture
def made(cloud: Cloud) -> Cloud:
    """A cloud with two hosts and a running and a stopped server, each with a port."""
    cloud.add_host("a")
    cloud.add_host("b")
    servers = [cloud.add_server(name) for name in ("runs", "stopped")]
    for number, server_id in enumerate(servers):
        give_port(cloud, server_id, number)
    cloud.work()
    cloud.act(servers[1], "stop")
    cloud.work()
    return cloud


def give_port(cloud: Cloud, server_id: str, number: int) -> None:
    port_id = cloud.add_port(server_id)
    with cloud.db.write() as session:
        network_id = session.get_one(Port, port_id).network_id
        subnet = Subnet(
            network_id=network_id, project_id="p" * 32, cidr="192.0.2.0/24", dhcp_ip="192.0.2.2"
        )
        session.add(subnet)
        session.flush()
        session.add(
            IPAllocation(
                subnet_id=subnet.id,
                ip_address=f"192.0.2.{100 + number}",
                position=100 + number,
                port_id=port_id,
            )
        )


def server_of(cloud: Cloud, name: str) -> Server:
    with cloud.db.read() as session:
        return session.query(Server).filter_by(name=name).one()


def host_of(cloud: Cloud, name: str) -> SimulatedHost:
    host_id = server_of(cloud, name).host_id
    assert host_id is not None
    return cloud.executor.hosts.hosts[host_id]


def set_server(cloud: Cloud, name: str, **values: Any) -> None:
    with cloud.db.write() as session:
        session.execute(update(Server).where(Server.name == name).values(**values))


def test_a_cloud_that_works_agrees(made: Cloud) -> None:
    found = audit(made)
    assert (found.findings, found.servers, found.hosts) == ([], 2, 2)
    assert as_text(found) == "All agree (2 servers, 2 hosts)."


def test_a_deleted_server_leaves_no_disagreement(made: Cloud) -> None:
    for name in ("runs", "stopped"):
        made.act(server_of(made, name).id, "delete")
    made.work()
    assert audit(made).findings == []


# --- the books alone ---------------------------------------------------------------------------


def test_a_task_state_without_an_operation(made: Cloud) -> None:
    set_server(made, "runs", task_state="rebooting")
    assert kinds(audit(made)) == {"task_without_operation"}


def test_an_operation_whose_worker_is_gone(made: Cloud) -> None:
    made.act(server_of(made, "runs").id, "reboot")
    with made.db.write() as session:
        session.execute(
            update(Operation)
            .where(Operation.kind == "server_reboot")
            .values(state=RUNNING, lease_owner="gone", lease_until=made.clock())
        )
    assert audit(made).agrees
    made.clock.advance(made.settings.lease_s + 1)
    assert kinds(audit(made)) == {"operation_without_owner"}


def test_an_operation_that_nobody_takes(made: Cloud) -> None:
    made.act(server_of(made, "runs").id, "reboot")
    made.clock.advance(121)
    assert kinds(audit(made)) == {"operation_waits"}


def test_an_allocation_that_is_missing_is_more_or_is_nobodys(made: Cloud) -> None:
    runs, stopped = (server_of(made, name) for name in ("runs", "stopped"))
    with made.db.write() as session:
        session.execute(delete(Allocation).where(Allocation.consumer_id == runs.id))
        session.execute(
            update(Allocation)
            .where(Allocation.consumer_id == stopped.id, Allocation.resource_class == "VCPU")
            .values(used=7)
        )
        session.add(
            Allocation(
                consumer_id=new_id(), provider_id=stopped.host_id, resource_class="VCPU", used=1
            )
        )
    found = audit(made)
    assert kinds(found) == {"allocation_missing", "allocation_differs", "allocation_of_nobody"}


def test_an_inventory_that_is_not_the_hosts(made: Cloud) -> None:
    with made.db.write() as session:
        session.execute(update(Inventory).where(Inventory.resource_class == "VCPU").values(total=1))
    assert kinds(audit(made)) == {"inventory_differs"}


def test_a_port_that_is_bound_elsewhere_or_of_nobody(made: Cloud) -> None:
    with made.db.write() as session:
        port = session.query(Port).filter_by(device_id=server_of(made, "runs").id).one()
        port.host_id = None
        network_id = port.network_id
        session.add(
            Port(
                network_id=network_id, project_id="p" * 32, mac_address="fa:16:3e:00:00:09",
                device_id=server_id_of_deleted(made), device_owner="compute:nova",
            )
        )  # fmt: skip
    assert {"port_on_other_host", "port_of_no_server"} <= kinds(audit(made))


def server_id_of_deleted(_cloud: Cloud) -> str:
    return new_id()


def test_the_image_store_and_its_table(made: Cloud) -> None:
    folder = made.settings.images_dir
    folder.mkdir(exist_ok=True)
    known, missing, nobodys = new_id(), new_id(), new_id()
    with made.db.write() as session:
        for image_id in (known, missing):
            session.add(Image(id=image_id, project_id="p" * 32, status="active", size_bytes=3))
    (folder / known).write_bytes(b"1234")
    (folder / nobodys).write_bytes(b"1")
    found = audit(made)
    assert kinds(found) == {"image_file_size", "image_file_missing", "image_file_of_nobody"}


def test_artifacts_of_no_operation(made: Cloud) -> None:
    (made.settings.artifacts_dir / new_id()).mkdir(parents=True)
    (made.settings.artifacts_dir / "host_enroll-a").mkdir()
    assert kinds(audit(made)) == {"artifacts_of_nobody"}


def test_what_a_host_says_moves_no_cursor() -> None:
    said = "unread: a says \x1b[2J\nAll agree"
    text = as_text(Audit([Finding("leftover", "a", said)]))
    assert "\x1b" not in text
    assert "\nAll agree" not in text


# --- the books against hosts -------------------------------------------------------------------


def test_a_domain_in_another_state(made: Cloud) -> None:
    server = server_of(made, "runs")
    host_of(made, "runs").servers[server.id].state = "stopped"
    found = audit(made)
    assert kinds(found) == {"power_state"}
    assert found.findings[0].server_id == server.id
    assert "server is active" not in as_text(found)
    assert f"server {server.id} is active, and its domain is stopped" in as_text(found)


def test_a_server_that_is_not_there_lacks_everything(made: Cloud) -> None:
    host_of(made, "runs").servers.clear()
    assert {
        "domain_missing", "disk_missing", "rules_missing", "dhcp_missing", "metadata_missing",
        "network_incomplete",
    } <= kinds(audit(made))  # fmt: skip


def test_a_domain_of_another_cloud(made: Cloud) -> None:
    server = server_of(made, "runs")
    host_of(made, "runs").servers[server.id].cloud_id = new_id()
    assert kinds(audit(made)) == {"domain_foreign"}


def test_what_is_left_of_a_deleted_server_is_a_leftover(made: Cloud) -> None:
    server = server_of(made, "runs")
    host, kept = host_of(made, "runs"), dict(host_of(made, "runs").servers)
    made.act(server.id, "delete")
    made.work()
    host.servers[server.id] = kept[server.id]
    found = audit(made)
    assert kinds(found) == {"leftover"}
    subjects = {finding.subject.split()[0] for finding in found.findings}
    assert subjects == {"domain", "folder", "port", "metadata", "network"}


def test_what_there_is_no_record_of_is_a_stray(made: Cloud) -> None:
    host = host_of(made, "runs")
    entry = host.servers[server_of(made, "runs").id]
    host.servers[new_id()] = type(entry)(entry.cloud_id, {"ports": [], "networks": []}, "running")
    assert kinds(audit(made)) == {"stray"}


def test_a_server_on_two_hosts_is_a_stray_on_the_other(made: Cloud) -> None:
    server = server_of(made, "runs")
    entry = host_of(made, "runs").servers[server.id]
    other = next(
        host for host_id, host in made.executor.hosts.hosts.items() if host_id != server.host_id
    )
    other.servers[server.id] = entry
    found = audit(made)
    assert kinds(found) == {"stray"}
    assert any("which is on" in finding.what for finding in found.findings)


def test_a_host_that_knows_newer_runs_shows_a_database_from_a_backup(made: Cloud) -> None:
    server = server_of(made, "runs")
    host = host_of(made, "runs")
    owner, generation = host.fences[server.id]
    host.fences[server.id] = (owner, generation + 1)
    host.fences[new_id()] = (owner, 1)
    # Another cloud's servers on the same host say nothing of ours.
    host.fences[new_id()] = (new_id(), 9)
    found = audit(made)
    assert kinds(found) == {"database_is_older"}
    assert len(found.findings) == 2


def test_a_hosts_own_fence_is_no_servers(made: Cloud) -> None:
    host_id = server_of(made, "runs").host_id
    assert host_id is not None
    with made.db.write() as session:
        network_updates.submit_for_hosts(session, {host_id})
    made.work()
    host = host_of(made, "runs")
    owner, generation = host.fences[host_id]
    assert audit(made).findings == []
    host.fences[host_id] = (owner, generation + 1)
    assert kinds(audit(made)) == {"database_is_older"}


def test_a_host_that_says_nothing(made: Cloud) -> None:
    made.executor.unreachable = {"a"}
    found = audit(made)
    assert kinds(found) == {"host_silent"}
    assert found.findings[0].host == "a"


def test_rules_that_a_play_would_change(made: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    made.executor.fails = lambda run, _id: "differ" if run.check else None
    assert kinds(audit(made)) == {"rules_differ"}


def test_rules_that_cannot_be_compared(made: Cloud) -> None:
    run = made.executor.run

    def refuse_checks(request: Any) -> Any:
        refused = RunResult("failed", message="Validation of arguments failed")
        return refused if request.check else run(request)

    made.executor.run = refuse_checks  # type: ignore[method-assign]
    found = audit(made)
    assert kinds(found) == {"host_unread"}
    assert "Validation of arguments failed" in as_text(found)


# --- a live cloud ------------------------------------------------------------------------------


def test_what_is_being_worked_on_is_no_disagreement(made: Cloud) -> None:
    server = server_of(made, "runs")
    made.act(server.id, "stop")
    host_of(made, "runs").servers[server.id].state = "stopped"
    found = audit(made)
    assert found.findings == []


def test_what_is_gone_by_the_second_look_is_no_disagreement(made: Cloud) -> None:
    server = server_of(made, "runs")
    entry = host_of(made, "runs").servers[server.id]
    entry.state = "stopped"

    def mended() -> None:
        entry.state = "running"

    found = audit(made, between=mended)
    assert (found.findings, found.looks) == ([], 2)


def test_a_server_that_changed_while_hosts_answered_is_left_out(made: Cloud) -> None:
    server = server_of(made, "runs")
    host_of(made, "runs").servers[server.id].state = "stopped"
    run = made.executor.run

    def run_and_change(request: Any) -> Any:
        result = run(request)
        if request.playbook == "host_audit":
            set_server(made, "runs", generation=Server.generation + 1)
        return result

    made.executor.run = run_and_change  # type: ignore[method-assign]
    found = audit(made)
    assert found.findings == []
    assert found.in_motion == 1


def test_only_one_host_is_looked_at_when_asked(made: Cloud) -> None:
    auditor = Auditor(made.settings, made.db, made.executor, made.clock, wait=lambda _: None)
    made.executor.unreachable = {"b"}
    assert auditor.audit("a").agrees
    with pytest.raises(NotFound):
        auditor.audit("nowhere")


def test_every_finding_says_why_it_matters_and_the_way_out() -> None:
    for kind, (why, way_out) in KINDS.items():
        assert why.endswith("."), kind
        assert way_out.endswith((".", ".)")), kind


def test_the_number_of_statements_does_not_grow_with_servers(made: Cloud) -> None:
    def statements() -> int:
        from sqlalchemy import event

        count = 0

        def seen(*_: Any) -> None:
            nonlocal count
            count += 1

        event.listen(made.db.engine, "before_cursor_execute", seen)
        assert audit(made).agrees
        event.remove(made.db.engine, "before_cursor_execute", seen)
        return count

    few = statements()
    for number in range(6):
        server_id = made.add_server(f"more{number}")
        made.work()
        assert made.server(server_id).state == "active"
    assert statements() == few
