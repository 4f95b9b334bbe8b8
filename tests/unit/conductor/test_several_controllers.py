"""Two controllers on one PostgreSQL and one RabbitMQ: either may go, no work is lost.

Each has its own folder for what is of one machine, so that neither sees the other's locks.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.core.bootstrap import bootstrap
from controller.db import migrate
from controller.db.session import Database
from controller.queue.remote import QUEUE
from controller.runner.simulated import SimulatedExecutor
from controller.settings import PROJECT_DIR, Settings
from lab.broker import Broker, rabbitmq
from lab.database_servers import DatabaseServer, postgresql
from lab.servers import PASSWORD, any_free_port
from lab.waiting import wait_until
from tests.unit.conductor.conftest import Clock, Cloud

pytestmark = pytest.mark.slow

LEASE_S = 3
# Long enough for a controller to be started meanwhile.
RUN_S = 15.0


@dataclass
class Controller:
    """A whole controller: `novella serve` with its own state folder and port."""

    settings: Settings
    config: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "controller.cli", "--config", str(self.config), "serve"]
        with (self.config.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=PROJECT_DIR, stderr=log)
        wait_until(self.answers, what="the API answers", timeout_s=60)

    def kill(self) -> None:
        """SIGKILL of the supervisor; its processes go with it, an API's own ones a moment later."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not self.command_lines(), what="all have ended", timeout_s=30)

    def command_lines(self) -> list[str]:
        """Those of the controller's processes."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if entry.name.isdigit() and os.fsencode(self.config) in words:
                    found.append(words.decode(errors="replace"))
        return found

    def answers(self) -> bool:
        """Whether the API answers, from what the database says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.listen_port, timeout=10)
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}
                    },
                }
            }
        }
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request(
                "POST", "/identity/v3/auth/tokens", json.dumps(body),
                {"Content-Type": "application/json"},
            )  # fmt: skip
            return connection.getresponse().status == 201
        return False


@dataclass
class Pair:
    cloud: Cloud
    one: Controller
    other: Controller
    database: DatabaseServer
    broker: Broker

    def settled(self, servers: list[str]) -> Callable[[], bool]:
        """Whether all of them are up, by operations that have all ended."""

        def look() -> bool:
            states = {self.cloud.server(each).state for each in servers}
            unfinished = {"queued", "running"}
            return states == {"active"} and not unfinished & {
                operation.state
                for operation in self.cloud.operations()
                if operation.kind.startswith("server_")
            }

        return look


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with (
        postgresql() as database,
        rabbitmq() as broker,
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        contextlib.ExitStack() as cleanup,
    ):
        made = [_controller(Path(folder), name, database, broker) for name in ("one", "other")]
        settings = made[0].settings
        migrate.upgrade(settings)
        db = Database(settings.db_url)
        cleanup.callback(db.dispose)
        bootstrap(settings, db, PASSWORD)
        cloud = Cloud(settings, db, SimulatedExecutor(), Clock())
        cloud.add_host("h1", cpus=64, memory_mb=65536, disk_gb=1000)
        for each in made:
            cleanup.callback(_end, each)
            each.start()
        yield Pair(cloud, made[0], made[1], database, broker)


def _controller(folder: Path, name: str, database: DatabaseServer, broker: Broker) -> Controller:
    state = folder / name
    state.mkdir(mode=0o700)
    shared = {each: folder / each.removesuffix("_dir") for each in ("keys_dir", "ssh_dir")}
    values = {
        "state_dir": state, **shared, "images_dir": folder / "images", "runs_dir": state / "runs",
        "database_url": database.url, "queue_url": broker.url, "listen_port": any_free_port(),
        "metrics_listen": "", "executor": "simulated", "simulated_delay_s": RUN_S,
        "lease_s": LEASE_S, "stop_timeout_s": 5,
    }  # fmt: skip
    config = state / "novella.toml"
    lines = (f"{key} = {json.dumps(value, default=str)}\n" for key, value in values.items())
    config.touch(mode=0o600)
    config.write_text("".join(lines))
    return Controller(Settings(**values), config)  # type: ignore[arg-type]  # as named above


def _end(controller: Controller) -> None:
    assert controller.process is not None
    if controller.process.poll() is None:
        controller.process.terminate()
        try:
            controller.process.wait(40)
        except subprocess.TimeoutExpired:
            controller.kill()


def _holder(pair: Pair, server_id: str) -> str | None:
    """The place of the worker that runs the server's create; None before it does."""
    (operation,) = pair.cloud.operations(server_id=server_id)
    running = operation.state == "running" and pair.cloud.server(server_id).generation >= 1
    return (operation.lease_owner or "").partition("/")[0] if running else None


def test_either_controller_may_be_killed_in_mid_create_and_the_other_goes_on(pair: Pair) -> None:
    for doomed, survivor in ((pair.one, pair.other), (pair.other, pair.one)):
        server_id = pair.cloud.add_server()
        _wait_until_held_by(pair, server_id, doomed)
        doomed.kill()
        assert survivor.answers()
        wait_until(pair.settled([server_id]), what="the other finishes", timeout_s=60)
        assert survivor.answers()
        doomed.start()


def _wait_until_held_by(pair: Pair, server_id: str, controller: Controller) -> None:
    """Have this very controller's worker run the create: whoever else took it is killed."""
    place = (controller.settings.run_dir / "place").read_text().strip()
    wait_until(lambda: _holder(pair, server_id), what="its run is under way", timeout_s=60)
    if _holder(pair, server_id) == place:
        return
    wrong = pair.other if controller is pair.one else pair.one
    wrong.kill()
    wait_until(
        lambda: _holder(pair, server_id) == place, what="this one has taken it", timeout_s=60
    )
    wrong.start()


def test_database_and_broker_are_killed_under_load_and_no_operation_is_lost(pair: Pair) -> None:
    servers = [pair.cloud.add_server(f"web{number}") for number in range(10)]
    wait_until(lambda: _holder(pair, servers[0]), what="the first run is under way", timeout_s=60)
    pair.broker.lose_queue(QUEUE)
    pair.database.restart()
    pair.broker.restart()
    wait_until(pair.settled(servers), what="all servers are up", timeout_s=120)
    assert all(pair.cloud.server(each).task_state is None for each in servers)
    assert pair.one.answers()
    assert pair.other.answers()


def test_passwords_of_addresses_are_in_no_command_line_and_no_log(pair: Pair) -> None:
    for controller in (pair.one, pair.other):
        lines = controller.command_lines()
        assert lines
        assert PASSWORD not in "".join(lines)
        assert PASSWORD not in (controller.config.parent / "log").read_text(errors="replace")
        assert PASSWORD not in repr(controller.settings)
