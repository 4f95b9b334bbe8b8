"""Live migration: in one place at every moment, whatever is killed, and nothing left behind."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from controller.core import migrations, ports, server_live_migration
from controller.db.models import Migration, Operation, Port, Server
from controller.runner.requests import Run
from controller.states import RUNS, STANDS_STILL, TABLE
from tests.unit.conductor.conftest import Cloud
from tests.unit.conductor.killing import kill_at, moments_of, name_of
from tests.unit.conductor.moving import ADMIN, held, host_ids, migration_of, there

KIND = "server_live_migrate"


def begin(cloud: Cloud, server_id: str, **asked: Any) -> None:
    """Accept the migration, as the API does."""
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        server_live_migration.live_migrate(session, cloud.settings, ADMIN, server, **asked)


def active_server(cloud: Cloud) -> str:
    """Return a server that is up, with a port."""
    server_id = cloud.active_server()
    cloud.add_port(server_id)
    with cloud.db.write() as session:
        ports.bind(session, server_id, str(cloud.server(server_id).host_id))
    return server_id


def check_whole(cloud: Cloud, server_id: str) -> None:
    """The guest is on the one host that the database says, and nothing is left on any other."""
    server = cloud.server(server_id)
    assert (server.state, server.task_state) == (migration_of(cloud, server_id).old_state, None)
    for host_id in host_ids(cloud).values():
        host, mine = there(cloud, host_id), host_id == server.host_id
        assert list(host.servers) == ([server_id] if mine else [])
        assert (host.ready, host.left) == (set(), set())
    assert held(cloud) == {server_id: {server.host_id: server.flavor["memory_mb"]}}
    assert cloud.operations(state="running") == cloud.operations(state="queued") == []
    with cloud.db.read() as session:
        (bound,) = session.execute(select(Port.host_id, Port.next_host_id))
    assert bound == (server.host_id, None)


def work_on(cloud: Cloud) -> None:
    """Work until all that waits for a time has been tried."""
    for _ in range(8):
        cloud.work()
        cloud.clock.advance(70)


@pytest.mark.parametrize("paused", [False, True])
def test_a_live_migration_moves_the_server_as_it_is(two_hosts: Cloud, paused: bool) -> None:
    server_id = active_server(two_hosts)
    if paused:
        two_hosts.act(server_id, "pause")
        two_hosts.work()
    source = two_hosts.server(server_id).host_id
    begin(two_hosts, server_id)
    assert two_hosts.server(server_id).task_state == "migrating"
    assert migration_of(two_hosts, server_id).status == migrations.ACCEPTED
    two_hosts.work()
    after, record = two_hosts.server(server_id), migration_of(two_hosts, server_id)
    assert after.host_id not in (source, None)
    assert there(two_hosts, str(after.host_id)).servers[server_id].state == (
        STANDS_STILL if paused else RUNS
    )
    assert record.status == migrations.COMPLETED
    assert (record.progress["memory_total_bytes"], record.progress["downtime_ms"]) == (
        128 << 20, 100
    )  # fmt: skip
    assert [name for name in two_hosts.playbooks() if name in TABLE["live_migrate"].playbooks] == [
        "server_receive", "server_live_migrate", "server_converge", "server_delete"
    ]  # fmt: skip
    check_whole(two_hosts, server_id)


@pytest.mark.parametrize("case", moments_of(KIND), ids=name_of)
def test_killed_at_each_step_it_ends_whole(two_hosts: Cloud, case: tuple[str, int, str]) -> None:
    _, number, moment = case
    server_id = active_server(two_hosts)
    source = two_hosts.server(server_id).host_id
    begin(two_hosts, server_id)
    assert kill_at(two_hosts, number, moment)
    two_hosts.work()
    assert two_hosts.server(server_id).host_id != source
    check_whole(two_hosts, server_id)


@pytest.mark.parametrize("case", moments_of(KIND), ids=name_of)
def test_killed_and_cancelled_it_is_in_one_place(
    two_hosts: Cloud, case: tuple[str, int, str]
) -> None:
    """Who is given up in its midst says where the server is: the hosts know, not the database."""
    _, number, moment = case
    server_id = active_server(two_hosts)
    begin(two_hosts, server_id)
    assert kill_at(two_hosts, number, moment)
    with two_hosts.db.write() as session:
        session.query(Operation).filter_by(kind=KIND).update({"cancel_requested": True})
    work_on(two_hosts)
    status = migration_of(two_hosts, server_id).status
    moved = two_hosts.server(server_id).host_id == migration_of(two_hosts, server_id).dest_host_id
    assert status == (migrations.COMPLETED if moved else migrations.CANCELLED)
    check_whole(two_hosts, server_id)


@pytest.mark.parametrize(
    ("playbook", "status"),
    [
        ("server_receive", migrations.FAILED),
        ("server_live_migrate", migrations.LIVE_FAILED),
        ("server_converge", migrations.COMPLETED),
        ("server_delete", migrations.COMPLETED),
    ],
)
@pytest.mark.parametrize("unreachable", [False, True])
def test_where_a_play_fails_the_guest_runs_on(
    two_hosts: Cloud, playbook: str, status: str, unreachable: bool
) -> None:
    server_id = active_server(two_hosts)
    source = two_hosts.server(server_id).host_id
    begin(two_hosts, server_id)
    failed: list[str] = []

    def fails(run: Run, _item: str) -> str | None:
        if run.playbook != playbook or failed:
            return None
        failed.append(run.playbook)
        return "failed as told"

    if unreachable:
        two_hosts.executor.drops = lambda run, item: fails(run, item) is not None
    else:
        two_hosts.executor.fails = fails
    work_on(two_hosts)
    assert failed
    assert migration_of(two_hosts, server_id).status == status
    moved = two_hosts.server(server_id).host_id != source
    assert moved == (status == migrations.COMPLETED)
    check_whole(two_hosts, server_id)


def test_a_host_that_can_not_make_ready_is_passed_over_for_the_next(two_hosts: Cloud) -> None:
    two_hosts.add_host("h3")
    server_id = active_server(two_hosts)
    begin(two_hosts, server_id)
    refused: list[str] = []

    def fails(run: Run, _item: str) -> str | None:
        if run.playbook != "server_receive" or refused:
            return None
        refused.append(run.hosts[0].id)
        return "no space left"

    two_hosts.executor.fails = fails
    two_hosts.work()
    assert migration_of(two_hosts, server_id).status == migrations.COMPLETED
    assert two_hosts.server(server_id).host_id not in refused
    check_whole(two_hosts, server_id)


def test_a_host_that_was_named_is_the_only_one_tried(two_hosts: Cloud) -> None:
    two_hosts.add_host("h3")
    server_id = active_server(two_hosts)
    source = two_hosts.server(server_id).host_id
    (named, *_) = [name for name, each in host_ids(two_hosts).items() if each != source]
    begin(two_hosts, server_id, host_name=named)
    two_hosts.executor.fails = lambda run, _item: (
        "no space left" if run.playbook == "server_receive" else None
    )
    two_hosts.work()
    assert two_hosts.server(server_id).host_id == source
    assert two_hosts.playbooks().count("server_receive") == 1
    assert migration_of(two_hosts, server_id).status == migrations.FAILED
    check_whole(two_hosts, server_id)


def test_while_nobody_can_say_where_it_is_both_hosts_keep_its_room(two_hosts: Cloud) -> None:
    """Unreachable is not dead: its other host may run it, so it is neither freed nor started."""
    server_id = active_server(two_hosts)
    source = two_hosts.server(server_id).host_id
    begin(two_hosts, server_id)

    def drops(run: Run, _item: str) -> bool:
        if run.playbook == "server_live_migrate":
            two_hosts.executor.unreachable = {run.hosts[1].name}
        return run.playbook == "server_live_migrate"

    two_hosts.executor.drops = drops
    work_on(two_hosts)
    server, record = two_hosts.server(server_id), migration_of(two_hosts, server_id)
    assert (server.host_id, server.task_state) == (source, "migrating")
    assert held(two_hosts) == {
        server_id: {record.dest_host_id: 128}, record.uuid: {source: 128}
    }  # fmt: skip
    assert there(two_hosts, str(record.dest_host_id)).ready == {server_id}
    two_hosts.executor.unreachable, two_hosts.executor.drops = set(), None
    work_on(two_hosts)
    assert migration_of(two_hosts, server_id).status == migrations.COMPLETED
    check_whole(two_hosts, server_id)


def test_without_another_host_nothing_is_touched(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = active_server(cloud)
    begin(cloud, server_id)
    cloud.work()
    assert set(cloud.playbooks()) == {"port_update"}
    assert migration_of(cloud, server_id).status == migrations.FAILED
    check_whole(cloud, server_id)


def test_a_delete_of_a_server_that_migrates_leaves_nothing_at_either_host(
    two_hosts: Cloud,
) -> None:
    server_id = active_server(two_hosts)
    begin(two_hosts, server_id)
    assert kill_at(two_hosts, 2, "before its result is taken in")
    two_hosts.act(server_id, "delete")
    work_on(two_hosts)
    assert two_hosts.server(server_id).state == "deleted"
    for host_id in host_ids(two_hosts).values():
        host = there(two_hosts, host_id)
        assert (host.servers, host.ready, host.left) == ({}, set(), set())
    assert held(two_hosts) == {}


def test_shared_disks_stay_where_both_hosts_have_them(two_hosts: Cloud) -> None:
    two_hosts.settings = replace(two_hosts.settings, shared_instances_path=True)
    server_id = active_server(two_hosts)
    begin(two_hosts, server_id, block_migration=False)
    two_hosts.work()
    moves = [
        run
        for run in two_hosts.executor.runs
        if any("move" in server for server in run.arguments["servers"])
    ]
    assert len(moves) == 3
    assert all(run.arguments["servers"][0]["move"]["shared"] for run in moves)
    check_whole(two_hosts, server_id)


def test_who_wants_it_over_with_reaches_the_run(two_hosts: Cloud) -> None:
    server_id = active_server(two_hosts)
    begin(two_hosts, server_id)
    forced: list[bool] = []

    def fails(run: Run, _item: str) -> str | None:
        if run.playbook == "server_live_migrate" and not forced:
            with two_hosts.db.write() as session:
                record = session.query(Migration).filter_by(server_id=server_id).one()
                server_live_migration.force_complete(record)
            before = run.forced()
            run.on_item(run.hosts[0].id, {"id": server_id, "progress": {"disk_total_bytes": "x"}})
            forced.extend([before, run.forced()])
        return None

    two_hosts.executor.fails = fails
    two_hosts.work()
    assert forced == [False, True]
    check_whole(two_hosts, server_id)
