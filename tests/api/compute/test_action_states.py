"""Every action in every state, from the state table: done where its row allows it, else refused.

A new row joins by itself; one whose body must say something says it in BODIES.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.api.compute.server_actions import ACTIONS
from controller.api.compute.statuses import BY_STATE
from controller.core import host_fences, migrations
from controller.core.context import Context
from controller.core.operations import begin_action
from controller.db.base import utcnow
from controller.db.models import DiskSnapshot, Flavor, Host, Image, Operation, Server
from controller.errors import InvalidState
from controller.settings import Settings
from controller.states import BUILDING, IGNORE_LOCK, LIVING, RESIZED, TABLE
from tests.api.compute.conftest import SERVERS

Body = Callable[[str], dict[str, Any]]
LATEST = {"OpenStack-API-Version": "compute latest"}
# What lies under an action that null doesn't do for; IMAGE stands for an image's id.
IMAGE = object()
SNAPSHOT_ID = "22222222-2222-4333-8444-555555555555"
BODIES: dict[str, Any] = {
    "rebuild": {"imageRef": IMAGE},
    "createImage": {"name": "snapshot"},
    "createBackup": {"name": "backup", "backup_type": "daily", "rotation": 1},
    "reboot": {"type": "SOFT"},
    "os-resetState": {"state": "error"},
    "changePassword": {"adminPass": "new"},
    "resize": {"flavorRef": "larger"},
    "evacuate": {},
    "novella:live_resize": {"memory_mb": 192},
    "novella:revert_snapshot": {"snapshot": SNAPSHOT_ID},
    "os-migrateLive": {"host": None, "block_migration": "auto"},
}
# Actions whose row has another name than theirs in snake case.
ROWS = {
    "forceDelete": "delete",
    "os-start": "start",
    "os-stop": "stop",
    "os-resetState": "reset_state",
    "os-migrateLive": "live_migrate",
}


@pytest.fixture(autouse=True)
def larger_flavor(services: Services) -> None:
    with services.db.write() as session:
        session.add(Flavor(flavor_id="larger", name="m1.larger", vcpus=1, memory_mb=256, disk_gb=1))


@pytest.fixture
def flavor(flavor: Flavor, services: Services) -> Flavor:
    """The servers' flavor, with limits that they can be changed within."""
    with services.db.write() as session:
        changed = session.get_one(Flavor, flavor.id)
        changed.extra_specs = {**changed.extra_specs, "novella:max_memory_mb": "256"}
    return flavor


@pytest.fixture
def image(image: Image, services: Services) -> Image:
    """The servers' image, with what an action may ask of it."""
    with services.db.write() as session:
        session.get_one(Image, image.id).properties = {"hw_qemu_guest_agent": "yes"}
    return image


@pytest.fixture
def body(image: Image) -> Callable[[str], dict[str, Any]]:
    """Return the body of an action: `body("reboot")`."""

    def made(action: str) -> dict[str, Any]:
        under = BODIES.get(action)
        if isinstance(under, dict):
            under = {name: image.id if each is IMAGE else each for name, each in under.items()}
        return {action: under}

    return made


@pytest.fixture
def server(server: str, request: pytest.FixtureRequest, services: Services) -> str:
    """One that has a disk snapshot, if that is what the action is about."""
    if "revert_snapshot" in request.node.name:
        with services.db.write() as session:
            row = DiskSnapshot(id=SNAPSHOT_ID, server_id=server, name="s", status="available")
            session.add(row)
    return server


def row_of(action: str) -> str:
    action = action.removeprefix("novella:")
    return ROWS.get(action) or re.sub(r"(?<=[a-z])([A-Z])", r"_\1", action).lower()


BUILT = [name for name, action in ACTIONS.items() if action.handler and row_of(name) in TABLE]
# Such as are refused in some state by their row.
CASES = [
    (name, state)
    for name in BUILT
    for state in sorted(LIVING)
    if state not in TABLE[row_of(name)].allowed_in
]


def put(services: Services, server_id: str, state: str) -> None:
    with services.db.write() as session:
        server = session.get_one(Server, server_id)
        if state == RESIZED:
            context = Context("req-1", server.user_id, project_id=server.project_id)
            moved = migrations.begin(session, context, server, migrations.RESIZE)
            moved.status = migrations.FINISHED
        server.state = state


def fence(services: Services, server_id: str) -> None:
    """Have the server's host be down, and known to run nothing."""
    with services.db.write() as session:
        host = session.get_one(Host, session.get_one(Server, server_id).host_id)
        host.forced_down = True
        host_fences.note(host, by="ops", reason="unplugged", now=utcnow())


def operations(services: Services) -> int:
    with services.db.read() as session:
        return session.query(Operation).count()


# Rows that the API has paths of their own for.
OTHERS = [
    (row.action, state)
    for row in TABLE.values()
    if row.operation and row.action not in {row_of(name) for name in BUILT}
    for state in sorted(LIVING - row.allowed_in)
]


@pytest.mark.parametrize(("action", "state"), OTHERS)
def test_a_row_is_refused_in_a_state_that_it_does_not_allow(
    action: str, state: str, services: Services, settings: Settings, admin: Any, server: str
) -> None:
    put(services, server, state)
    before = operations(services)
    context = Context("req-1", admin.user_id, project_id=admin.project_id, is_admin=True)
    with services.db.write() as session, pytest.raises(InvalidState, match=f"it is {state}, and"):
        begin_action(session, settings, context, session.get_one(Server, server), action)
    assert operations(services) == before


@pytest.mark.parametrize(("action", "state"), CASES)
def test_an_action_is_refused_in_a_state_that_its_row_does_not_allow(
    action: str, state: str, services: Services, admin: Any, server: str, body: Body
) -> None:
    put(services, server, state)
    before = operations(services)
    refused = admin.post(f"{SERVERS}/{server}/action", json=body(action), headers=LATEST)
    assert refused.status_code == 409, refused.json
    message = refused.json["conflictingRequest"]["message"]
    assert f"it is {state}" in message
    for allowed in TABLE[row_of(action)].allowed_in:
        assert allowed in message
    shown = admin.get(f"{SERVERS}/{server}").json["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == (BY_STATE[state], None)
    assert operations(services) == before


@pytest.mark.parametrize("action", [name for name in BUILT if TABLE[row_of(name)].operation])
def test_an_action_is_refused_while_something_else_is_done(
    action: str, services: Services, admin: Any, server: str, body: Body
) -> None:
    row = TABLE[row_of(action)]
    with services.db.write() as session:
        changed = session.get_one(Server, server)
        changed.state, changed.task_state = min(row.allowed_in), "a_task_of_nobody"
    refused = admin.post(f"{SERVERS}/{server}/action", json=body(action), headers=LATEST)
    assert refused.status_code == (202 if row.interrupts_all else 409)
    if not row.interrupts_all:
        message = refused.json["conflictingRequest"]["message"]
        assert "it is busy (a_task_of_nobody). Wait until that has ended" in message


@pytest.mark.parametrize("action", [name for name in BUILT if row_of(name) not in IGNORE_LOCK])
def test_a_locked_server_refuses_it_to_its_owner_alone(
    action: str, services: Services, alice: Any, admin: Any, server: str, body: Body
) -> None:
    row = TABLE[row_of(action)]
    assert alice.post(f"{SERVERS}/{server}/action", json={"lock": None}).status_code == 202
    put(services, server, min(row.allowed_in - {BUILDING}))
    path = f"{SERVERS}/{server}/action"
    answer = alice.post(path, json=body(action), headers=LATEST)
    if answer.status_code == 403:
        assert action in ADMIN_ONLY, answer.json
    else:
        assert answer.status_code == 409
        assert "is locked. Unlock it first" in answer.json["conflictingRequest"]["message"]
    if action == "evacuate":
        fence(services, server)
    before = operations(services)
    allowed = admin.post(path, json=body(action), headers=LATEST)
    assert "is locked" not in str(allowed.json)
    assert allowed.status_code in (200, 202, 204), allowed.json
    assert operations(services) == before + (1 if row.operation else 0)


# A tenant is refused these by policy, before the lock is looked at.
ADMIN_ONLY = {"os-resetState", "shelveOffload", "migrate", "os-migrateLive", "evacuate"}
