"""The heartbeat: who is asked when, and what an answer brings."""

from typing import Any

import pytest

from controller.conductor import power_sync
from controller.conductor.reconcilers import host_heartbeat
from controller.core import hosts
from controller.db.models import Host, Inventory
from controller.runner.requests import Run, RunResult
from tests.unit.conductor.conftest import Cloud


def beat(cloud: Cloud) -> int:
    return host_heartbeat.run(cloud.settings, cloud.db, cloud.executor, cloud.clock)


def test_all_hosts_that_are_due_are_asked_in_one_run(cloud: Cloud) -> None:
    cloud.add_host("a")
    cloud.add_host("b")
    assert beat(cloud) == 0
    cloud.clock.advance(60)
    cloud.add_host("just-seen")
    assert beat(cloud) == 2
    (run,) = cloud.executor.runs
    assert (run.playbook, {host.name for host in run.hosts}) == ("host_info", {"a", "b"})


def test_an_answer_brings_inventories_up_to_date(cloud: Cloud) -> None:
    host_id = cloud.add_host("a", cpus=8)
    cloud.clock.advance(60)
    beat(cloud)
    with cloud.db.read() as session:
        row = session.get_one(Inventory, (host_id, "VCPU"))
        assert row.total == 64


def test_a_host_that_does_not_answer_goes_down_and_is_asked_again_sooner(cloud: Cloud) -> None:
    host_id = cloud.add_host("a")
    cloud.executor.unreachable = {"a"}
    cloud.clock.advance(hosts.down_after_s(cloud.settings) + 1)
    assert beat(cloud) == 0
    assert not hosts.is_up(cloud.host(host_id), cloud.settings, cloud.clock())
    cloud.executor.unreachable = set()
    cloud.clock.advance(host_heartbeat.DOWN_LOOK_S)
    assert beat(cloud) == 1
    assert hosts.is_up(cloud.host(host_id), cloud.settings, cloud.clock())


def test_what_waited_for_a_host_goes_as_soon_as_it_is_back(cloud: Cloud) -> None:
    cloud.add_host("a")
    server_id = cloud.active_server()
    cloud.executor.unreachable = {"a"}
    cloud.act(server_id, "delete")
    for _ in range(3):
        cloud.work()
        cloud.clock.advance(1)
    assert cloud.operations(kind="server_cleanup")[0].state == "queued"
    cloud.executor.unreachable = set()
    beat(cloud)
    cloud.work()
    assert cloud.operations(kind="server_cleanup")[0].state == "succeeded"


def test_hosts_that_are_due_before_long_come_along(cloud: Cloud) -> None:
    cloud.add_host("a")
    cloud.clock.advance(20)
    cloud.add_host("b")
    cloud.clock.advance(40)
    assert beat(cloud) == 2
    assert len(cloud.executor.runs) == 1


def test_a_host_that_is_down_is_asked_apart_and_many_in_batches(cloud: Cloud) -> None:
    for number in range(host_heartbeat.BATCH + 1):
        cloud.add_host(f"up{number:02}")
    cloud.clock.advance(60)
    down = cloud.add_host("down")
    with cloud.db.write() as session:
        hosts.note_unreachable(cloud.settings, hosts.get(session, down), cloud.clock())
    beat(cloud)
    sizes = sorted(len(run.hosts) for run in cloud.executor.runs)
    assert sizes == [1, 1, host_heartbeat.BATCH]
    assert ["down"] in [[host.name for host in run.hosts] for run in cloud.executor.runs]


def test_a_host_that_cannot_be_recorded_keeps_no_other_from_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.add_host("a")
    other = cloud.add_host("b")
    take_in = power_sync.take_in

    def fail_for_a(session: Any, settings: Any, host: Host, *args: Any) -> None:
        if host.name == "a":
            raise TypeError("what it said")
        take_in(session, settings, host, *args)

    monkeypatch.setattr(power_sync, "take_in", fail_for_a)
    cloud.clock.advance(hosts.down_after_s(cloud.settings) + 1)
    assert beat(cloud) == 1
    assert hosts.is_up(cloud.host(other), cloud.settings, cloud.clock())
    assert "could not be recorded" in caplog.text


def test_a_host_that_is_removed_while_it_is_asked_is_no_error(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    removed = cloud.add_host("a")
    cloud.add_host("b")
    run = cloud.executor.run

    def run_while_it_is_removed(request: Run) -> RunResult:
        result = run(request)
        with cloud.db.write() as session:
            hosts.remove(session, hosts.get(session, removed))
        return result

    monkeypatch.setattr(cloud.executor, "run", run_while_it_is_removed)
    cloud.clock.advance(60)
    assert beat(cloud) == 1
    assert "Traceback" not in caplog.text
