"""Actions on servers, and the record of them."""

from typing import Any

import pytest

from controller.console import log
from controller.core.hosts import get_by_name
from controller.db.models import Host
from controller.errors import Unavailable
from controller.runner.simulated import SimulatedExecutor
from tests.api.compute.conftest import SERVERS, at


def test_a_server_is_stopped_started_and_rebooted(alice: Any, server: str, work: Any) -> None:
    path = f"{SERVERS}/{server}"
    for action, while_it_runs, after in (
        ({"os-stop": None}, "ACTIVE", "SHUTOFF"),
        ({"os-start": None}, "SHUTOFF", "ACTIVE"),
        ({"reboot": {"type": "SOFT"}}, "REBOOT", "ACTIVE"),
        ({"reboot": {"type": "hard"}}, "HARD_REBOOT", "ACTIVE"),
    ):
        answer = alice.post(f"{path}/action", json=action)
        assert answer.status_code == 202, answer.json
        assert answer.data == b""
        assert alice.get(path).json["server"]["status"] == while_it_runs
        work()
        assert alice.get(path).json["server"]["status"] == after
    actions = alice.get(f"{path}/os-instance-actions").json["instanceActions"]
    assert [each["action"] for each in actions] == ["reboot", "reboot", "start", "stop", "create"]


def test_an_action_in_the_wrong_state_is_409_with_the_way_out(
    alice: Any, server: str, work: Any
) -> None:
    path = f"{SERVERS}/{server}/action"
    refused = alice.post(path, json={"os-start": None})
    assert refused.status_code == 409
    message = refused.json["conflictingRequest"]["message"]
    assert server in message
    assert "it is active" in message
    assert alice.post(path, json={"os-stop": None}).status_code == 202
    busy = alice.post(path, json={"os-stop": None})
    assert busy.status_code == 409
    assert "powering-off" in busy.json["conflictingRequest"]["message"]


# A body, and how it is refused.
REFUSED: list[tuple[Any, int]] = [
    ({}, 400),
    ([], 400),
    (None, 400),
    ({"os-start": None, "os-stop": None}, 400),
    ({"explode": None}, 400),
    ({"reboot": {}}, 400),
    ({"reboot": {"type": "GENTLE"}}, 400),
    ({"reboot": None}, 400),
    ({"reboot": {"type": "SOFT", "extra": 1}}, 400),
    ({"os-getConsoleOutput": {"length": "; id"}}, 400),
    ({"os-getConsoleOutput": {"length": -2}}, 400),
    ({"os-getConsoleOutput": []}, 400),
    ({"createImage": {"name": ""}}, 400),
    ({"os-getVNCConsole": {"type": "novnc"}}, 501),
    ({"addFixedIp": {}}, 501),
    ({"trigger_crash_dump": None}, 404),
    ({"resetNetwork": None}, 410),
    ({"os-getRDPConsole": {}}, 410),
]


def test_other_actions_say_why_not(alice: Any, server: str) -> None:
    answers = [alice.post(f"{SERVERS}/{server}/action", json=body) for body, _ in REFUSED]
    refused = [
        (body, answer.status_code) for (body, _), answer in zip(REFUSED, answers, strict=True)
    ]
    assert refused == REFUSED
    for answer in answers:
        (fault,) = answer.json.values()
        assert fault["code"] == answer.status_code
    shown = alice.get(f"{SERVERS}/{server}").json["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None)


def test_old_actions_end_with_their_version(alice: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/action"
    for name, last, first_after in (
        ("os-getVNCConsole", "2.5", "2.6"),
        ("addFixedIp", "2.43", "2.44"),
    ):
        assert alice.post(path, json={name: {}}, headers=at(last)).status_code == 501, name
        assert alice.post(path, json={name: {}}, headers=at(first_after)).status_code == 404, name


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("2.51", {"event", "start_time", "finish_time", "result"}),
        ("2.62", {"event", "start_time", "finish_time", "result", "hostId"}),
        ("2.96", {"event", "start_time", "finish_time", "result", "hostId", "details"}),
    ],
)
def test_the_steps_of_an_action_are_its_events(
    alice: Any, admin: Any, server: str, host: Host, version: str, fields: set[str]
) -> None:
    path = f"{SERVERS}/{server}/os-instance-actions"
    (created,) = alice.get(path).json["instanceActions"]
    assert created["request_id"].startswith("req-")
    path = f"{path}/{created['request_id']}"
    assert "events" not in alice.get(path).json["instanceAction"]
    shown = alice.get(path, headers=at(version)).json["instanceAction"]
    assert ("updated_at" in shown) is (version != "2.51")
    assert shown["events"]
    assert {frozenset(event) for event in shown["events"]} == {frozenset(fields)}
    assert {event["result"] for event in shown["events"]} == {"Success"}
    for_admins = admin.get(path, headers=at(version)).json["instanceAction"]["events"]
    assert all("traceback" in event for event in for_admins)
    if version != "2.51":
        assert host.name in {event["host"] for event in for_admins}
    assert host.name not in alice.get(path, headers=at(version)).text
    assert alice.get(f"{path}x").status_code == 404


def test_what_a_failed_step_said_is_for_operators(
    alice: Any, admin: Any, server: str, executor: SimulatedExecutor, work: Any
) -> None:
    executor.fails = lambda _run, _id: "libvirtError: secret path /var/lib"
    path = f"{SERVERS}/{server}"
    request_id = alice.post(f"{path}/action", json={"reboot": {"type": "HARD"}}).headers[
        "x-openstack-request-id"
    ]
    work()
    path = f"{path}/os-instance-actions/{request_id}"
    mine = alice.get(path, headers=at("2.96"))
    assert mine.json["instanceAction"]["message"]
    assert "libvirtError" not in mine.text
    assert "libvirtError" in admin.get(path, headers=at("2.96")).text


def test_actions_of_a_deleted_server_are_shown_from_2_21(
    alice: Any, bob: Any, server: str, work: Any
) -> None:
    alice.delete(f"{SERVERS}/{server}")
    work()
    path = f"{SERVERS}/{server}/os-instance-actions"
    assert alice.get(path, headers=at("2.20")).status_code == 404
    actions = alice.get(path, headers=at("2.21")).json["instanceActions"]
    assert [each["action"] for each in actions] == ["delete", "create"]
    assert bob.get(path, headers=at("2.21")).status_code == 404


def test_actions_are_paged_from_2_58(alice: Any, server: str, work: Any) -> None:
    alice.post(f"{SERVERS}/{server}/action", json={"os-stop": None})
    work()
    path = f"{SERVERS}/{server}/os-instance-actions"
    page = alice.get(f"{path}?limit=1", headers=at("2.58")).json
    assert [each["action"] for each in page["instanceActions"]] == ["stop"]
    link = page["links"][0]["href"]
    rest = alice.get(link[link.index("/compute") :], headers=at("2.58")).json
    assert [each["action"] for each in rest["instanceActions"]] == ["create"]
    assert len(alice.get(f"{path}?limit=1").json["instanceActions"]) == 2
    late = alice.get(f"{path}?changes-since=2999-01-01T00:00:00Z", headers=at("2.58"))
    assert late.json["instanceActions"] == []


def test_console_output_is_read_from_the_servers_host(
    alice: Any, bob: Any, rita: Any, server: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read(_settings: Any, where: Host, server_id: str, lines: int | None) -> str:
        asked.append((where.name, server_id, lines))
        return "login: "

    monkeypatch.setattr(log, "read", read)
    path = f"{SERVERS}/{server}/action"
    for length, lines in (
        ({}, None),
        ({"length": 5}, 5),
        ({"length": "7"}, 7),
        ({"length": -1}, None),
    ):
        answer = alice.post(path, json={"os-getConsoleOutput": length})
        assert answer.json == {"output": "login: "}
        assert asked[-1] == (host.name, server, lines)
    assert bob.post(path, json={"os-getConsoleOutput": {}}).status_code == 404
    assert rita.post(path, json={"os-getConsoleOutput": {}}).status_code == 403


def test_a_host_that_does_not_answer_is_503_without_its_name(
    alice: Any, server: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_args: Any) -> str:
        raise Unavailable("Its host does not answer. Try again later.", host=host.name)

    monkeypatch.setattr(log, "read", read)
    answer = alice.post(f"{SERVERS}/{server}/action", json={"os-getConsoleOutput": {}})
    assert answer.status_code == 503
    assert host.name not in answer.text


def test_a_server_without_a_host_has_no_console_yet(
    alice: Any, a_server: Any, services: Any
) -> None:
    server_id = alice.post(SERVERS, json=a_server()).json["server"]["id"]
    answer = alice.post(f"{SERVERS}/{server_id}/action", json={"os-getConsoleOutput": {}})
    assert answer.status_code == 409
    with services.db.read() as session, pytest.raises(Exception, match="No host"):
        get_by_name(session, "none")


def test_an_admin_resets_a_servers_state(
    admin: Any, alice: Any, server: str, executor: SimulatedExecutor, work: Any
) -> None:
    path = f"{SERVERS}/{server}"

    def reset(state: str) -> None:
        answer = admin.post(f"{path}/action", json={"os-resetState": {"state": state}})
        assert (answer.status_code, answer.data) == (202, b"")

    reset("error")
    assert alice.get(path).json["server"]["status"] == "ERROR"
    assert alice.post(f"{path}/action", json={"os-start": None}).status_code == 409
    reset("active")
    shown = alice.get(path).json["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
    assert "fault" not in shown
    actions = alice.get(f"{path}/os-instance-actions").json["instanceActions"]
    assert [each["action"] for each in actions] == ["reset_state", "reset_state", "create"]


def test_what_runs_goes_on_when_the_state_is_reset(
    admin: Any, alice: Any, server: str, work: Any
) -> None:
    path = f"{SERVERS}/{server}"
    assert alice.post(f"{path}/action", json={"os-stop": None}).status_code == 202
    admin.post(f"{path}/action", json={"os-resetState": {"state": "active"}})
    assert alice.get(path).json["server"]["OS-EXT-STS:task_state"] is None
    work()
    assert alice.get(path).json["server"]["status"] == "SHUTOFF"
    assert alice.delete(path).status_code == 204
    admin.post(f"{path}/action", json={"os-resetState": {"state": "error"}})
    assert alice.delete(path).status_code == 204
    work()
    assert alice.get(path).status_code == 404


def test_a_state_is_reset_to_active_or_error_alone(admin: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/action"
    for state in ("deleted", "ACTIVE", "", None, 1, ["active"]):
        refused = admin.post(path, json={"os-resetState": {"state": state}})
        assert refused.status_code == 400, state
    assert admin.post(path, json={"os-resetState": {}}).status_code == 400


def test_only_an_admin_resets_a_state(alice: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/action"
    assert alice.post(path, json={"os-resetState": {"state": "active"}}).status_code == 403
