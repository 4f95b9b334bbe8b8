"""Every state of a server, and every task that upstream names: what is shown, and how it lists."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.api.compute import statuses
from controller.db.base import utcnow
from controller.db.models import Host, Server
from controller.states import DELETED, LIVING, SOFT_DELETED, STATES
from tests.api.compute.conftest import SERVERS

SHOWN = [
    *((state, None, status) for state, status in statuses.BY_STATE.items() if state in LIVING),
    *((state, task, status) for (state, task), status in statuses.BY_TASK.items()),
    # A task that upstream has no status for leaves the state's.
    ("active", "pausing", "ACTIVE"),
    ("stopped", "powering-on", "SHUTOFF"),
]


def put(services: Services, server_id: str, **values: Any) -> None:
    with services.db.write() as session:
        row = session.get_one(Server, server_id)
        for name, value in values.items():
            setattr(row, name, value)


def listed(caller: Any, query: str) -> list[str]:
    answer = caller.get(f"{SERVERS}/detail?{query}")
    assert answer.status_code == 200, answer.json
    return [each["status"] for each in answer.json["servers"]]


def test_every_state_has_a_status() -> None:
    assert statuses.BY_STATE.keys() == STATES


@pytest.mark.parametrize(("state", "task", "status"), SHOWN)
def test_a_status_is_shown_and_found(
    state: str, task: str | None, status: str, services: Services, admin: Any, server: str
) -> None:
    put(services, server, state=state, task_state=task)
    shown = admin.get(f"{SERVERS}/{server}").json["server"]
    assert (shown["status"], shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:task_state"]) == (
        status, state, task
    )  # fmt: skip
    deleted = "&deleted=true" if state == SOFT_DELETED else ""
    assert listed(admin, f"all_tenants=1&status={status}{deleted}") == [status]
    other = "ERROR" if state != "error" else "ACTIVE"
    assert listed(admin, f"all_tenants=1&status={other}{deleted}") == []


def test_a_server_that_may_be_restored_lists_with_the_deleted(
    services: Services, admin: Any, alice: Any, server: str
) -> None:
    put(services, server, state=SOFT_DELETED)
    assert listed(alice, "") == listed(admin, "all_tenants=1") == []
    assert listed(admin, "all_tenants=1&deleted=true") == ["SOFT_DELETED"]
    assert listed(admin, "all_tenants=1&deleted=true&soft_deleted=false") == []
    assert listed(admin, "all_tenants=1&soft_deleted=true") == ["SOFT_DELETED"]
    put(services, server, state=DELETED, deleted_at=utcnow())
    assert listed(admin, "all_tenants=1&soft_deleted=true") == []


def test_a_server_that_may_be_restored_takes_no_quota(
    services: Services, alice: Any, server: str
) -> None:
    def used() -> int:
        return int(
            alice.get("/compute/v2.1/limits").json["limits"]["absolute"]["totalInstancesUsed"]
        )

    for state in LIVING:
        put(services, server, state=state)
        assert used() == (0 if state == SOFT_DELETED else 1), state


def test_an_administrator_resets_any_state(
    services: Services, admin: Any, alice: Any, server: str, host: Host
) -> None:
    for state in LIVING:
        put(services, server, state=state, task_state="pausing")
        path, body = f"{SERVERS}/{server}/action", {"os-resetState": {"state": "active"}}
        assert alice.post(path, json=body).status_code == 403
        assert admin.post(path, json=body).status_code == 202
        shown = admin.get(f"{SERVERS}/{server}").json["server"]
        assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
