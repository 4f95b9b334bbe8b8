"""Hosts that go, and hosts whose log-in user is not root."""

from pathlib import Path

import pytest

from controller.core import host_access, hosts, operations
from controller.db.base import utcnow
from controller.db.models import Base, Host, Inventory, Operation, ResourceProvider, Server
from controller.db.session import Database
from controller.errors import InUse, NotFound
from controller.placement import allocations
from controller.settings import Settings

FACTS = {"cpus": 4, "memory_mb": 8192, "disk_gb": 100}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


@pytest.fixture
def db(settings: Settings) -> Database:
    database = Database(settings.db_url)
    Base.metadata.create_all(database.engine)
    with database.write() as session:
        host = hosts.enroll_record(session, "c1", "192.0.2.1", host_keys=["ssh-ed25519 AAAA"])
        hosts.record_facts(session, settings, host, FACTS, utcnow())
    return database


def _server(session: object, host: Host, state: str) -> Server:
    server = Server(
        project_id="p", user_id="u", name="web", hostname="web", state=state, flavor={},
        reservation_id="r-1", host_id=host.id,
    )  # fmt: skip
    session.add(server)  # type: ignore[attr-defined]
    return server


def test_a_host_without_servers_goes_with_its_provider(db: Database) -> None:
    with db.write() as session:
        gone = _server(session, hosts.get_by_name(session, "c1"), "deleted")
    with db.write() as session:
        hosts.remove(session, hosts.get_by_name(session, "c1"))
    with db.read() as session:
        with pytest.raises(NotFound):
            hosts.get_by_name(session, "c1")
        assert session.query(ResourceProvider).count() == session.query(Inventory).count() == 0
        assert session.get(Server, gone.id).host_id is None


def test_a_host_with_a_living_server_stays(db: Database) -> None:
    with db.write() as session:
        _server(session, hosts.get_by_name(session, "c1"), "stopped")
    with db.write() as session, pytest.raises(InUse, match="1 servers are on it"):
        hosts.remove(session, hosts.get_by_name(session, "c1"))


def test_a_host_whose_clean_up_is_not_confirmed_stays(db: Database) -> None:
    with db.write() as session:
        host = hosts.get_by_name(session, "c1")
        allocations.claim(session, "a-clean-up", host.id, {"VCPU": 1})
    with db.write() as session, pytest.raises(InUse, match="1 allocations are held"):
        hosts.remove(session, hosts.get_by_name(session, "c1"))


@pytest.mark.parametrize("state", [operations.QUEUED, operations.RUNNING])
def test_a_host_with_a_clean_up_of_leftovers_stays_until_it_ends(db: Database, state: str) -> None:
    """Such a clean-up holds no room."""
    with db.write() as session:
        host = hosts.get_by_name(session, "c1")
        gone = _server(session, host, "deleted")
        session.flush()
        clean_up = operations.submit(session, "server_cleanup", server=gone, host_id=host.id)
        clean_up.state = state
    with db.write() as session, pytest.raises(InUse, match="1 clean-ups there are not confirmed"):
        hosts.remove(session, hosts.get_by_name(session, "c1"))
    with db.write() as session:
        session.get_one(Operation, clean_up.id).state = operations.SUCCEEDED
    with db.write() as session:
        hosts.remove(session, hosts.get_by_name(session, "c1"))


@pytest.mark.parametrize(("user", "words"), [("root", ["tail"]), ("ops", ["sudo", "-n", "tail"])])
def test_reads_run_as_root_whoever_logs_in(settings: Settings, user: str, words: list[str]) -> None:
    host = Host(id="1", name="c1", address="192.0.2.1", ssh_user=user, ssh_port=22,
                host_keys=["ssh-ed25519 AAAA"], variables={})  # fmt: skip
    command = host_access.ssh_command(settings, host, "tail")
    assert command[command.index("192.0.2.1") + 1 :] == words
