"""Locks: who locks, who unlocks, what is shown of it, and what a locked server refuses."""

from typing import Any

import pytest

from tests.api.compute.conftest import SERVERS, at

LOCK, UNLOCK = {"lock": None}, {"unlock": None}


def act(caller: Any, server: str, body: dict[str, Any], version: str = "2.1") -> int:
    answer = caller.post(f"{SERVERS}/{server}/action", json=body, headers=at(version))
    return int(answer.status_code)


def shown(caller: Any, server: str, version: str = "2.73") -> Any:
    return caller.get(f"{SERVERS}/{server}", headers=at(version)).json["server"]


def test_a_lock_and_its_reason_are_shown_by_version(alice: Any, server: str) -> None:
    assert act(alice, server, {"lock": {"locked_reason": "an audit"}}, "2.73") == 202
    assert "locked" not in shown(alice, server, "2.8")
    assert shown(alice, server, "2.9")["locked"] is True
    assert "locked_reason" not in shown(alice, server, "2.72")
    listed = alice.get(f"{SERVERS}/detail?locked=true", headers=at("2.73")).json["servers"]
    for view in (shown(alice, server), *listed):
        assert (view["locked"], view["locked_reason"]) == (True, "an audit")
    assert len(listed) == 1
    assert act(alice, server, UNLOCK) == 202
    assert shown(alice, server)["locked"] is False
    assert shown(alice, server)["locked_reason"] is None
    actions = alice.get(f"{SERVERS}/{server}/os-instance-actions").json["instanceActions"]
    assert [each["action"] for each in actions] == ["unlock", "lock", "create"]


@pytest.mark.parametrize(
    ("reason", "version", "status"),
    [
        ({"locked_reason": "x" * 255}, "2.73", 202), ({"locked_reason": "x" * 256}, "2.73", 400),
        ({"locked_reason": ""}, "2.73", 400), ({"locked_reason": 1}, "2.73", 400),
        ({"other": "x"}, "2.73", 400), ("x", "2.73", 400),
        # Before there were reasons, what lay under it was passed over.
        ({"locked_reason": "x" * 256}, "2.72", 202), ("x", "2.1", 202),
    ],
)  # fmt: skip
def test_a_reason_has_its_form(
    reason: Any, version: str, status: int, alice: Any, server: str
) -> None:
    assert act(alice, server, {"lock": reason}, version) == status
    if status == 202 and version == "2.72":
        assert shown(alice, server)["locked_reason"] is None


def test_an_owner_cannot_undo_an_administrators_lock(alice: Any, admin: Any, server: str) -> None:
    assert act(admin, server, {"lock": {"locked_reason": "by order"}}, "2.73") == 202
    # To lock what is locked changes nothing for its owner, neither reason nor locker.
    assert act(alice, server, {"lock": {"locked_reason": "mine"}}, "2.73") == 202
    assert shown(alice, server)["locked_reason"] == "by order"
    assert act(alice, server, UNLOCK) == 403
    refused = alice.post(f"{SERVERS}/{server}/action", json={"os-stop": None})
    message = refused.json["conflictingRequest"]["message"]
    assert "is locked (by order). Ask an administrator to unlock it" in message
    assert act(admin, server, UNLOCK) == 202
    assert act(alice, server, {"os-stop": None}) == 202


def test_an_administrator_takes_over_and_undoes_an_owners_lock(
    alice: Any, admin: Any, server: str
) -> None:
    assert act(alice, server, LOCK) == 202
    assert act(admin, server, LOCK) == 202
    assert act(alice, server, UNLOCK) == 403
    assert act(admin, server, UNLOCK) == 202
    assert act(alice, server, LOCK) == 202
    assert act(admin, server, UNLOCK) == 202
    assert shown(alice, server)["locked"] is False


def test_others_neither_lock_nor_unlock(bob: Any, rita: Any, server: str) -> None:
    for body in (LOCK, UNLOCK):
        assert act(bob, server, body) == 404
        assert act(rita, server, body) == 403


def test_a_locked_server_is_not_deleted_and_keeps_its_name_changeable(
    alice: Any, admin: Any, server: str
) -> None:
    assert act(alice, server, LOCK) == 202
    assert alice.delete(f"{SERVERS}/{server}").status_code == 409
    assert shown(alice, server)["status"] == "ACTIVE"
    renamed = alice.put(f"{SERVERS}/{server}", json={"server": {"name": "other"}})
    assert renamed.status_code == 200
    assert admin.delete(f"{SERVERS}/{server}").status_code == 204
