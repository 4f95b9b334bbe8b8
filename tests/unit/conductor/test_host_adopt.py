"""Adoption: domains that were made by hand become servers, whole or not at all."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from controller.conductor import host_adopt, host_domains
from controller.conductor.audit.looks import Auditor
from controller.conductor.host_domains import NO_CLOUD, UnknownDomain
from controller.core.adopted_servers import Wish
from controller.db.models import (
    Allocation,
    Flavor,
    Image,
    IPAllocation,
    Network,
    Operation,
    Port,
    SecurityGroup,
    Server,
    Subnet,
)
from controller.errors import Conflict, HostFailed
from controller.runner.requests import Run, RunResult
from tests.unit.conductor.conftest import CONTEXT, Cloud

SERVER = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
NETWORK = "6a1f8f2e-0c83-4f3b-9a6e-1d2b3c4d5e6f"
PORT = "c0ffee00-1111-4222-8333-444455556666"
IMAGE = "8d3c2c86-6f0d-4a52-9a43-4a5f4a2f9d10"
CLOUD = "3f0c0000-0000-4000-8000-000000000000"
MAC = "fa:16:3e:5f:2c:bb"
FOLDER = f"/var/lib/novella/instances/{SERVER}"
BASE = hashlib.sha1(IMAGE.encode(), usedforsecurity=False).hexdigest()
WISH = Wish(CONTEXT.project, CONTEXT.user_id)
PLAYS = ["server_converge", "host_adopt", "server_converge"]
DIFF = {"before": "rule a\n", "after": "rule b\n", "before_header": "packet filter"}


def domain(**others: Any) -> dict[str, Any]:
    """A domain made by hand, as host_domains_info describes it."""
    reserved = {"network_id": NETWORK, "port_id": PORT, "lines": [f"{MAC},192.0.2.100,web1"]}
    card = {"tap": "nvtc0ffee00111", "mac_address": MAC, "bridge": "nvb6a1f8f2e0c8"}
    disk = {
        "device": "vda", "source": f"{FOLDER}/disk", "format": "qcow2", "serial": None,
        "virtual_size_bytes": 1 << 30, "backing_file": f"/var/lib/novella/instances/_base/{BASE}",
    }  # fmt: skip
    guest = {
        "name": "web1", "hostname": "web1", "availability_zone": "nova", "launch_index": 0,
        "public_keys": {"mykey": "ssh-ed25519 AAAA"}, "meta": {"role": "web"},
        "project_id": "by-hand", "security_groups": "web", "user_data_sha256": None,
        "password_serial": 0,
    }  # fmt: skip
    said = {
        "id": SERVER, "name": f"novella-{SERVER}", "cloud_id": NO_CLOUD, "state": "running",
        "mark": {"name": "web1", "flavor": "m1.hand", "project": "by-hand"}, "persistent": True,
        "vcpus": 1, "memory_mb": 128, "disks": [disk], "interfaces": [{**card, "port": reserved}],
        "guest": guest, "fence": {"owner": NO_CLOUD, "generation": None},
    }  # fmt: skip
    return {**said, **others}


@pytest.fixture
def host_id(cloud: Cloud) -> str:
    """A host with the domain, in a cloud that has its network and image."""
    host_id = cloud.add_host("h1")
    with cloud.db.write() as session:
        session.add(Network(id=NETWORK, project_id=CONTEXT.project, physical_network="physnet1"))
        session.add(Image(id=IMAGE, project_id=CONTEXT.project, status="active", properties={}))
        session.flush()
        session.add(
            Subnet(network_id=NETWORK, project_id=CONTEXT.project, cidr="192.0.2.0/24",
                   gateway_ip="192.0.2.1")
        )  # fmt: skip
    has(cloud, host_id, domain())
    return host_id


def has(cloud: Cloud, host_id: str, *domains: dict[str, Any]) -> None:
    with cloud.db.write() as session:
        host = session.get_one(type(cloud.host(host_id)), host_id)
        host.variables = {**host.variables, "simulated_domains": list(domains)}


def listed(cloud: Cloud, host_id: str) -> list[UnknownDomain]:
    return host_domains.unknown(cloud.settings, cloud.db, cloud.executor, cloud.host(host_id))


def adopt(cloud: Cloud, host_id: str, wish: Wish = WISH, user_data: str | None = None) -> Operation:
    """Have it adopted, as the command does; return the operation as it ended."""
    (found,) = listed(cloud, host_id)
    assert found.plan is not None, found.problems
    cloud.executor.runs.clear()
    with cloud.db.write() as session:
        host = cloud.host(host_id)
        operation = host_adopt.submit(session, cloud.settings, host, found.plan, wish, user_data)
        operation_id = operation.id
    cloud.work()
    return ended(cloud, operation_id)


def runs(cloud: Cloud) -> list[Run]:
    """The runs so far, but those that tell hosts of new members of groups."""
    return [run for run in cloud.executor.runs if run.playbook != "port_update"]


def plays(cloud: Cloud) -> list[str]:
    return [run.playbook for run in runs(cloud)]


def ended(cloud: Cloud, operation_id: str) -> Operation:
    (operation,) = [each for each in cloud.operations() if each.id == operation_id]
    return operation


def rows(cloud: Cloud) -> dict[str, int]:
    """How many rows there are of all that adoption writes."""
    # The project's default group comes with whatever is first asked for it.
    tables = (Server, Port, IPAllocation, Allocation, Flavor, SecurityGroup)
    with cloud.db.read() as session:
        return {each.__tablename__: len(session.scalars(select(each)).all()) for each in tables}


NOTHING = {
    "servers": 0, "ports": 0, "ip_allocations": 0, "allocations": 0, "flavors": 0,
    "security_groups": 1,
}  # fmt: skip


def differing(cloud: Cloud, differs: Callable[[Run], bool]) -> None:
    """Have the host find something to change in the runs that `differs` picks."""
    answer = cloud.executor._item

    def item(run: Run, server_id: str) -> dict[str, Any]:
        said = answer(run, server_id)
        if run.playbook != "server_converge" or not differs(run):
            return said
        step = {"name": "Set the rules", "changed": True, "failed": False, "diff": DIFF}
        return said | {"changed": True, "steps": [step]}

    cloud.executor._item = item  # type: ignore[method-assign]


def test_a_domain_that_was_made_by_hand_becomes_a_server(cloud: Cloud, host_id: str) -> None:
    operation = adopt(cloud, host_id)
    assert (operation.state, operation.server_id) == ("succeeded", SERVER), operation.error
    assert plays(cloud) == PLAYS
    # Nothing but the mark is written, and it is the check that proves the rest.
    assert [run.check for run in runs(cloud)] == [True, False, True]
    assert [run.arguments["cloud_id"] for run in runs(cloud)] == [NO_CLOUD, CLOUD, CLOUD]
    server = cloud.server(SERVER)
    assert (server.state, server.task_state, server.power_state) == ("active", None, 1)
    assert (server.name, server.hostname, server.host_id) == ("web1", "web1", host_id)
    assert (server.key_name, server.public_key) == ("mykey", "ssh-ed25519 AAAA")
    assert (server.meta, server.image_id) == ({"role": "web"}, IMAGE)
    assert (server.flavor["name"], server.flavor["memory_mb"]) == ("m1.hand", 128)
    assert server.generation == 1
    with cloud.db.read() as session:
        port = session.get_one(Port, PORT)
        assert (port.mac_address, port.device_id, port.host_id) == (MAC, SERVER, host_id)
        (address,) = session.scalars(select(IPAllocation))
        assert (address.ip_address, address.port_id) == ("192.0.2.100", PORT)
        held = {each.resource_class: each.used for each in session.scalars(select(Allocation))}
    assert held == {"VCPU": 1, "MEMORY_MB": 128, "DISK_GB": 1}
    # What it is told from now on goes by its rows.
    cloud.act(SERVER, "stop")
    cloud.work()
    assert (cloud.server(SERVER).state, cloud.server(SERVER).generation) == ("stopped", 2)


def test_what_was_done_by_hand_is_compared_as_it_was_done(cloud: Cloud, host_id: str) -> None:
    adopt(cloud, host_id)
    before, mark, after = (run.arguments["servers"][0] for run in runs(cloud))
    assert (before["project_id"], before["flavor"]["name"]) == ("by-hand", "m1.hand")
    assert [group["name"] for group in before["security_groups"]] == ["web"]
    assert (mark["project_id"], after["project_id"]) == (CONTEXT.project, CONTEXT.project)
    assert "generation" not in before
    assert (mark["generation"], "generation" in after) == (1, False)


def test_a_domain_that_the_cloud_knows_is_not_listed(cloud: Cloud, host_id: str) -> None:
    (found,) = listed(cloud, host_id)
    assert (found.id, found.name, found.problems) == (SERVER, f"novella-{SERVER}", ())
    adopt(cloud, host_id)
    assert listed(cloud, host_id) == []


def test_a_host_that_does_not_answer_is_said(cloud: Cloud, host_id: str) -> None:
    cloud.executor.unreachable.add("h1")
    with pytest.raises(HostFailed, match="could not be asked for its domains"):
        listed(cloud, host_id)


CARD = domain()["interfaces"][0]
DISK = domain()["disks"][0]


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"name": "db1"}, "its name is db1"),
        ({"cloud_id": None}, "it bears no mark of Novella"),
        ({"cloud_id": CLOUD}, "it belongs to cloud"),
        ({"persistent": False}, "it is transient"),
        ({"state": "crashed"}, "it is crashed"),
        ({"disks": []}, "it has no root disk"),
        ({"disks": [DISK, {**DISK, "source": "/dev/vg/data"}]}, "its disk /dev/vg/data is none"),
        ({"disks": [{**DISK, "backing_file": None}]}, "does not stand on an image"),
        ({"interfaces": [{**CARD, "port": None}]}, "has no address reserved"),
        ({"interfaces": [{**CARD, "bridge": "br0"}]}, "is in bridge br0"),
        ({"interfaces": [{**CARD, "mac_address": "fa:16:3e:00:00:01"}]}, "are another's"),
        ({"disks": "nonsense"}, "can't be read"),
    ],
)
def test_what_no_server_can_be_is_refused_with_the_reason(
    cloud: Cloud, host_id: str, others: dict[str, Any], why: str
) -> None:
    has(cloud, host_id, domain(**others))
    (found,) = listed(cloud, host_id)
    assert found.plan is None
    assert why in " ".join(found.problems)


def test_what_differs_beforehand_is_shown_and_nothing_is_written(
    cloud: Cloud, host_id: str
) -> None:
    differing(cloud, lambda _run: True)
    operation = adopt(cloud, host_id)
    assert operation.state == "failed"
    assert "+rule b" in operation.data["differs"]
    assert operation.error is not None
    assert "without touching it" in operation.error["message"]
    assert plays(cloud) == PLAYS[:1]
    assert rows(cloud) == NOTHING


def test_what_differs_afterwards_has_the_mark_taken_back(cloud: Cloud, host_id: str) -> None:
    differing(cloud, lambda run: run.arguments["cloud_id"] == CLOUD)
    operation = adopt(cloud, host_id)
    assert (operation.state, "+rule b" in operation.data["differs"]) == ("failed", True)
    assert plays(cloud) == [*PLAYS, "host_adopt"]
    back = cloud.executor.runs[-1].arguments["servers"][0]
    assert (back["mark_cloud_id"], back["project_id"]) == (NO_CLOUD, "by-hand")
    assert cloud.executor.hosts.hosts[host_id].fences[SERVER] == (NO_CLOUD, 2)
    assert rows(cloud) == NOTHING


@pytest.mark.parametrize("number", range(len(PLAYS)))
def test_a_worker_that_dies_at_any_play_leaves_it_to_another(
    cloud: Cloud, host_id: str, number: int
) -> None:
    lost_after(cloud, number)
    operation = adopt(cloud, host_id)
    assert operation.state == "queued"
    assert rows(cloud) == NOTHING
    cloud.clock.advance(30)
    cloud.work()
    assert ended(cloud, operation.id).state == "succeeded"
    assert plays(cloud) == [*PLAYS[: number + 1], *PLAYS[number:]]
    # The run that was lost is shut out by the one that came after it.
    assert cloud.server(SERVER).generation == (2 if number == 1 else 1)


@pytest.mark.parametrize("number", range(4))
def test_a_worker_that_dies_while_it_is_refused_leaves_nothing(
    cloud: Cloud, host_id: str, number: int
) -> None:
    differing(cloud, lambda run: run.arguments["cloud_id"] == CLOUD)
    lost_after(cloud, number)
    operation = adopt(cloud, host_id)
    cloud.clock.advance(30)
    cloud.work()
    assert ended(cloud, operation.id).state == "failed"
    assert cloud.executor.hosts.hosts[host_id].fences[SERVER][0] == NO_CLOUD
    assert rows(cloud) == NOTHING


def lost_after(cloud: Cloud, number: int) -> None:
    """Have the worker lose what its run of this number came to, once."""
    run = cloud.executor.run

    def lose(asked: Run) -> RunResult:
        result = run(asked)
        if len(cloud.executor.runs) == number + 1:
            cloud.executor.run = run  # type: ignore[method-assign]
            raise ZeroDivisionError("killed")
        return result

    def begin(asked: Run) -> RunResult:
        # The listing comes before.
        if asked.playbook == "host_domains":
            return run(asked)
        cloud.executor.run = lose  # type: ignore[method-assign]
        return lose(asked)

    cloud.executor.run = begin  # type: ignore[method-assign]


def test_an_address_that_is_taken_is_refused_and_nothing_is_written(
    cloud: Cloud, host_id: str
) -> None:
    with cloud.db.write() as session:
        subnet = session.scalars(select(Subnet)).one()
        other = Port(network_id=NETWORK, project_id=CONTEXT.project, mac_address="fa:16:3e:0:0:9")
        session.add(other)
        session.flush()
        session.add(
            IPAllocation(
                subnet_id=subnet.id, ip_address="192.0.2.100", position=100, port_id=other.id
            )
        )
    before = rows(cloud)
    operation = adopt(cloud, host_id)
    assert operation.state == "failed"
    assert operation.error is not None
    assert "192.0.2.100 is in use" in operation.error["message"]
    assert (plays(cloud), rows(cloud)) == ([], before | {"security_groups": 1})


def test_an_address_that_is_taken_meanwhile_has_the_mark_taken_back(
    cloud: Cloud, host_id: str
) -> None:
    run = cloud.executor.run

    def take_meanwhile(asked: Run) -> RunResult:
        result = run(asked)
        if plays(cloud) == PLAYS:
            cloud.executor.run = run  # type: ignore[method-assign]
            with cloud.db.write() as session:
                session.add(Port(network_id=NETWORK, project_id=CONTEXT.project, mac_address=MAC))
        return result

    cloud.executor.run = take_meanwhile  # type: ignore[method-assign]
    operation = adopt(cloud, host_id)
    assert operation.state == "failed"
    assert plays(cloud) == [*PLAYS, "host_adopt"]
    assert cloud.executor.hosts.hosts[host_id].fences[SERVER][0] == NO_CLOUD
    assert rows(cloud) == NOTHING | {"ports": 1}


def test_a_network_or_an_image_that_the_cloud_has_not_got_is_refused(
    cloud: Cloud, host_id: str
) -> None:
    with cloud.db.write() as session:
        session.get_one(Network, NETWORK).project_id = "another"
    refused = adopt(cloud, host_id)
    assert refused.error is not None
    assert "which this cloud has not got for project" in refused.error["message"]
    with cloud.db.write() as session:
        session.get_one(Image, IMAGE).status = "queued"
    refused = adopt(cloud, host_id)
    assert refused.error is not None
    assert "openstack image create --id" in refused.error["message"]
    assert (plays(cloud), rows(cloud)) == ([], NOTHING)


def test_a_flavor_is_matched_before_one_is_made(cloud: Cloud, host_id: str) -> None:
    sizes = {"vcpus": 1, "memory_mb": 128, "disk_gb": 1}
    with cloud.db.write() as session:
        session.add(Flavor(flavor_id="7", name="small", **sizes))
        session.add(Flavor(flavor_id="8", name="large", **{**sizes, "memory_mb": 256}))
    refused = adopt(cloud, host_id, Wish(CONTEXT.project, CONTEXT.user_id, "large"))
    assert refused.error is not None
    assert "Leave the flavor out" in refused.error["message"]
    assert adopt(cloud, host_id).state == "succeeded"
    assert cloud.server(SERVER).flavor["name"] == "small"
    assert rows(cloud)["flavors"] == 2


def test_user_data_must_be_what_the_guest_was_given(cloud: Cloud, host_id: str) -> None:
    told = {**domain()["guest"], "user_data_sha256": hashlib.sha256(b"#!/bin/sh\n").hexdigest()}
    has(cloud, host_id, domain(guest=told))
    refused = adopt(cloud, host_id)
    assert refused.error is not None
    assert "--user-data" in refused.error["message"]
    assert adopt(cloud, host_id, user_data="IyEvYmluL3NoCg==").state == "succeeded"
    assert [run.secrets for run in runs(cloud)] == [{SERVER: {"user_data": "IyEvYmluL3NoCg=="}}] * 3


def test_what_runs_is_taken_over_even_where_there_is_no_room(cloud: Cloud, host_id: str) -> None:
    has(cloud, host_id, domain(memory_mb=100000))
    operation = adopt(cloud, host_id)
    assert (operation.state, operation.data["had_room"]) == ("succeeded", False)
    with cloud.db.read() as session:
        assert 100000 in [each.used for each in session.scalars(select(Allocation))]


def test_a_server_that_is_being_adopted_shows_no_older_database(cloud: Cloud, host_id: str) -> None:
    """Nothing of deleted servers would be removed any more otherwise."""
    run, found = cloud.executor.run, []

    def audit_meanwhile(asked: Run) -> RunResult:
        if plays(cloud) == PLAYS[:2]:
            cloud.executor.run = run  # type: ignore[method-assign]
            auditor = Auditor(cloud.settings, cloud.db, cloud.executor, cloud.clock)
            found.append({each.kind for each in auditor.look().findings})
        return run(asked)

    cloud.executor.run = audit_meanwhile  # type: ignore[method-assign]
    assert adopt(cloud, host_id).state == "succeeded"
    (kinds,) = found
    assert "database_is_older" not in kinds
    assert cloud.executor.hosts.hosts[host_id].fences[SERVER] == (CLOUD, 1)


def test_a_domain_is_adopted_once_at_a_time(cloud: Cloud, host_id: str) -> None:
    (found,) = listed(cloud, host_id)
    assert found.plan is not None
    with cloud.db.write() as session:
        host = cloud.host(host_id)
        host_adopt.submit(session, cloud.settings, host, found.plan, WISH, None)
    with pytest.raises(Conflict, match="is being adopted"), cloud.db.write() as session:
        host_adopt.submit(session, cloud.settings, host, found.plan, WISH, None)
