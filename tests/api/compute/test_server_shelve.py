"""POST /servers/{id}/action with shelve, shelveOffload and unshelve."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from tests.api.compute.conftest import SERVERS


def act(caller: Any, server: str, body: dict[str, Any], version: str = "2.96") -> Any:
    headers = {"OpenStack-API-Version": f"compute {version}"}
    return caller.post(f"{SERVERS}/{server}/action", json=body, headers=headers)


def status(caller: Any, server: str) -> str:
    return str(caller.get(f"{SERVERS}/{server}").json["server"]["status"])


@pytest.fixture
def stays(settings: Any, services: Services) -> None:
    object.__setattr__(settings, "shelved_offload_time_s", -1)


@pytest.mark.usefixtures("stays")
def test_a_server_is_shelved_offloaded_and_brought_back(
    alice: Any, admin: Any, server: str, work: Any
) -> None:
    assert act(alice, server, {"shelve": None}).status_code == 202
    work()
    assert status(alice, server) == "SHELVED"
    assert act(alice, server, {"unshelve": {"availability_zone": "nova"}}).status_code == 409
    assert act(alice, server, {"shelveOffload": None}).status_code == 403
    assert act(admin, server, {"shelveOffload": None}).status_code == 202
    work()
    assert status(alice, server) == "SHELVED_OFFLOADED"
    shown = admin.get(f"{SERVERS}/{server}").json["server"]
    assert (shown["OS-EXT-SRV-ATTR:host"], shown["hostId"]) == (None, "")
    assert act(alice, server, {"os-start": None}).status_code == 409
    assert act(alice, server, {"unshelve": {"availability_zone": "nova"}}).status_code == 202
    work()
    assert status(alice, server) == "ACTIVE"
    actions = alice.get(f"{SERVERS}/{server}/os-instance-actions").json["instanceActions"]
    assert [each["action"] for each in actions] == [
        "unshelve", "shelveOffload", "shelve", "create",
    ]  # fmt: skip


def test_without_a_setting_it_is_offloaded_at_once(alice: Any, server: str, work: Any) -> None:
    assert act(alice, server, {"shelve": None}).status_code == 202
    work()
    assert status(alice, server) == "SHELVED_OFFLOADED"


@pytest.mark.parametrize(
    ("version", "asked", "expected"),
    [
        # Before 2.77 nobody looks at it, as upstream.
        ("2.76", {"anything": 1}, 202),
        ("2.77", {}, 400),
        ("2.77", {"host": "host-a.example"}, 400),
        ("2.77", {"availability_zone": "nowhere"}, 400),
        ("2.77", {"availability_zone": "nova"}, 202),
        ("2.90", {"availability_zone": None}, 400),
        ("2.91", {"availability_zone": None}, 202),
        ("2.91", {"host": "host-a.example", "availability_zone": "nova"}, 202),
        ("2.91", {"host": "nobody"}, 400),
        ("2.91", {}, 400),
        ("2.91", None, 202),
    ],
)
def test_where_it_may_ask_to_go_depends_on_the_version(
    alice: Any, admin: Any, server: str, work: Any, version: str, asked: Any, expected: int
) -> None:
    act(alice, server, {"shelve": None})
    work()
    answer = act(admin, server, {"unshelve": asked}, version)
    assert answer.status_code == expected, answer.json
    work()
    assert status(alice, server) == ("ACTIVE" if expected == 202 else "SHELVED_OFFLOADED")


def test_only_administrators_name_a_host(alice: Any, bob: Any, server: str, work: Any) -> None:
    assert act(bob, server, {"shelve": None}).status_code == 404
    act(alice, server, {"shelve": None})
    work()
    assert act(alice, server, {"unshelve": {"host": "host-a.example"}}).status_code == 403
    assert status(alice, server) == "SHELVED_OFFLOADED"
