"""Deleted servers that may be restored: while a setting leaves time for it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from controller.api.common.calls import Services
from controller.conductor.reconcilers import soft_deleted_servers
from controller.db.base import utcnow
from controller.db.models import Port, Server
from controller.settings import Settings
from tests.api.compute.conftest import SERVERS
from tests.api.compute.test_action_states import put

DAY_S = 86400


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, reclaim_instance_interval_s=DAY_S)


def act(caller: Any, server: str, action: str) -> Any:
    return caller.post(f"{SERVERS}/{server}/action", json={action: None})


def shown(caller: Any, server: str) -> Any:
    return caller.get(f"{SERVERS}/{server}").json["server"]


@pytest.fixture
def deleted(alice: Any, server: str, work: Any) -> str:
    """A server of alice's that was deleted and may be restored."""
    assert alice.delete(f"{SERVERS}/{server}").status_code == 204
    assert shown(alice, server)["OS-EXT-STS:task_state"] == "soft-deleting"
    work()
    return server


def test_a_deleted_server_is_off_and_comes_back(
    alice: Any, deleted: str, services: Services, work: Any
) -> None:
    view = shown(alice, deleted)
    assert (view["status"], view["OS-EXT-STS:vm_state"]) == ("SOFT_DELETED", "soft-delete")
    assert view["OS-EXT-STS:power_state"] == 4
    assert alice.get(SERVERS).json["servers"] == []
    # To delete it again changes nothing.
    assert alice.delete(f"{SERVERS}/{deleted}").status_code == 204
    assert act(alice, deleted, "restore").status_code == 202
    assert shown(alice, deleted)["OS-EXT-STS:task_state"] == "restoring"
    work()
    after = shown(alice, deleted)
    assert (after["status"], after["addresses"]) == ("ACTIVE", view["addresses"])
    with services.db.read() as session:
        assert session.get_one(Server, deleted).soft_deleted_at is None
    actions = alice.get(f"{SERVERS}/{deleted}/os-instance-actions").json["instanceActions"]
    assert [each["action"] for each in actions] == ["restore", "delete", "create"]


def test_force_delete_is_for_good(alice: Any, deleted: str, services: Services, work: Any) -> None:
    assert act(alice, deleted, "forceDelete").status_code == 202
    work()
    assert alice.get(f"{SERVERS}/{deleted}").status_code == 404
    with services.db.read() as session:
        assert session.query(Port).count() == 0


def test_force_delete_needs_no_delete_before(alice: Any, server: str, work: Any) -> None:
    assert act(alice, server, "forceDelete").status_code == 202
    assert act(alice, server, "forceDelete").status_code == 202
    work()
    assert alice.get(f"{SERVERS}/{server}").status_code == 404


def test_its_time_over_it_is_reclaimed(
    app: Flask, settings: Settings, alice: Any, deleted: str, services: Services, work: Any
) -> None:
    def after(seconds: float) -> int:
        moment = utcnow() + timedelta(seconds=seconds)
        return soft_deleted_servers.run(settings, services.db, lambda: moment)

    assert after(DAY_S - 60) == 0
    off = replace(settings, reclaim_instance_interval_s=0)
    assert soft_deleted_servers.run(off, services.db, lambda: utcnow() + timedelta(days=9)) == 0
    assert after(DAY_S + 60) == 1
    assert after(DAY_S + 60) == 0
    work()
    assert alice.get(f"{SERVERS}/{deleted}").status_code == 404


def test_a_restore_needs_room_in_the_quota(admin: Any, alice: Any, deleted: str, work: Any) -> None:
    path = f"/compute/v2.1/os-quota-sets/{alice.project_id}"
    assert admin.put(path, json={"quota_set": {"instances": 0}}).status_code == 200
    assert act(alice, deleted, "restore").status_code == 403
    assert shown(alice, deleted)["status"] == "SOFT_DELETED"


@pytest.mark.parametrize("state", ["rescued", "resized", "shelved", "shelved_offloaded"])
def test_what_a_start_would_not_bring_back_is_deleted_at_once(
    state: str, alice: Any, server: str, services: Services, work: Any
) -> None:
    put(services, server, state)
    assert alice.delete(f"{SERVERS}/{server}").status_code == 204
    work()
    assert alice.get(f"{SERVERS}/{server}").status_code == 404


def test_a_server_that_never_ran_is_deleted_at_once(alice: Any, a_server: Any, work: Any) -> None:
    server = alice.post(SERVERS, json=a_server()).json["server"]["id"]
    work()
    assert shown(alice, server)["status"] == "ERROR"
    assert alice.delete(f"{SERVERS}/{server}").status_code == 204
    work()
    assert alice.get(f"{SERVERS}/{server}").status_code == 404


def test_others_neither_restore_nor_force(bob: Any, rita: Any, deleted: str) -> None:
    for action in ("restore", "forceDelete"):
        assert act(bob, deleted, action).status_code == 404
        assert act(rita, deleted, action).status_code == 403
