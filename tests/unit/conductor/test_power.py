"""Start, stop and the reboots: one play each, in the order of their acceptance."""

import pytest

from controller.db.models import ServerEvent
from lab.waiting import wait_until
from tests.unit.conductor.conftest import Cloud


@pytest.mark.parametrize(
    ("action", "state", "power_state"),
    [
        ("stop", "stopped", 4),
        ("reboot", "active", 1),
        ("hard_reboot", "active", 1),
        ("pause", "paused", 3),
        ("suspend", "suspended", 4),
    ],
)
def test_an_action_runs_its_playbook_and_ends_in_the_state_of_its_row(
    cloud: Cloud, action: str, state: str, power_state: int
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.act(server_id, action)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.power_state, server.task_state) == (state, power_state, None)
    assert cloud.playbooks() == [f"server_{action}"]


def test_a_stop_that_fails_leaves_the_server_as_it_was(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.fails = lambda _run, _id: "libvirt is away"
    cloud.act(server_id, "stop")
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.fault) == ("active", None, None)
    with cloud.db.read() as session:
        event = session.query(ServerEvent).filter_by(name="stop").one()
        assert (event.result, event.details) == ("Error", "libvirt is away")


def test_a_reboot_that_fails_is_an_error_that_a_hard_reboot_mends(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.fails = lambda run, _id: "gone" if run.playbook == "server_reboot" else None
    cloud.act(server_id, "reboot")
    cloud.work()
    assert cloud.server(server_id).state == "error"
    cloud.act(server_id, "hard_reboot")
    cloud.work()
    assert (cloud.server(server_id).state, cloud.server(server_id).fault) == ("active", None)


def test_a_lost_connection_is_tried_again(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.unreachable = {"h1"}
    cloud.act(server_id, "stop")
    cloud.work()
    assert cloud.server(server_id).task_state == "powering-off"
    cloud.executor.unreachable = set()
    cloud.clock.advance(60)
    cloud.work()
    assert cloud.server(server_id).state == "stopped"


def test_a_hard_reboot_does_not_wait_for_a_soft_one_that_hangs(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.delay_s = 60
    cloud.act(server_id, "reboot")
    engine = cloud.engine()
    engine.tick()
    wait_until(lambda: bool(cloud.executor.runs), what="the soft reboot is under way", timeout_s=60)
    cloud.executor.delay_s = 0
    cloud.act(server_id, "hard_reboot")
    engine.run_until_idle()
    assert cloud.playbooks() == ["server_reboot", "server_hard_reboot"]
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)


def test_the_actions_of_a_server_never_overlap(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    engine = cloud.engine()
    assert len(engine._claim()) == 1
    cloud.act(server_id, "delete")
    # Only once the create has ended can the delete be claimed, by whichever worker.
    assert cloud.engine("test/two/1")._claim() == []


@pytest.mark.parametrize(("there", "back"), [("pause", "unpause"), ("suspend", "resume")])
def test_what_stands_still_goes_on_or_is_started_from_its_disk(
    cloud: Cloud, there: str, back: str
) -> None:
    cloud.add_host("h1")
    for way in (back, "hard_reboot"):
        server_id = cloud.active_server()
        cloud.act(server_id, there)
        cloud.work()
        cloud.act(server_id, way)
        cloud.work()
        server = cloud.server(server_id)
        assert (server.state, server.power_state, server.task_state) == ("active", 1, None)


@pytest.mark.parametrize(
    ("action", "before"),
    [("pause", None), ("unpause", "pause"), ("suspend", None), ("resume", "suspend")],
)
def test_a_pause_and_the_like_that_fail_leave_the_server_as_it_was(
    cloud: Cloud, action: str, before: str | None
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    if before:
        cloud.act(server_id, before)
        cloud.work()
    was = cloud.server(server_id).state
    cloud.executor.fails = lambda _run, _id: "libvirt is away"
    cloud.act(server_id, action)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.fault) == (was, None, None)
