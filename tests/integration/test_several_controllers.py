"""Two whole controllers on one PostgreSQL and one RabbitMQ, with two lab hosts: either may go.

Each has its own folder, processes and ports; keys, SSH key and images are common, as
docs/operators.md says. Neither sees the other's locks, as if they were on two machines.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from controller.db.models import Host, Operation, Server
from controller.db.session import Database
from controller.settings import load
from lab import hosts
from lab.chaos.api import Answer, Api, Credentials
from lab.chaos.backing import Backing, backing
from lab.chaos.clouds import controllers_of, set_up, take_down
from lab.chaos.run import WEIGHTS, Plan, run
from lab.cloud import Cloud
from lab.servers import PASSWORD
from lab.waiting import wait_until
from tests.fixtures.cloud import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.slow]

# How often a build is begun until the wanted controller is the one that has taken it.
TRIES = 20


@dataclass
class Pair:
    """The controllers, what they share, and a database session of the test's own."""

    controllers: list[Cloud]
    servers: Backing
    credentials: Credentials
    create: dict[str, Any]
    db: Database
    apis: dict[tuple[str, ...], Api] = field(default_factory=dict)

    @property
    def lab_dir(self) -> Path:
        return self.controllers[0].lab_dir

    def api(self, *controllers: Cloud) -> Api:
        """Return the API of these controllers, or of all."""
        urls = tuple(each.url for each in controllers or self.controllers)
        # Kept, for each logs in once.
        return self.apis.setdefault(urls, Api(urls, self.credentials))

    def other(self, controller: Cloud) -> Cloud:
        (found,) = [each for each in self.controllers if each is not controller]
        return found

    def boot(self, name: str, through: Cloud | None = None) -> str:
        """Have a server made; return its id."""
        api = self.api(through) if through else self.api()
        answer = api.compute("POST", "/servers", {"server": {**self.create, "name": name}})
        return str(_accepted(answer).body["server"]["id"])

    def delete(self, server_id: str) -> None:
        """Delete a server and wait until it is gone."""
        _accepted(self.api().compute("DELETE", f"/servers/{server_id}"))
        self.await_gone(server_id)

    def await_gone(self, server_id: str) -> None:
        wait_until(
            lambda: self.api().read(f"/servers/{server_id}").status == 404,
            what=f"server {server_id} is gone", timeout_s=180, interval_s=0.5,
        )  # fmt: skip

    def await_active(self, server_id: str) -> None:
        def is_at_rest() -> bool:
            server = self.api().read(f"/servers/{server_id}").body["server"]
            return server["status"] != "BUILD" and server["OS-EXT-STS:task_state"] is None

        wait_until(is_at_rest, what="the server is built", timeout_s=180, interval_s=0.5)
        server = self.api().read(f"/servers/{server_id}").body["server"]
        assert server["status"] == "ACTIVE", server.get("fault")

    def operation(self, server_id: str) -> Operation:
        """The server's create."""
        with self.db.read() as session:
            query = select(Operation).filter_by(server_id=server_id, kind="server_create")
            return session.scalars(query).one()

    def host_of(self, server_id: str) -> str:
        """The name of the server's host; empty while it has none."""
        with self.db.read() as session:
            query = select(Host.name).join(Server, Server.host_id == Host.id)
            return session.scalar(query.where(Server.id == server_id)) or ""

    def builder(self, server_id: str) -> Cloud | None:
        """The controller whose worker builds the server; None when nobody does."""
        operation = self.operation(server_id)
        if operation.state != "running":
            return None
        place = str(operation.lease_owner).partition("/")[0]
        return next(each for each in self.controllers if _place(each) == place)

    @contextlib.contextmanager
    def build_held_up(self, name: str, wanted: Cloud | None = None) -> Iterator[tuple[str, Cloud]]:
        """Give a server whose create is on its host, at a standstill, and the controller it is of.

        Where a controller is `wanted`, that one. libvirt is what stands still, till the block ends.
        """
        try:
            for number in range(TRIES):
                self.signal_libvirt("STOP")
                server_id = self.boot(f"{name}-{number}", through=wanted)
                wait_until(
                    partial(self.is_on_host, server_id), what="the create's play is on the host",
                    timeout_s=120,
                )  # fmt: skip
                builder = self.builder(server_id)
                assert builder is not None
                if wanted in (None, builder):
                    yield server_id, builder
                    return
                self.signal_libvirt("CONT")
                self.await_active(server_id)
                self.delete(server_id)
            raise AssertionError(f"in {TRIES} tries the other one took it")
        finally:
            self.signal_libvirt("CONT")

    def signal_libvirt(self, name: str) -> None:
        for host in hosts.status(self.lab_dir):
            script = f'kill -{name} "$(cat /run/libvirtd.pid)"'
            assert self.run(host.name, "sh", "-c", script) is not None

    def is_on_host(self, server_id: str) -> bool:
        """Whether a play has begun with the server on its host."""
        record = f"/var/lib/novella/fence/{server_id}.json"
        host = self.host_of(server_id)
        return bool(host) and self.run(host, "test", "-e", record) is not None

    def run(self, host: str, *argv: str) -> str | None:
        """Return what a command on a host prints; None when it fails."""
        done = hosts.run(self.lab_dir, host, argv, check=False)
        return done.stdout if done.returncode == 0 else None

    def domains(self, server_id: str) -> int:
        listed = [self.run(host.name, "virsh", "list", "--all", "--uuid") or ""
                  for host in hosts.status(self.lab_dir)]  # fmt: skip
        return sum(server_id in each for each in listed)

    def all_of(self, server_id: str) -> list[Any]:
        """What the database and the host have of the server."""
        with self.db.read() as session:
            server = session.get_one(Server, server_id)
            known = [server.state, server.generation, server.updated_at, server.launched_at]
        host = self.host_of(server_id)
        paths = [f"fence/{server_id}.json", f"instances/{server_id}/libvirt.xml"]
        stats = [self.run(host, "stat", "-c", "%Y %i", f"/var/lib/novella/{p}") for p in paths]
        return [*known, host, self.run(host, "virsh", "domid", server_id), *stats]


def _place(controller: Cloud) -> str:
    """How leases name the machine of a controller."""
    return (load(controller.config).run_dir / "place").read_text().strip()


def _accepted(answer: Answer) -> Answer:
    assert answer.accepted, answer
    return answer


def _workers(controller: Cloud) -> list[int]:
    return [pid for pid, what in controller.processes().items() if what == "worker"]


def _drop_connections(pair: Pair, host: str) -> None:
    """Cut every SSH connection to the host, as a fault of the network would."""
    listed = pair.run(host, "ps", "-eo", "pid=,args=") or ""
    sessions = [line.split()[0] for line in listed.splitlines() if " sshd: root@" in line]
    pair.run(host, "kill", "-KILL", *sessions)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    controllers = controllers_of(Cloud(ROOT / "var" / "tests" / "two"), 2)
    with backing("postgresql", "rabbitmq") as servers, contextlib.ExitStack() as cleanup:
        cleanup.callback(take_down, controllers)
        credentials, create = set_up(controllers, servers)
        assert servers.database is not None
        db = Database(load(controllers[0].config).db_url)
        cleanup.callback(db.dispose)
        yield Pair(controllers, servers, credentials, create, db)


def test_a_paused_worker_finds_its_work_done_by_the_other_controller(pair: Pair) -> None:
    with pair.build_held_up("paused") as (server_id, first):
        (worker,) = _workers(first)
        os.kill(worker, signal.SIGSTOP)
        _drop_connections(pair, pair.host_of(server_id))
    other = pair.other(first)
    try:
        pair.await_active(server_id)
        assert pair.operation(server_id).generation == 2, "nobody has taken it over"
        before = pair.all_of(server_id)
        # So that what is asked next is for the first one to do.
        other.stop_controller()
    finally:
        os.kill(worker, signal.SIGCONT)
    after = pair.boot("after")
    pair.await_active(after)
    assert pair.all_of(server_id) == before
    assert pair.domains(server_id) == 1
    other.start_controller()
    pair.delete(after)
    pair.delete(server_id)


def test_a_delete_through_the_other_controller_ends_a_build(pair: Pair) -> None:
    for builder in pair.controllers:
        with pair.build_held_up("doomed", wanted=builder) as (server_id, _):
            api = pair.api(pair.other(builder))
            _accepted(api.compute("DELETE", f"/servers/{server_id}"))
        pair.await_gone(server_id)
        assert pair.operation(server_id).state == "failed", "it did not give way"
        assert pair.domains(server_id) == 0
    pair.controllers[0].novella("audit")


def test_either_controller_may_be_killed_in_mid_create_and_the_other_goes_on(pair: Pair) -> None:
    for doomed in pair.controllers:
        survivor = pair.other(doomed)
        with pair.build_held_up("orphan", wanted=doomed) as (server_id, _):
            doomed.stop_controller(kill=True)
            _accepted(pair.api(survivor).compute("GET", "/servers"))
        pair.await_active(server_id)
        assert pair.operation(server_id).generation == 2, "nobody has taken it over"
        assert pair.domains(server_id) == 1
        doomed.start_controller()
        _accepted(pair.api(doomed).compute("GET", f"/servers/{server_id}"))
        pair.delete(server_id)


def test_a_rolling_restart_under_load_loses_and_fails_nothing(pair: Pair) -> None:
    plan = Plan(
        operations=16, kills=4, pause_s=(1.0, 3.0), actors=3, limit_s=600, timeout_s=900,
        weights={"restart": 1},
    )  # fmt: skip
    report = run(pair.controllers, pair.credentials, pair.create, plan, pair.servers)
    assert report.passed, report.as_text()
    assert {kill.url for kill in report.kills} == {each.url for each in pair.controllers}
    assert {each.outcome for each in report.asked} == {"done"}, report.as_text()
    assert report.away == 0, "a request was neither answered nor refused"
    assert report.answered_meanwhile > 0


def test_nothing_is_lost_whatever_is_killed_and_one_api_always_answers(pair: Pair) -> None:
    # Each kind once, and some twice.
    kinds = set(WEIGHTS) - {"database-lock"}
    plan = Plan(
        operations=40, kills=len(kinds) + 4, pause_s=(1.0, 5.0), seed=os.getpid(),
        limit_s=900, timeout_s=1200,
    )  # fmt: skip
    report = run(pair.controllers, pair.credentials, pair.create, plan, pair.servers)
    assert report.passed, report.as_text()
    assert not report.spared, report.as_text()
    assert report.answered_meanwhile > 0


def test_passwords_of_addresses_are_in_no_command_line_and_no_log(pair: Pair) -> None:
    for controller in pair.controllers:
        pids = controller.processes()
        assert pids
        lines = [_command_line(pid) for pid in pids]
        assert PASSWORD not in "".join(lines)
        assert PASSWORD not in controller.log.read_text(errors="replace")
        assert PASSWORD not in repr(load(controller.config))


def _command_line(pid: int) -> str:
    # Processes end while we look.
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""
