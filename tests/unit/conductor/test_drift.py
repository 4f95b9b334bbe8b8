"""Drift: what a check of a host finds, what it leaves out, and what a fix has done."""

from typing import Any

import pytest

from controller.conductor import drift
from controller.conductor.drift import Drift
from controller.db.models import Server
from controller.runner.requests import Run, RunResult
from tests.unit.conductor.conftest import Cloud

DIFF = {"before": "rule a\n", "after": "rule b\n", "before_header": "packet filter"}


@pytest.fixture
def host_id(cloud: Cloud) -> str:
    return cloud.add_host("h1", cpus=64, memory_mb=64000)


class Differing:
    """Has hosts say in check mode that these servers differ, until a play has put them right."""

    def __init__(self, cloud: Cloud, *server_ids: str, **domain: Any) -> None:
        self.servers = set(server_ids)
        self.domain = {"state": "running", "restart_differences": [], **domain}
        self.answer = cloud.executor._item
        cloud.executor._item = self.item  # type: ignore[method-assign]

    def item(self, run: Run, server_id: str) -> dict[str, Any]:
        item = self.answer(run, server_id)
        if run.playbook != "server_converge" or server_id not in self.servers:
            return item
        if not run.check:
            self.servers.discard(server_id)
            return item
        step = {"name": "Set the rules", "changed": True, "failed": False, "diff": DIFF}
        return item | {"changed": True, "steps": [step, {"result": {"domain": self.domain}}]}


def check(cloud: Cloud, host_id: str, *server_ids: str) -> Drift:
    host = cloud.host(host_id)
    wanted = server_ids or None
    return drift.check(
        cloud.settings, cloud.db, cloud.executor, host, wanted, wait=lambda _s: cloud.work()
    )


def test_a_clean_cloud_shows_none_and_asks_each_host_once(cloud: Cloud, host_id: str) -> None:
    for number in range(20):
        cloud.add_server(f"s{number}")
    cloud.work()
    cloud.executor.runs.clear()
    found = check(cloud, host_id)
    assert found.clean
    assert (found.checked, found.skipped) == (20, {})
    (run,) = cloud.executor.runs
    assert (run.playbook, run.check) == ("server_converge", True)


def test_what_differs_is_looked_at_twice_and_shown(cloud: Cloud, host_id: str) -> None:
    server_id, _other = cloud.active_server(), cloud.active_server()
    cloud.executor.runs.clear()
    Differing(cloud, server_id)
    found = check(cloud, host_id)
    (each,) = found.found
    assert (each.server_id, each.restart, each.power, each.failed) == (server_id, (), "", "")
    assert "-rule a" in each.diff
    assert "+rule b" in each.diff
    asked = [[entry["id"] for entry in run.arguments["servers"]] for run in cloud.executor.runs]
    assert [len(each) for each in asked] == [2, 1]
    # Nothing was changed, in the database neither.
    assert cloud.operations(kind="server_converge") == []


def test_one_server_is_asked_for_alone(cloud: Cloud, host_id: str) -> None:
    server_id, _other = cloud.active_server(), cloud.active_server()
    cloud.executor.runs.clear()
    assert check(cloud, host_id, server_id).checked == 1
    (run,) = cloud.executor.runs
    assert [entry["id"] for entry in run.arguments["servers"]] == [server_id]


def test_what_is_worked_on_meanwhile_is_no_drift(cloud: Cloud, host_id: str) -> None:
    server_id = cloud.active_server()
    Differing(cloud, server_id)
    run = cloud.executor.run

    def reboot_meanwhile(asked: Run) -> RunResult:
        result = run(asked)
        if asked.check:
            cloud.executor.run = run  # type: ignore[method-assign]
            cloud.act(server_id, "hard_reboot")
        return result

    cloud.executor.run = reboot_meanwhile  # type: ignore[method-assign]
    found = check(cloud, host_id)
    assert found.clean
    assert found.skipped == {server_id: "it was being worked on"}


def test_what_changes_in_the_database_meanwhile_is_no_drift(cloud: Cloud, host_id: str) -> None:
    server_id = cloud.active_server()
    Differing(cloud, server_id)
    run = cloud.executor.run

    def rename_meanwhile(asked: Run) -> RunResult:
        with cloud.db.write() as session:
            session.get_one(Server, server_id).name = "another"
        return run(asked)

    cloud.executor.run = rename_meanwhile  # type: ignore[method-assign]
    assert check(cloud, host_id).clean


def test_a_server_that_no_play_can_converge_now_is_left_out(cloud: Cloud, host_id: str) -> None:
    server_id = cloud.active_server()
    with cloud.db.write() as session:
        session.get_one(Server, server_id).state = "error"
    found = check(cloud, host_id)
    assert (found.checked, found.skipped) == (0, {server_id: "it is error"})


@pytest.mark.parametrize(
    ("said", "power", "restart"),
    [
        ({"state": "stopped"}, "its domain is stopped, and the server is active", ()),
        ({"restart_differences": ["vcpu: 1, wanted 2"]}, "", ("vcpu: 1, wanted 2",)),
        ({"state": ["nonsense"], "restart_differences": 7}, "", ()),
    ],
)
def test_power_and_what_needs_a_restart_are_said(
    cloud: Cloud, host_id: str, said: dict[str, Any], power: str, restart: tuple[str, ...]
) -> None:
    Differing(cloud, cloud.active_server(), **said)
    (each,) = check(cloud, host_id).found
    assert (each.power, each.restart) == (power, restart)


def test_a_host_that_does_not_answer_is_a_problem_and_no_drift(cloud: Cloud, host_id: str) -> None:
    cloud.active_server()
    cloud.executor.unreachable.add("h1")
    found = check(cloud, host_id)
    assert found.found == []
    assert "Host h1 could not be asked" in found.problem
    assert not found.clean


def test_a_failure_of_the_compare_is_shown_and_not_fixed(cloud: Cloud, host_id: str) -> None:
    server_id = cloud.active_server()
    cloud.executor.fails = lambda _run, _id: "the disk is gone"
    (each,) = check(cloud, host_id).found
    assert (each.server_id, each.failed, each.fixable) == (server_id, "the disk is gone", False)


def test_a_fix_converges_by_operations_that_restart_nothing(cloud: Cloud, host_id: str) -> None:
    server_id = cloud.active_server()
    Differing(cloud, server_id)
    found = check(cloud, host_id)
    cloud.executor.runs.clear()
    failed = drift.fix(cloud.settings, cloud.db, found.found, wait=lambda _s: cloud.work())
    assert failed == {}
    assert cloud.playbooks() == ["server_converge"]
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)
    assert check(cloud, host_id).clean


def test_a_fix_that_fails_says_why(cloud: Cloud, host_id: str) -> None:
    server_id = cloud.active_server()
    Differing(cloud, server_id)
    found = check(cloud, host_id)
    cloud.executor.fails = lambda run, _id: None if run.check else "no room"
    failed = drift.fix(cloud.settings, cloud.db, found.found, wait=lambda _s: cloud.work())
    assert failed == {server_id: "no room"}
    assert cloud.server(server_id).state == "active"
