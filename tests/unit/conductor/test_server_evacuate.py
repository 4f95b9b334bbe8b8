"""Evacuate: only with proof that the dead host runs nothing, and whole whatever is killed."""

from dataclasses import replace
from typing import Any

import pytest

from controller.conductor.reconcilers import fenced_hosts
from controller.core import host_fences, hosts, migrations, server_evacuate
from controller.core.server_evacuate import Evacuate
from controller.db.models import Migration, Operation, Port, Server
from controller.errors import BadRequest, Conflict
from controller.runner.requests import Run
from tests.unit.conductor.conftest import Cloud
from tests.unit.conductor.killing import kill_at, moments_of, name_of
from tests.unit.conductor.moving import ADMIN, held, other, there
from tests.unit.conductor.test_arguments import refusals

FACTS = {"cpus": 8, "memory_mb": 8704, "disk_gb": 100}


@pytest.fixture
def server(cloud: Cloud) -> str:
    """A server on one of two hosts, with a port."""
    for name in ("h1", "h2"):
        cloud.add_host(name)
    server_id = cloud.add_server()
    cloud.add_port(server_id)
    cloud.work()
    cloud.executor.runs.clear()
    return server_id


def source_of(cloud: Cloud, server_id: str) -> str:
    return str(cloud.server(server_id).host_id)


def die(cloud: Cloud, host_id: str) -> None:
    """Switch the host off; the controller has noticed."""
    cloud.executor.unreachable.add(cloud.host(host_id).name)
    with cloud.db.write() as session:
        host = hosts.get(session, host_id)
        hosts.note_unreachable(cloud.settings, host, cloud.clock())


def fence(cloud: Cloud, host_id: str) -> None:
    with cloud.db.write() as session:
        host = hosts.get(session, host_id)
        host_fences.record_word(cloud.settings, ADMIN, host, "ops", "unplugged", cloud.clock())


def come_back(cloud: Cloud, host_id: str) -> None:
    """The host answers its next heartbeat."""
    cloud.executor.unreachable.discard(cloud.host(host_id).name)
    cloud.clock.advance(30)
    with cloud.db.write() as session:
        host = hosts.get(session, host_id)
        hosts.record_facts(session, cloud.settings, host, FACTS, cloud.clock())


def evacuate(cloud: Cloud, server_id: str, **wanted: Any) -> None:
    with cloud.db.write() as session:
        row = session.get_one(Server, server_id)
        server_evacuate.evacuate(session, cloud.settings, ADMIN, row, Evacuate(**wanted))


def dead_and_fenced(cloud: Cloud, server_id: str) -> str:
    source = source_of(cloud, server_id)
    die(cloud, source)
    fence(cloud, source)
    return source


def migration(cloud: Cloud) -> Migration:
    with cloud.db.read() as session:
        return session.query(Migration).one()


def finish(cloud: Cloud) -> None:
    """Work until nothing but what waits for a dead host is left."""
    cloud.work()
    unfinished = [each for each in cloud.operations() if each.state in ("queued", "running")]
    assert {each.kind for each in unfinished} <= {"server_cleanup", "port_update"}


def test_a_server_of_a_dead_host_is_made_anew_with_its_id_and_ports(
    cloud: Cloud, server: str
) -> None:
    source = dead_and_fenced(cloud, server)
    with cloud.db.read() as session:
        before = session.query(Port.id, Port.mac_address).filter_by(device_id=server).all()
    evacuate(cloud, server, admin_pass="n3w")
    assert cloud.server(server).task_state == "rebuilding"
    finish(cloud)
    after = cloud.server(server)
    assert (after.state, after.task_state, after.fault) == ("active", None, None)
    assert after.host_id == other(cloud, source)
    assert there(cloud, str(after.host_id)).servers[server].state == "running"
    with cloud.db.read() as session:
        assert session.query(Port.id, Port.mac_address).filter_by(device_id=server).all() == before
        (port,) = session.query(Port).filter_by(device_id=server)
        assert (port.host_id, port.status) == (after.host_id, "ACTIVE")
    (made,) = [run for run in cloud.executor.runs if run.playbook == "server_evacuate"]
    assert refusals(made) == []
    assert made.secrets == {server: {"admin_pass": "n3w"}}
    assert made.arguments["servers"][0]["evacuation"] == {"running": True, "shared": False}
    record = migration(cloud)
    assert (record.type, record.status) == ("evacuation", migrations.DONE)
    # The dead host's room is its clean-up's until that has got through.
    (left,) = cloud.operations(kind="server_cleanup")
    assert held(cloud) == {server: {str(after.host_id): 128}, left.id: {source: 128}}


@pytest.mark.parametrize(("stopped_before", "stopped"), [(True, False), (False, True)])
def test_one_that_was_off_or_is_to_be_off_is_not_started(
    cloud: Cloud, server: str, stopped_before: bool, stopped: bool
) -> None:
    if stopped_before:
        cloud.act(server, "stop")
        cloud.work()
    dead_and_fenced(cloud, server)
    evacuate(cloud, server, stopped=stopped)
    finish(cloud)
    after = cloud.server(server)
    assert after.state == "stopped"
    assert there(cloud, str(after.host_id)).servers[server].state == "stopped"


def test_without_proof_it_is_refused_with_the_way_out(cloud: Cloud, server: str) -> None:
    source = source_of(cloud, server)
    with pytest.raises(BadRequest, match="still in use"):
        evacuate(cloud, server)
    die(cloud, source)
    with pytest.raises(Conflict, match="novella host fenced") as refused:
        evacuate(cloud, server)
    assert "made anew of its image" in refused.value.message
    assert cloud.server(server).task_state is None
    assert cloud.operations(state="queued") == []


def test_a_host_that_answers_is_not_taken_for_fenced(cloud: Cloud, server: str) -> None:
    with pytest.raises(Conflict, match="it answers"):
        fence(cloud, source_of(cloud, server))


@pytest.mark.parametrize(("by", "reason"), [("", "unplugged"), ("ops", " ")])
def test_a_word_says_who_and_how(cloud: Cloud, server: str, by: str, reason: str) -> None:
    host = cloud.host(source_of(cloud, server))
    with pytest.raises(BadRequest, match="say who"):
        host_fences.record_word(cloud.settings, ADMIN, host, by, reason, cloud.clock())


def test_a_word_holds_until_the_host_is_heard_of_again(cloud: Cloud, server: str) -> None:
    """Forced down, it counts as down whatever it answers."""
    source = source_of(cloud, server)
    with cloud.db.write() as session:
        hosts.get(session, source).forced_down = True
    fence(cloud, source)
    come_back(cloud, source)
    with pytest.raises(Conflict, match="was heard of since"):
        evacuate(cloud, server)


def test_a_host_that_is_back_before_anything_was_done_keeps_its_server(
    cloud: Cloud, server: str
) -> None:
    source = dead_and_fenced(cloud, server)
    evacuate(cloud, server)
    come_back(cloud, source)
    cloud.work()
    after = cloud.server(server)
    assert (after.state, after.task_state, after.host_id) == ("active", None, source)
    assert after.fault is not None
    assert "is back" in after.fault["details"]
    assert cloud.playbooks() == []
    assert held(cloud) == {server: {source: 128}}
    assert migration(cloud).status == migrations.FAILED


def test_a_host_that_is_back_is_cleaned_before_it_takes_new_servers(
    cloud: Cloud, server: str
) -> None:
    source = dead_and_fenced(cloud, server)
    evacuate(cloud, server)
    finish(cloud)
    assert server in there(cloud, source).servers
    come_back(cloud, source)
    assert fenced_hosts.run(cloud.settings, cloud.db, cloud.clock) == 0
    new = cloud.add_server("new")
    # Its clean-up's pause is not over; the heartbeat's `_hurry` is not part of this.
    cloud.work()
    assert cloud.server(new).host_id != source
    cloud.clock.advance(3600)
    come_back(cloud, source)
    cloud.work()
    assert there(cloud, source).servers == {}
    assert fenced_hosts.run(cloud.settings, cloud.db, cloud.clock) == 1
    assert cloud.host(source).fenced_at is None
    assert migration(cloud).status == migrations.COMPLETED
    assert source not in held(cloud).get(server, {})


def test_a_clean_up_that_was_lost_is_made_again(cloud: Cloud, server: str) -> None:
    source = dead_and_fenced(cloud, server)
    evacuate(cloud, server)
    finish(cloud)
    with cloud.db.write() as session:
        session.query(Operation).filter_by(kind="server_cleanup").delete()
    come_back(cloud, source)
    assert fenced_hosts.run(cloud.settings, cloud.db, cloud.clock) == 0
    cloud.work()
    assert there(cloud, source).servers == {}
    assert fenced_hosts.run(cloud.settings, cloud.db, cloud.clock) == 1


def test_the_operators_playbook_is_proof_when_it_succeeds(cloud: Cloud, server: str) -> None:
    cloud.settings = replace(cloud.settings, fence_playbook="/etc/novella/fence.yml")
    source = source_of(cloud, server)
    die(cloud, source)
    # It acts on the host's power, not on the host.
    cloud.executor.unreachable.clear()
    evacuate(cloud, server)
    cloud.work()
    fenced, *_ = cloud.executor.runs
    assert fenced.playbook == "host_fence"
    assert str(fenced.own_playbook) == "/etc/novella/fence.yml"
    assert fenced.arguments["fenced_host"] == {
        "name": cloud.host(source).name, "address": "192.0.2.1",
    }  # fmt: skip
    assert (fenced.arguments["servers"], fenced.secrets) == ([], {})
    assert cloud.server(server).host_id == other(cloud, source)
    assert cloud.host(source).fenced_by == "playbook"


def test_a_fence_playbook_that_fails_leaves_the_server_where_it_was(
    cloud: Cloud, server: str
) -> None:
    cloud.settings = replace(cloud.settings, fence_playbook="/etc/novella/fence.yml")
    source = source_of(cloud, server)
    die(cloud, source)
    evacuate(cloud, server)
    cloud.work()
    after = cloud.server(server)
    assert (after.state, after.task_state, after.host_id) == ("active", None, source)
    assert cloud.host(source).fenced_at is None
    assert cloud.playbooks() == ["host_fence"]


def test_a_new_host_that_fails_is_cleaned_and_the_next_one_tried(cloud: Cloud, server: str) -> None:
    cloud.add_host("h3")
    source = dead_and_fenced(cloud, server)
    failed: list[str] = []

    def fails(run: Run, _server_id: str) -> str | None:
        if run.playbook == "server_evacuate" and not failed:
            failed.append(run.hosts[0].id)
            return "no room"
        return None

    cloud.executor.fails = fails
    evacuate(cloud, server)
    finish(cloud)
    after = cloud.server(server)
    assert after.state == "active"
    assert after.host_id not in (source, *failed)
    assert server not in there(cloud, failed[0]).servers
    assert failed[0] not in held(cloud)[server]


def test_without_a_host_that_fits_it_is_in_error_and_can_be_asked_for_again(
    cloud: Cloud, server: str
) -> None:
    source = dead_and_fenced(cloud, server)
    with cloud.db.write() as session:
        hosts.get(session, other(cloud, source)).enabled = False
    evacuate(cloud, server)
    finish(cloud)
    after = cloud.server(server)
    assert (after.state, after.host_id) == ("error", source)
    assert held(cloud) == {server: {source: 128}}
    # By force a host is not asked whether it is enabled.
    evacuate(cloud, server, host=cloud.host(other(cloud, source)).name, force=True)
    finish(cloud)
    assert cloud.server(server).state == "active"


def test_a_shared_disk_is_used_again_and_never_removed(cloud: Cloud, server: str) -> None:
    cloud.settings = replace(cloud.settings, shared_instances_path=True)
    source = dead_and_fenced(cloud, server)
    with pytest.raises(BadRequest, match="shared_instances_path"):
        evacuate(cloud, server, on_shared_storage=False)
    evacuate(cloud, server)
    finish(cloud)
    come_back(cloud, source)
    cloud.clock.advance(3600)
    cloud.work()
    told = [
        (run.playbook, run.arguments["servers"][0]["evacuation"]["shared"])
        for run in cloud.executor.runs
        if run.playbook != "port_update"
    ]
    assert ("server_evacuate", True) in told
    assert ("server_delete", True) in told
    assert refusals(cloud.executor.runs[-1]) == []
    assert all(shared for _, shared in told)


def test_a_delete_meanwhile_wins(cloud: Cloud, server: str) -> None:
    source = dead_and_fenced(cloud, server)
    evacuate(cloud, server)
    cloud.act(server, "delete")
    finish(cloud)
    assert cloud.server(server).state == "deleted"
    assert there(cloud, other(cloud, source)).servers == {}
    assert list(held(cloud).values()) == [{source: 128}]
    come_back(cloud, source)
    cloud.clock.advance(3600)
    cloud.work()
    assert held(cloud) == {}


@pytest.mark.parametrize("case", moments_of("server_evacuate"), ids=name_of)
@pytest.mark.parametrize("ending", ["whole", "failed"])
def test_it_survives_the_death_of_its_worker_at_each_step(
    cloud: Cloud, server: str, case: tuple[str, int, str], ending: str
) -> None:
    source = dead_and_fenced(cloud, server)
    evacuate(cloud, server)
    if not kill_at(cloud, *case[1:]):
        return
    if ending == "failed":
        cloud.executor.fails = lambda run, _id: (
            "broken" if run.playbook == "server_evacuate" else None
        )
    finish(cloud)
    after = cloud.server(server)
    assert after.task_state is None
    elsewhere = other(cloud, source)
    if after.state == "active":
        assert after.host_id == elsewhere
        (left,) = cloud.operations(kind="server_cleanup")
        assert held(cloud) == {server: {elsewhere: 128}, left.id: {source: 128}}
    else:
        assert (after.state, after.host_id, ending) == ("error", source, "failed")
        assert there(cloud, elsewhere).servers == {}
        assert held(cloud) == {server: {source: 128}}
        with cloud.db.read() as session:
            assert {row.host_id for row in session.query(Port)} == {source}
