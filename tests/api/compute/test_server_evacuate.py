"""Evacuate as clients see it, by microversion, and the fence of hosts that it goes by."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Host
from controller.runner.simulated import SimulatedExecutor
from tests.api.compute.conftest import SERVERS, at

FENCE = "/novella/v1/hosts/host-a.example/fence"
WORD = {"by": "Ada of operations", "reason": "unplugged at the rack"}


@pytest.fixture
def dead(
    server: str, other_host: str, host: Host, executor: SimulatedExecutor, services: Services
) -> str:
    """A server of alice's whose host is down, beside another host."""
    executor.unreachable.add(host.name)
    with services.db.write() as session:
        session.get_one(Host, host.id).forced_down = True
    return server


def evacuate(caller: Any, server: str, version: str = "2.94", **asked: Any) -> Any:
    return caller.post(f"{SERVERS}/{server}/action", json={"evacuate": asked}, headers=at(version))


def test_with_an_administrators_word_the_server_is_made_anew(
    alice: Any, admin: Any, dead: str, other_host: str, work: Callable[[], None]
) -> None:
    refused = evacuate(admin, dead)
    assert refused.status_code == 409
    message = refused.json["conflictingRequest"]["message"]
    assert "it must not run twice" in message
    assert "novella host fenced host-a.example" in message

    said = admin.put(FENCE, json=WORD)
    assert said.status_code == 200, said.json
    assert said.json["host"]["fence"]["holds"] is True
    assert said.json["host"]["fence"]["reason"] == "unplugged at the rack"
    before = alice.get(f"{SERVERS}/{dead}").json["server"]["addresses"]
    answer = evacuate(admin, dead)
    assert (answer.status_code, answer.data) == (200, b"")
    assert alice.get(f"{SERVERS}/{dead}").json["server"]["status"] == "REBUILD"
    work()
    shown = admin.get(f"{SERVERS}/{dead}").json["server"]
    assert (shown["status"], shown["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", other_host)
    assert shown["addresses"] == before
    (record,) = admin.get(
        "/compute/v2.1/os-migrations?migration_type=evacuation", headers=at("2.59")
    ).json["migrations"]
    assert (record["status"], record["dest_compute"]) == ("done", other_host)
    actions = alice.get(f"{SERVERS}/{dead}/os-instance-actions").json["instanceActions"]
    assert actions[0]["action"] == "evacuate"
    # What was evacuated is not undone by another word.
    assert admin.delete(FENCE).status_code == 409


@pytest.mark.parametrize(
    ("version", "asked", "answers"),
    [
        ("2.1", {"onSharedStorage": False, "adminPass": "mine"}, {"adminPass": "mine"}),
        ("2.13", {"onSharedStorage": "False", "adminPass": "mine"}, {"adminPass": "mine"}),
        ("2.14", {"adminPass": "mine"}, None),
        ("2.29", {"host": "host-b.example", "force": True}, None),
        ("2.68", {"host": "host-b.example"}, None),
    ],
)
def test_what_it_takes_and_answers_is_by_microversion(
    admin: Any, dead: str, version: str, asked: dict[str, Any], answers: Any
) -> None:
    admin.put(FENCE, json=WORD)
    answer = evacuate(admin, dead, version, **asked)
    assert (answer.status_code, answer.json if answer.data else None) == (200, answers)


def test_from_2_95_on_the_server_is_off_afterwards(
    alice: Any, admin: Any, dead: str, work: Callable[[], None]
) -> None:
    admin.put(FENCE, json=WORD)
    assert evacuate(admin, dead, "2.95").status_code == 200
    work()
    assert alice.get(f"{SERVERS}/{dead}").json["server"]["status"] == "SHUTOFF"


@pytest.mark.parametrize(
    ("version", "asked", "status", "says"),
    [
        ("2.1", {}, 400, "onSharedStorage"),
        ("2.13", {"onSharedStorage": True}, 400, "shared_instances_path"),
        ("2.13", {"onSharedStorage": True, "adminPass": "x"}, 400, "existing disk"),
        ("2.14", {"onSharedStorage": False}, 400, "onSharedStorage"),
        ("2.28", {"force": True}, 400, "force"),
        ("2.29", {"force": True}, 400, "non-provided"),
        ("2.68", {"force": False}, 400, "force"),
        ("2.29", {"host": "nowhere"}, 404, "not found"),
        ("2.29", {"host": "host-a.example"}, 400, "it is there"),
    ],
)
def test_what_can_not_be_is_refused(
    admin: Any, dead: str, version: str, asked: dict[str, Any], status: int, says: str
) -> None:
    admin.put(FENCE, json=WORD)
    answer = evacuate(admin, dead, version, **asked)
    assert answer.status_code == status, answer.json
    assert says in str(answer.json)


def test_a_host_that_is_up_is_in_use(admin: Any, server: str, other_host: str) -> None:
    answer = evacuate(admin, server)
    assert answer.status_code == 400
    assert "still in use" in answer.json["badRequest"]["message"]
    said = admin.put(FENCE, json=WORD)
    assert said.status_code == 409
    assert "it answers" in said.json["error"]["message"]


def test_a_word_can_be_taken_back(admin: Any, dead: str) -> None:
    admin.put(FENCE, json=WORD)
    assert admin.delete(FENCE).status_code == 204
    assert admin.get("/novella/v1/hosts/host-a.example").json["host"]["fence"] is None
    assert evacuate(admin, dead).status_code == 409


@pytest.mark.parametrize(
    "body", [{}, {"by": "ops"}, {**WORD, "more": 1}, {"by": "", "reason": "x"}]
)
def test_a_word_says_who_and_how(admin: Any, dead: str, body: dict[str, Any]) -> None:
    assert admin.put(FENCE, json=body).status_code == 400


def test_all_of_it_is_for_administrators(alice: Any, rita: Any, dead: str) -> None:
    for caller in (alice, rita):
        assert evacuate(caller, dead).status_code == 403
        assert caller.put(FENCE, json=WORD).status_code == 403
        assert caller.delete(FENCE).status_code == 403
        assert caller.get("/novella/v1/hosts/host-a.example").status_code == 403
