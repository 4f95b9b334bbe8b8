"""Drains: a host is emptied in bounded batches, whoever dies on the way, and put back."""

from dataclasses import replace

import pytest

from controller.conductor import claims
from controller.conductor.engine import Engine
from controller.conductor.reconcilers import host_drains
from controller.core import host_drains as drains
from controller.core import hosts
from controller.core.context import Context
from controller.db.models import Host, HostDrain, Migration, Server
from controller.errors import Conflict, NotFound
from controller.states import LIVING, TABLE
from tests.unit.conductor.conftest import CONTEXT, Cloud
from tests.unit.conductor.killing import MOMENTS, play
from tests.unit.conductor.test_server_resize import held, there

# What brings a server to another host.
INTO = ("server_resize", "server_live_migrate")
ADMIN = Context("req-drain", CONTEXT.user_id, CONTEXT.project_id, is_admin=True)


@pytest.fixture
def full(cloud: Cloud) -> str:
    """A host with ten servers, each with a port, and two other hosts that are empty."""
    full = cloud.add_host("full")
    for number in range(10):
        cloud.add_port(cloud.add_server(f"s{number}"))
    cloud.work()
    for name in ("h1", "h2"):
        cloud.add_host(name)
    cloud.executor.runs.clear()
    return full


def drain(cloud: Cloud, host_id: str, reason: str | None = None) -> None:
    with cloud.db.write() as session:
        host = hosts.get(session, host_id)
        drains.begin(session, cloud.settings, ADMIN, host, reason, cloud.clock())


def look(cloud: Cloud) -> int:
    return host_drains.run(cloud.settings, cloud.db, cloud.clock)


def finish(cloud: Cloud, rounds: int = 40) -> None:
    """Let rounds of the reconciler and the work that they begin alternate until it is over."""
    for _ in range(rounds):
        if look(cloud) == 0:
            return
        cloud.work()
    raise AssertionError(f"the drain goes on after {rounds} rounds: {latest(cloud).servers}")


def latest(cloud: Cloud) -> HostDrain:
    with cloud.db.read() as session:
        query = session.query(HostDrain).order_by(HostDrain.created_at.desc())
        return query.first()  # type: ignore[return-value]


def servers_on(cloud: Cloud, host_id: str) -> list[str]:
    with cloud.db.read() as session:
        return [row.id for row in session.query(Server).filter_by(host_id=host_id, deleted_at=None)]


def moving(cloud: Cloud) -> int:
    return sum(each["status"] == drains.MOVING for each in latest(cloud).servers.values())


def check_empty(cloud: Cloud, host_id: str) -> None:
    """Nothing of anybody is left at the host, and everything is whole elsewhere."""
    assert servers_on(cloud, host_id) == []
    assert there(cloud, host_id).servers == {}
    assert there(cloud, host_id).aside == {}
    for server_id, providers in held(cloud).items():
        server = cloud.server(server_id)
        assert list(providers) == [server.host_id]
        assert (server.state, server.task_state) == ("active", None)
        assert there(cloud, str(server.host_id)).servers[server_id].state == "running"
    assert cloud.operations(state="queued") == cloud.operations(state="running") == []


def test_ten_servers_leave_in_batches_and_the_host_takes_none(cloud: Cloud, full: str) -> None:
    cloud.settings = replace(cloud.settings, drain_batch=3)
    drain(cloud, full, "new disks")
    assert cloud.host(full).disabled_reason == "drained: new disks"
    seen = []
    while look(cloud):
        seen.append(moving(cloud))
        cloud.work()
    assert max(seen) == 3
    assert latest(cloud).state == drains.DONE
    assert {each["status"] for each in latest(cloud).servers.values()} == {drains.MOVED}
    check_empty(cloud, full)
    new = cloud.add_server("new")
    cloud.work()
    assert cloud.server(new).host_id != full


def test_the_plan_says_where_each_goes_and_changes_nothing(cloud: Cloud, full: str) -> None:
    before = held(cloud)
    with cloud.db.write() as session:
        host = hosts.get(session, full)
        planned = drains.plan(session, cloud.settings, host, cloud.clock())
    assert [each.name for each in planned] == [f"s{number}" for number in range(10)]
    # Each takes its room before the next one is looked at.
    assert [each.destination for each in planned].count("h1") == 5
    assert [each.destination for each in planned].count("h2") == 5
    assert held(cloud) == before
    assert cloud.host(full).enabled
    with cloud.db.read() as session:
        assert session.query(HostDrain).count() == session.query(Migration).count() == 0


def test_a_server_without_a_place_says_what_rejected_it(cloud: Cloud, full: str) -> None:
    with cloud.db.write() as session:
        for host in session.query(Host).filter(Host.id != full):
            host.enabled = False
        host = hosts.get(session, full)
        planned = drains.plan(session, cloud.settings, host, cloud.clock())
    assert {each.how for each in planned} == {drains.CANNOT}
    assert "Enabled 2" in planned[0].why


@pytest.mark.parametrize("state", sorted(LIVING))
def test_each_state_has_its_way_or_its_reason(state: str) -> None:
    server = Server(id="s", name="s", state=state, task_state=None)
    how, why = drains.way_of(server)
    if how in (drains.WAIT, drains.CANNOT):
        assert why
    else:
        action = {drains.COLD: "migrate", drains.LIVE: "live_migrate"}.get(how, "shelve_offload")
        assert state in TABLE[action].allowed_in
        assert how in {*drains.MOVES, drains.OFFLOAD}
    server.task_state = "rebooting"
    assert drains.way_of(server) == (drains.WAIT, "it is busy (rebooting)")


def test_what_can_not_move_stays_with_its_reason_and_is_taken_up_again(
    cloud: Cloud, full: str
) -> None:
    first, *_ = servers_on(cloud, full)
    with cloud.db.write() as session:
        session.get_one(Server, first).state = "suspended"
    drain(cloud, full)
    finish(cloud)
    ended = latest(cloud)
    assert ended.state == drains.INCOMPLETE
    assert ended.servers[first]["status"] == drains.FAILED
    assert "resume it" in ended.servers[first]["why"]
    assert servers_on(cloud, full) == [first]
    with cloud.db.write() as session:
        session.get_one(Server, first).state = "active"
    cloud.clock.advance(1)
    drain(cloud, full)
    finish(cloud)
    assert latest(cloud).state == drains.DONE
    check_empty(cloud, full)
    # The second drain knows how the host was before the first.
    with cloud.db.write() as session:
        drains.undrain(session, hosts.get(session, full), cloud.clock())
    assert cloud.host(full).enabled


def test_a_move_that_fails_is_tried_twice_and_the_server_runs_on(cloud: Cloud, full: str) -> None:
    first, *_ = servers_on(cloud, full)
    cloud.executor.fails = lambda run, server_id: (
        "no space" if run.playbook in INTO and server_id == first else None
    )
    drain(cloud, full)
    finish(cloud)
    ended = latest(cloud)
    assert (ended.state, ended.servers[first]["tries"]) == (drains.INCOMPLETE, 2)
    assert "no space" in ended.servers[first]["why"]
    assert servers_on(cloud, full) == [first]
    assert cloud.server(first).state == "active"
    assert there(cloud, full).servers[first].state == "running"


def test_one_that_can_not_go_live_goes_cold(cloud: Cloud, full: str) -> None:
    first, *_ = servers_on(cloud, full)
    cloud.executor.fails = lambda run, server_id: (
        "its CPU" if run.playbook == "server_live_migrate" and server_id == first else None
    )
    drain(cloud, full)
    finish(cloud)
    ended = latest(cloud)
    assert {each["how"] for each in ended.servers.values()} == {drains.LIVE, drains.COLD}
    assert ended.servers[first]["how"] == drains.COLD
    assert ended.state == drains.DONE
    check_empty(cloud, full)


def test_a_server_that_is_busy_is_waited_for(cloud: Cloud, full: str) -> None:
    first, *_ = servers_on(cloud, full)
    with cloud.db.write() as session:
        session.get_one(Server, first).task_state = "rebooting"
    drain(cloud, full)
    for _ in range(10):
        look(cloud)
        cloud.work()
    assert latest(cloud).state == drains.RUNNING
    assert servers_on(cloud, full) == [first]
    with cloud.db.write() as session:
        session.get_one(Server, first).task_state = None
    finish(cloud)
    check_empty(cloud, full)


def test_servers_that_are_deleted_meanwhile_are_passed_over(cloud: Cloud, full: str) -> None:
    first, second, *_ = servers_on(cloud, full)
    drain(cloud, full)
    cloud.act(first, "delete")
    look(cloud)
    cloud.act(second, "delete")
    finish(cloud)
    statuses = latest(cloud).servers
    assert statuses[first]["status"] == statuses[second]["status"] == drains.GONE
    check_empty(cloud, full)


def test_a_stopped_server_stays_stopped(cloud: Cloud, full: str) -> None:
    first, *_ = servers_on(cloud, full)
    cloud.act(first, "stop")
    cloud.work()
    drain(cloud, full)
    finish(cloud)
    assert cloud.server(first).state == "stopped"
    assert cloud.server(first).host_id != full


def test_a_cancel_begins_no_more_and_confirms_what_was_moved(cloud: Cloud, full: str) -> None:
    cloud.settings = replace(cloud.settings, drain_batch=3)
    drain(cloud, full)
    look(cloud)
    with cloud.db.write() as session:
        drains.cancel(session, hosts.get(session, full), cloud.clock())
    cloud.work()
    finish(cloud)
    assert latest(cloud).state == drains.CANCELLED
    assert len(servers_on(cloud, full)) == 7
    with cloud.db.read() as session:
        ended = {row.status for row in session.query(Migration)}
    assert ended <= {"confirmed", "completed"}
    assert not cloud.host(full).enabled
    drain(cloud, full)
    finish(cloud)
    check_empty(cloud, full)


@pytest.mark.parametrize("reason", [None, "spare"])
def test_undrain_leaves_the_host_as_it_was(cloud: Cloud, full: str, reason: str | None) -> None:
    with cloud.db.write() as session:
        host = hosts.get(session, full)
        host.enabled, host.disabled_reason = reason is None, reason
    drain(cloud, full)
    look(cloud)
    with cloud.db.write() as session:
        drains.undrain(session, hosts.get(session, full), cloud.clock())
    after = cloud.host(full)
    assert (after.enabled, after.disabled_reason) == (reason is None, reason)
    assert latest(cloud).state == drains.CANCELLED


def test_a_host_that_somebody_enables_is_drained_no_further(cloud: Cloud, full: str) -> None:
    cloud.settings = replace(cloud.settings, drain_batch=1)
    drain(cloud, full)
    look(cloud)
    with cloud.db.write() as session:
        hosts.get(session, full).enabled = True
    finish(cloud)
    assert latest(cloud).state == drains.CANCELLED
    assert len(servers_on(cloud, full)) >= 9


def test_what_can_not_be_drained_is_refused_with_the_way_out(cloud: Cloud, full: str) -> None:
    with cloud.db.write() as session:
        host = hosts.get(session, full)
        for refused in (drains.cancel, drains.undrain):
            with pytest.raises(Conflict):
                refused(session, host, cloud.clock())
        with pytest.raises(NotFound):
            drains.get(session, host)
    drain(cloud, full)
    with pytest.raises(Conflict, match="under way"):
        drain(cloud, full)
    with cloud.db.write() as session:
        other = session.query(Host).filter_by(name="h1").one()
        hosts.note_unreachable(cloud.settings, other, cloud.clock())
        other_id = other.id
    with pytest.raises(Conflict, match="it is down"):
        drain(cloud, other_id)


def test_an_old_side_of_a_resize_keeps_the_host_from_being_empty(cloud: Cloud, full: str) -> None:
    first, *_ = servers_on(cloud, full)
    with cloud.db.write() as session:
        server = session.get_one(Server, first)
        drains.MOVES[drains.COLD](session, cloud.settings, ADMIN, server)
    cloud.work()
    drain(cloud, full)
    finish(cloud)
    ended = latest(cloud)
    assert ended.state == drains.INCOMPLETE
    assert "confirm or revert" in ended.servers[first]["why"]


def work_until_killed(cloud: Cloud, number: int, moment: str) -> None:
    """Drain on by one worker, which dies in play `number` of all, before it or behind it."""
    engine = cloud.engine("elsewhere/worker/1")
    played = 0
    while look(cloud):
        for mine in engine._claim():
            ticket = engine._mover.move(cloud.db, mine)
            while ticket is not None:
                played += 1
                if played == number and moment == MOMENTS[0]:
                    return _die(cloud, engine)
                ended = play(cloud, engine.owner, ticket)
                if played == number:
                    return _die(cloud, engine)
                ticket = engine._mover.move(cloud.db, mine, ended)
            engine._drop(mine)
    raise AssertionError(f"the drain is over after {played} plays")


def _die(cloud: Cloud, engine: Engine) -> None:
    for mine in engine._held_now():
        with cloud.db.write() as session:
            claims.give_back(session, claims.held_by(engine.owner, mine))
        engine._drop(mine)


# A server has four plays: out, in, the end of the export, the confirm; and the next one's first.
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("then", ["resumed", "cancelled"])
def test_a_drain_survives_the_death_of_its_worker(
    cloud: Cloud, full: str, number: int, moment: str, then: str
) -> None:
    cloud.settings = replace(cloud.settings, drain_batch=2)
    drain(cloud, full)
    work_until_killed(cloud, number, moment)
    if then == "cancelled":
        with cloud.db.write() as session:
            drains.cancel(session, hosts.get(session, full), cloud.clock())
    cloud.work()
    finish(cloud)
    assert moving(cloud) == 0
    if then == "resumed":
        assert latest(cloud).state == drains.DONE
        check_empty(cloud, full)
        return
    assert len(servers_on(cloud, full)) >= 4
    for server_id in servers_on(cloud, full):
        assert there(cloud, full).servers[server_id].state == "running"
        assert held(cloud)[server_id] == {full: 128}
    assert there(cloud, full).aside == {}
