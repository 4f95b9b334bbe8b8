"""Resize and cold migration: whole or undone, whatever is killed, and nothing left behind."""

from dataclasses import replace
from typing import Any

import pytest

from controller.conductor import runs
from controller.conductor.flows import FLOWS
from controller.conductor.incarnation import Incarnation
from controller.conductor.moves import Ended
from controller.conductor.reconcilers import expired_leases, resize_confirms
from controller.core import migrations, server_moves
from controller.db.models import Flavor, Operation, Server
from controller.runner.requests import Run
from tests.unit.conductor.conftest import Cloud
from tests.unit.conductor.moving import ADMIN, held, host_ids, migration_of, other, there

BIG = {"vcpus": 2, "memory_mb": 256, "disk_gb": 2}


@pytest.fixture
def two_hosts(two_hosts: Cloud) -> Cloud:
    """Two hosts, and a larger flavor."""
    with two_hosts.db.write() as session:
        session.add(Flavor(flavor_id="2", name="m1.big", **BIG))
    return two_hosts


def begin(cloud: Cloud, server_id: str, action: str) -> None:
    """Accept the action, as the API does."""
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        if action == "resize":
            server_moves.resize(session, cloud.settings, ADMIN, server, "2")
        else:
            {
                "migrate": server_moves.migrate,
                "confirm": server_moves.confirm,
                "revert": server_moves.revert,
            }[action](session, cloud.settings, ADMIN, server)


def check_whole(cloud: Cloud, server_id: str) -> None:
    """Everything agrees with the state that the server is in."""
    server, migration = cloud.server(server_id), migration_of(cloud, server_id)
    assert server.task_state is None
    assert server.host_id is not None
    here, away = there(cloud, server.host_id), there(cloud, other(cloud, server.host_id))
    assert server_id in here.servers
    assert server_id not in away.servers
    holds = held(cloud)
    memory = server.flavor["memory_mb"]
    assert holds.pop(server_id) == {server.host_id: memory}
    if server.state == "resized":
        assert migration.status == migrations.FINISHED
        assert away.aside == {server_id: False}
        source, old = migration.source_host_id, migration.old_flavor["memory_mb"]
        assert holds == {migration.uuid: {source: old}}
    else:
        assert (here.aside, away.aside, holds) == ({}, {}, {})
        assert server.state == migration.old_state
    assert cloud.operations(state="running") == cloud.operations(state="queued") == []


def test_a_resize_moves_the_server_and_waits(two_hosts: Cloud) -> None:
    server_id = two_hosts.active_server()
    source = two_hosts.server(server_id).host_id
    begin(two_hosts, server_id, "resize")
    assert two_hosts.server(server_id).task_state == "resize_prep"
    two_hosts.work()
    after = two_hosts.server(server_id)
    assert (after.state, after.flavor["memory_mb"]) == ("resized", 256)
    assert after.host_id not in (source, None)
    assert two_hosts.playbooks() == ["server_move_out", "server_resize", "server_confirm_resize"]
    check_whole(two_hosts, server_id)


def test_a_confirm_leaves_the_new_side_alone(two_hosts: Cloud) -> None:
    server_id = two_hosts.active_server()
    begin(two_hosts, server_id, "resize")
    two_hosts.work()
    begin(two_hosts, server_id, "confirm")
    two_hosts.work()
    after = two_hosts.server(server_id)
    assert (after.state, after.flavor["memory_mb"]) == ("active", 256)
    assert migration_of(two_hosts, server_id).status == migrations.CONFIRMED
    check_whole(two_hosts, server_id)


@pytest.mark.parametrize("action", ["resize", "migrate"])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_revert_brings_back_what_was(two_hosts: Cloud, action: str, stopped: bool) -> None:
    server_id = two_hosts.active_server()
    if stopped:
        two_hosts.act(server_id, "stop")
        two_hosts.work()
    before = two_hosts.server(server_id)
    begin(two_hosts, server_id, action)
    two_hosts.work()
    begin(two_hosts, server_id, "revert")
    two_hosts.work()
    after = two_hosts.server(server_id)
    assert (after.state, after.flavor, after.host_id) == (
        before.state, before.flavor, before.host_id
    )  # fmt: skip
    assert there(two_hosts, str(after.host_id)).servers[server_id].state == (
        "stopped" if stopped else "running"
    )
    check_whole(two_hosts, server_id)


def test_a_resize_may_stay_on_its_host_where_that_is_allowed(cloud: Cloud) -> None:
    cloud.settings = replace(cloud.settings, allow_resize_to_same_host=True)
    host_id = cloud.add_host("h1")
    with cloud.db.write() as session:
        session.add(Flavor(flavor_id="2", name="m1.big", **BIG))
    server_id = cloud.active_server()
    for ending, memory_mb in (("revert", 128), ("confirm", 256)):
        begin(cloud, server_id, "resize")
        cloud.work()
        assert cloud.server(server_id).state == "resized"
        assert there(cloud, host_id).aside == {server_id: False}
        begin(cloud, server_id, ending)
        cloud.work()
        after = cloud.server(server_id)
        assert (after.state, after.host_id) == ("active", host_id)
        assert after.flavor["memory_mb"] == memory_mb
        assert (there(cloud, host_id).aside, held(cloud)) == (
            {}, {server_id: {host_id: memory_mb}}
        )  # fmt: skip


def test_without_another_host_a_resize_is_undone_and_says_so(cloud: Cloud) -> None:
    cloud.add_host("h1")
    with cloud.db.write() as session:
        session.add(Flavor(flavor_id="2", name="m1.big", **BIG))
    server_id = cloud.active_server()
    before = cloud.server(server_id)
    begin(cloud, server_id, "resize")
    cloud.work()
    after = cloud.server(server_id)
    assert (after.state, after.task_state, after.host_id, after.flavor) == (
        "active", None, before.host_id, before.flavor
    )  # fmt: skip
    assert cloud.playbooks() == ["port_update"]
    assert held(cloud) == {server_id: {before.host_id: 128}}
    assert migration_of(cloud, server_id).status == migrations.FAILED


def test_a_resize_is_confirmed_by_itself_when_its_time_is_over(two_hosts: Cloud) -> None:
    settings = replace(two_hosts.settings, resize_confirm_window_s=60)
    server_id = two_hosts.active_server()
    begin(two_hosts, server_id, "resize")
    two_hosts.work()
    assert resize_confirms.run(two_hosts.settings, two_hosts.db, two_hosts.clock) == 0
    assert resize_confirms.run(settings, two_hosts.db, two_hosts.clock) == 0
    two_hosts.clock.advance(61)
    assert resize_confirms.run(settings, two_hosts.db, two_hosts.clock) == 1
    two_hosts.work()
    assert two_hosts.server(server_id).state == "active"
    check_whole(two_hosts, server_id)


def test_a_delete_of_a_resized_server_leaves_nothing_at_either_host(two_hosts: Cloud) -> None:
    server_id = two_hosts.active_server()
    begin(two_hosts, server_id, "resize")
    two_hosts.work()
    two_hosts.act(server_id, "delete")
    two_hosts.work()
    assert two_hosts.server(server_id).state == "deleted"
    for host_id in host_ids(two_hosts).values():
        assert (there(two_hosts, host_id).servers, there(two_hosts, host_id).aside) == ({}, {})
    assert held(two_hosts) == {}


# --- killed after each of its steps, and failing in each


def ways() -> list[tuple[str, int]]:
    """Each operation of a move, and the index of each of its steps."""
    kinds = {"resize": "server_resize", "confirm": "server_confirm_resize"}
    kinds |= {"revert": "server_revert_resize"}
    return [
        (action, index) for action, kind in kinds.items() for index in range(len(FLOWS[kind].steps))
    ]


def prepare(cloud: Cloud, action: str) -> str:
    server_id = cloud.active_server()
    if action != "resize":
        begin(cloud, server_id, "resize")
        cloud.work()
    begin(cloud, server_id, action)
    return server_id


@pytest.mark.parametrize(("action", "index"), ways())
@pytest.mark.parametrize("play_done", [False, True])
def test_killed_at_each_step_it_ends_whole(
    two_hosts: Cloud, action: str, index: int, play_done: bool
) -> None:
    """`play_done`: the play has done its work on the host, and nobody took in its result."""
    server_id = prepare(two_hosts, action)
    work_until(two_hosts, index, play_done)
    two_hosts.clock.advance(31)
    incarnation = Incarnation(two_hosts.settings.run_dir, "here")
    assert expired_leases.run(two_hosts.db, incarnation, two_hosts.clock) <= 1
    incarnation.close()
    two_hosts.work()
    check_whole(two_hosts, server_id)
    expected = {"resize": "resized", "confirm": "active", "revert": "active"}
    assert two_hosts.server(server_id).state == expected[action]


def work_until(cloud: Cloud, index: int, play_done: bool) -> None:
    """Work as a worker does that is killed at the play of the step `index`, or the next one's.

    What needs no play is one transaction with what follows: it has no middle to be killed in.
    """
    worker = cloud.engine("elsewhere/worker/1")
    (held_now,) = worker._claim()
    ended = None
    while (ticket := worker._mover.move(cloud.db, held_now, ended)) is not None:
        with cloud.db.read() as session:
            dies = session.get_one(Operation, held_now.operation_id).step >= index
        if dies and not play_done:
            return
        with cloud.db.write() as session:
            prepared = runs.prepare(
                session, cloud.settings, worker.owner, [ticket], lambda: False, cloud.clock()
            )
        assert prepared.run is not None
        result = cloud.executor.run(prepared.run)
        if dies:
            return
        ((_, outcome),) = runs.outcomes(prepared, result)
        ended = Ended(outcome, ticket.undo)


@pytest.mark.parametrize(
    ("action", "playbook"),
    [
        ("resize", "server_move_out"),
        ("resize", "server_resize"),
        ("revert", "server_stop"),
        ("revert", "server_revert_resize"),
        ("confirm", "server_confirm_resize"),
    ],
)
@pytest.mark.parametrize("unreachable", [False, True])
def test_where_a_play_fails_it_ends_undone(
    two_hosts: Cloud, action: str, playbook: str, unreachable: bool
) -> None:
    server_id = prepare(two_hosts, action)
    before = two_hosts.server(server_id)
    failed: list[str] = []

    def fails(run: Run, _item: str) -> str | None:
        if run.playbook != playbook or (failed and action != "confirm"):
            return None
        failed.append(run.playbook)
        return "failed as told"

    def drops(run: Run, item: str) -> bool:
        return fails(run, item) is not None

    if unreachable:
        two_hosts.executor.drops = drops
    else:
        two_hosts.executor.fails = fails
    work_on(two_hosts)
    two_hosts.executor.fails = two_hosts.executor.drops = None
    work_on(two_hosts)
    assert failed
    after = two_hosts.server(server_id)
    if action == "confirm" and unreachable:
        # The old side is left to a clean-up, as its host may be away for long.
        assert (after.state, after.flavor) == ("active", before.flavor)
    else:
        assert (after.state, after.flavor) == (before.state, migration_flavor(two_hosts, before))
    check_whole(two_hosts, server_id)


def migration_flavor(cloud: Cloud, before: Server) -> dict[str, Any]:
    migration = migration_of(cloud, before.id)
    return migration.new_flavor if before.state == "resized" else migration.old_flavor


def work_on(cloud: Cloud) -> None:
    """Work until all that waits for a time has been tried."""
    for _ in range(4):
        cloud.work()
        cloud.clock.advance(60)
