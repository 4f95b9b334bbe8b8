"""A cloud in a real database, with hosts that are simulated."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.conductor.engine import Engine
from controller.core import hosts, operations, sealing
from controller.core.context import Context
from controller.db.base import utcnow
from controller.db.models import CloudSetting, Host, Network, Operation, Port, Server
from controller.db.session import Database
from controller.keys import make_keys
from controller.runner.simulated import SimulatedExecutor
from controller.settings import Settings
from tests.fixtures import schema

FLAVOR = {"name": "m1.tiny", "vcpus": 1, "memory_mb": 128, "disk_gb": 1}
CONTEXT = Context("req-test", user_id="u" * 32, project_id="p" * 32)


@dataclass
class Clock:
    """The time, which a test can move on."""

    shift: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return utcnow() + self.shift

    def advance(self, seconds: float) -> None:
        self.shift += timedelta(seconds=seconds)


@dataclass
class Cloud:
    settings: Settings
    db: Database
    executor: SimulatedExecutor
    clock: Clock
    engines: list[Engine] = field(default_factory=list)

    def engine(self, owner: str = "test/one/1") -> Engine:
        made = Engine(self.settings, self.db, self.executor, owner=owner, clock=self.clock)
        self.engines.append(made)
        return made

    def close(self) -> None:
        """End what its workers have in hand, which may be a run of a minute."""
        for engine in self.engines:
            engine.stop(0)
        self.db.dispose()

    def work(self) -> None:
        """Do all that can be done now."""
        self.engine().run_until_idle()

    def add_host(self, name: str, **facts: int) -> str:
        known = {"cpus": 8, "memory_mb": 8704, "disk_gb": 100, **facts}
        with self.db.write() as session:
            host = hosts.enroll_record(
                session, name, "192.0.2.1", host_keys=["ssh-ed25519 AAAA"],
                variables={"compute_flat_interfaces": {"physnet1": "eth1"}},
            )  # fmt: skip
            hosts.record_facts(session, self.settings, host, known, self.clock())
            return host.id

    def add_server(self, name: str = "web", **values: Any) -> str:
        """Accept the create of a server, as the API does."""
        with self.db.write() as session:
            user_data = sealing.seal_user_data(self.settings, values.pop("user_data", None))
            server = Server(
                sealed_user_data=user_data,
                project_id=CONTEXT.project, user_id=CONTEXT.user_id, name=name, hostname=name,
                flavor={**FLAVOR, **values.pop("flavor", {})}, reservation_id="r-1",
                image_id="5f2c4c9e-1111-4222-8333-444455556666",
                image={"disk_format": "qcow2", "sha256": "0" * 64, "size_bytes": 1},
                **values,
            )  # fmt: skip
            session.add(server)
            session.flush()
            operations.begin_action(
                session, self.settings, CONTEXT, server, "create", secrets={"admin_pass": "s3cret"}
            )
            return server.id

    def add_port(self, server_id: str, *, made_by_server: bool = True) -> str:
        with self.db.write() as session:
            network = Network(project_id=CONTEXT.project, physical_network="physnet1")
            session.add(network)
            session.flush()
            port = Port(
                network_id=network.id, project_id=CONTEXT.project, mac_address="fa:16:3e:00:00:01",
                device_id=server_id, made_by_server=made_by_server,
                device_owner="compute:nova",
            )  # fmt: skip
            session.add(port)
            session.flush()
            return port.id

    def act(self, server_id: str, action: str) -> str:
        """Accept an action on the server, as the API does; return the operation's id."""
        with self.db.write() as session:
            server = session.get_one(Server, server_id)
            operation = operations.begin_action(session, self.settings, CONTEXT, server, action)
            session.flush()
            return operation.id

    def server(self, server_id: str) -> Server:
        with self.db.read() as session:
            return session.get_one(Server, server_id)

    def host(self, host_id: str) -> Host:
        with self.db.read() as session:
            return session.get_one(Host, host_id)

    def operations(self, **filters: Any) -> list[Operation]:
        with self.db.read() as session:
            query = session.query(Operation).filter_by(**filters).order_by(Operation.created_at)
            return list(query)

    def playbooks(self) -> list[str]:
        """The playbooks that were run, in order."""
        return [run.playbook for run in self.executor.runs]

    def active_server(self) -> str:
        """Return a server that is up."""
        server_id = self.add_server()
        self.work()
        self.executor.runs.clear()
        return server_id


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """In memory: each commit waits for the disk otherwise, and these tests commit a lot."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def cloud(state_dir: Path, database_url: str) -> Iterator[Cloud]:
    with open_cloud(state_dir, database_url) as made:
        yield made


@pytest.fixture
def two_hosts(cloud: Cloud) -> Cloud:
    cloud.add_host("h1")
    cloud.add_host("h2")
    return cloud


@contextmanager
def open_cloud(state_dir: Path, database_url: str = "") -> Iterator[Cloud]:
    """Yield a cloud without hosts that keeps all but its database in `state_dir`."""
    settings = Settings(
        state_dir=state_dir,
        database_url=database_url,
        poll_s=0.05,
        executor="simulated",
        lease_s=30,
    )
    make_keys(settings)
    db = Database(settings.db_url)
    schema.make(db)
    with db.write() as session:
        session.add(CloudSetting(name="cloud_id", value="3f0c0000-0000-4000-8000-000000000000"))
    cloud = Cloud(settings, db, SimulatedExecutor(), Clock())
    yield cloud
    cloud.close()
