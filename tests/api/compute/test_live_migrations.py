"""Live migration as clients see it: what it takes, and what may be asked of it meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.core import migrations
from controller.db.base import utcnow
from controller.db.models import Host, Migration, Operation
from tests.api.compute.conftest import MIGRATIONS, SERVERS, at

ANYWHERE = {"host": None, "block_migration": "auto"}


def ask(caller: Any, server: str, asked: dict[str, Any], version: str = "2.90") -> Any:
    body = {"os-migrateLive": asked}
    return caller.post(f"{SERVERS}/{server}/action", json=body, headers=at(version))


@pytest.fixture
def under_way(admin: Any, server: str, services: Services, other_host: str) -> Callable[[str], str]:
    """Return the path of a live migration of the server that has the given status."""

    def made(status: str) -> str:
        assert ask(admin, server, {**ANYWHERE, "host": other_host}).status_code == 202
        with services.db.write() as session:
            record = session.query(Migration).one()
            record.status = status
            record.progress = {"memory_total_bytes": 1 << 20, "disk_remaining_bytes": 7}
            return f"{SERVERS}/{server}/migrations/{record.id}"

    return made


def test_a_live_migration_is_for_administrators_and_ends_elsewhere(
    alice: Any, admin: Any, server: str, other_host: str, work: Callable[[], None]
) -> None:
    assert ask(alice, server, ANYWHERE).status_code == 403
    answer = ask(admin, server, ANYWHERE)
    assert (answer.status_code, answer.data) == (202, b"")
    path = f"{SERVERS}/{server}"
    shown = admin.get(path).json["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("MIGRATING", "migrating")
    (one,) = admin.get(f"{path}/migrations", headers=at("2.80")).json["migrations"]
    assert (one["status"], one["source_compute"]) == ("accepted", "host-a.example")
    work()
    shown = admin.get(path).json["server"]
    assert (shown["status"], shown["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", other_host)
    (record,) = admin.get(MIGRATIONS, headers=at("2.80")).json["migrations"]
    assert (record["status"], record["migration_type"]) == ("completed", "live-migration")
    assert (record["dest_compute"], "links" in record) == (other_host, False)
    assert admin.get(f"{path}/migrations", headers=at("2.80")).json == {"migrations": []}
    actions = alice.get(f"{path}/os-instance-actions").json["instanceActions"]
    assert [each["action"] for each in actions] == ["live-migration", "create"]


@pytest.mark.parametrize(
    ("version", "asked", "says"),
    [
        ("2.24", {"host": None, "block_migration": True, "disk_over_commit": False}, None),
        ("2.24", {"host": None, "block_migration": "auto", "disk_over_commit": False}, "auto"),
        ("2.24", {"host": None, "block_migration": True}, "disk_over_commit"),
        ("2.25", {"host": None, "block_migration": "auto"}, None),
        ("2.25", {"host": None, "block_migration": True, "disk_over_commit": False}, "disk_over"),
        ("2.25", {"block_migration": "auto"}, "host"),
        ("2.29", {"host": None, "block_migration": "auto", "force": True}, "force"),
        ("2.30", {"host": "host-b.example", "block_migration": "auto", "force": True}, None),
        ("2.67", {"host": "host-b.example", "block_migration": True, "force": "yes"}, None),
        ("2.68", {"host": "host-b.example", "block_migration": True, "force": True}, "force"),
        ("2.90", {"host": "host-b.example", "block_migration": True}, None),
        ("2.90", {"host": "host-a.example", "block_migration": True}, "it is there"),
        ("2.90", {"host": "nowhere", "block_migration": True}, "could not be found"),
        ("2.90", {"host": None, "block_migration": False}, "do not share servers' folders"),
    ],
)
def test_what_it_takes_follows_its_microversion(
    admin: Any, server: str, other_host: str, version: str, asked: dict[str, Any], says: str | None
) -> None:
    answer = ask(admin, server, asked, version)
    if says is None:
        assert answer.status_code == 202, answer.json
    else:
        assert answer.status_code == 400
        assert says in answer.json["badRequest"]["message"]


@pytest.mark.parametrize(
    ("version", "force", "checked"),
    [("2.25", None, False), ("2.30", True, False), ("2.30", False, True), ("2.68", None, True)],
)
def test_a_named_host_is_checked_by_the_scheduler_unless_forced(
    admin: Any, server: str, other_host: str, services: Services,
    version: str, force: bool | None, checked: bool, work: Callable[[], None],
) -> None:  # fmt: skip
    with services.db.write() as session:
        session.query(Host).filter_by(name=other_host).update({"enabled": False})
    asked = {**ANYWHERE, "host": other_host} | ({} if force is None else {"force": force})
    assert ask(admin, server, asked, version).status_code == 202
    work()
    (record,) = admin.get(MIGRATIONS, headers=at("2.80")).json["migrations"]
    assert record["status"] == ("error" if checked else "completed")
    assert admin.get(f"{SERVERS}/{server}").json["server"]["status"] == "ACTIVE"


def test_a_host_that_does_not_answer_is_refused_at_once(
    admin: Any, server: str, other_host: str, services: Services
) -> None:
    with services.db.write() as session:
        gone = utcnow() - timedelta(days=1)
        session.query(Host).filter_by(name=other_host).update({"last_seen_at": gone})
    answer = ask(admin, server, {**ANYWHERE, "host": other_host})
    assert answer.status_code == 400
    assert "is unavailable at this time" in answer.json["badRequest"]["message"]


def test_how_far_it_is_shows_in_numbers(admin: Any, under_way: Callable[[str], str]) -> None:
    path = under_way(migrations.LIVE_RUNNING)
    shown = admin.get(path, headers=at("2.23")).json["migration"]
    assert (shown["memory_total_bytes"], shown["disk_remaining_bytes"]) == (1 << 20, 7)
    assert shown["disk_processed_bytes"] == 0
    (listed,) = admin.get(MIGRATIONS, headers=at("2.23")).json["migrations"]
    assert listed["links"][0]["href"].endswith(path)


@pytest.mark.parametrize(
    ("version", "status", "code"),
    [
        ("2.23", migrations.LIVE_RUNNING, 404),
        ("2.24", migrations.LIVE_RUNNING, 202),
        ("2.64", migrations.LIVE_PREPARING, 400),
        ("2.65", migrations.LIVE_PREPARING, 202),
        ("2.90", migrations.ARRIVING, 400),
        ("2.90", migrations.COMPLETED, 404),
    ],
)
def test_an_abort_is_taken_while_it_can_be(
    admin: Any, alice: Any, services: Services, under_way: Callable[[str], str],
    version: str, status: str, code: int, work: Callable[[], None],
) -> None:  # fmt: skip
    path = under_way(status)
    if code == 202:
        assert alice.delete(path, headers=at(version)).status_code == 403
    assert admin.delete(path, headers=at(version)).status_code == code
    with services.db.read() as session:
        asked = session.query(Operation).filter_by(kind="server_live_migrate").one()
        assert asked.cancel_requested == (code == 202)
    if code == 202:
        work()
        server = path.split("/")[4]
        assert admin.get(f"{SERVERS}/{server}").json["server"]["status"] == "ACTIVE"
        (record,) = admin.get(MIGRATIONS, headers=at("2.80")).json["migrations"]
        assert record["status"] == "cancelled"


@pytest.mark.parametrize(
    ("version", "status", "code"),
    [
        ("2.21", migrations.LIVE_RUNNING, 404),
        ("2.22", migrations.LIVE_RUNNING, 202),
        ("2.90", migrations.LIVE_PREPARING, 400),
    ],
)
def test_it_can_be_forced_to_complete_while_it_runs(
    admin: Any, alice: Any, services: Services, under_way: Callable[[str], str],
    version: str, status: str, code: int,
) -> None:  # fmt: skip
    path = f"{under_way(status)}/action"
    body = {"force_complete": None}
    if code == 202:
        assert alice.post(path, json=body, headers=at(version)).status_code == 403
        assert admin.post(path, json={"force_complete": 1}, headers=at("2.22")).status_code == 400
    assert admin.post(path, json=body, headers=at(version)).status_code == code
    with services.db.read() as session:
        assert session.query(Migration).one().force_complete == (code == 202)
