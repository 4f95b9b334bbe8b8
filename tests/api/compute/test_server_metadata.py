"""Metadata that change are pushed to the server's host; who may, and when."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Server
from controller.runner.simulated import SimulatedExecutor
from tests.api.compute.conftest import SERVERS
from tests.api.compute.test_action_states import operations, put


def pushed(executor: SimulatedExecutor) -> list[dict[str, str]]:
    """Return the items that each push told the host."""
    return [
        dict(entry["guest"]["meta"])
        for run in executor.runs
        if run.playbook == "server_update_metadata"
        for entry in run.arguments["servers"]
    ]


def test_changes_reach_the_host_once_for_all_that_waited(
    alice: Any, server: str, work: Any, executor: SimulatedExecutor
) -> None:
    path = f"{SERVERS}/{server}/metadata"
    assert alice.post(path, json={"metadata": {"a": "1", "b": "2"}}).status_code == 200
    assert alice.put(f"{path}/c", json={"meta": {"c": "3"}}).status_code == 200
    assert alice.delete(f"{path}/a").status_code == 204
    work()
    assert pushed(executor) == [{"b": "2", "c": "3"}]
    assert alice.put(path, json={"metadata": {}}).status_code == 200
    work()
    assert pushed(executor)[1:] == [{}]
    shown = alice.get(f"{SERVERS}/{server}").json["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None)


def test_what_changes_nothing_is_not_pushed(alice: Any, server: str, services: Services) -> None:
    path = f"{SERVERS}/{server}/metadata"
    alice.post(path, json={"metadata": {"a": "1"}})
    before = operations(services)
    assert alice.post(path, json={"metadata": {"a": "1"}}).status_code == 200
    assert operations(services) == before


def test_another_actions_task_state_stays_shown(alice: Any, server: str, work: Any) -> None:
    """Nova lets metadata change while a server is shut down; it is still shown as that."""
    assert alice.post(f"{SERVERS}/{server}/action", json={"os-stop": None}).status_code == 202
    answer = alice.post(f"{SERVERS}/{server}/metadata", json={"metadata": {"a": "1"}})
    assert answer.status_code == 200
    shown = alice.get(f"{SERVERS}/{server}").json["server"]
    assert shown["OS-EXT-STS:task_state"] == "powering-off"
    work()
    shown = alice.get(f"{SERVERS}/{server}").json["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("SHUTOFF", None)


@pytest.mark.parametrize("state", ["error", "rescued", "resized", "shelved", "soft-delete"])
def test_metadata_change_in_few_states(
    state: str, alice: Any, server: str, services: Services
) -> None:
    path = f"{SERVERS}/{server}/metadata"
    alice.post(path, json={"metadata": {"a": "1"}})
    put(services, server, state)
    answers = [
        alice.post(path, json={"metadata": {"b": "1"}}), alice.put(path, json={"metadata": {}}),
        alice.put(f"{path}/b", json={"meta": {"b": "1"}}), alice.delete(f"{path}/a"),
    ]  # fmt: skip
    for refused in answers:
        assert refused.status_code == 409
        assert f"it is {state}, and" in refused.json["conflictingRequest"]["message"]
    assert alice.get(path).json == {"metadata": {"a": "1"}}


def test_a_locked_servers_metadata_stay(alice: Any, admin: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/metadata"
    alice.post(f"{SERVERS}/{server}/action", json={"lock": None})
    assert alice.post(path, json={"metadata": {"a": "1"}}).status_code == 409
    assert admin.post(path, json={"metadata": {"a": "1"}}).status_code == 200


def test_a_push_that_fails_leaves_the_server_as_it_was(
    alice: Any, server: str, work: Any, executor: SimulatedExecutor
) -> None:
    executor.fails = lambda _run, _id: "no room"
    alice.post(f"{SERVERS}/{server}/metadata", json={"metadata": {"a": "1"}})
    work()
    shown = alice.get(f"{SERVERS}/{server}").json["server"]
    assert (shown["status"], shown["metadata"]) == ("ACTIVE", {"a": "1"})


@pytest.mark.parametrize("state", ["active", "rescued", "resized", "error"])
def test_a_new_name_reaches_the_guest_at_once(
    state: str, alice: Any, server: str, services: Services, work: Any, executor: SimulatedExecutor
) -> None:
    """It was served the old one until something else had its metadata made anew."""
    alice.post(f"{SERVERS}/{server}/action", json={"lock": None})
    put(services, server, state)
    actions = f"{SERVERS}/{server}/os-instance-actions"
    before = alice.get(actions).json
    for body in ({"name": "other"}, {"name": "other"}, {"accessIPv4": "192.0.2.1"}):
        assert alice.put(f"{SERVERS}/{server}", json={"server": body}).status_code == 200
        work()
    names = [
        entry["name"]
        for run in executor.runs
        if run.playbook == "server_update_metadata"
        for entry in run.arguments["servers"]
    ]
    assert names == ["other"]
    assert alice.get(actions).json == before
    with services.db.read() as session:
        assert session.get_one(Server, server).state == state
