"""Any sequence of actions, failures, lost workers and restarts keeps the books in order.

The rules are what users, hosts and machines do; the invariants what must hold whatever they did.
"""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from controller.conductor.claims import Held
from controller.conductor.engine import Engine
from controller.conductor.flows import UNORDERED
from controller.conductor.incarnation import Incarnation
from controller.conductor.moves import Ended
from controller.conductor.reconcilers import expired_leases
from controller.conductor.runs import Ticket
from controller.conductor.steps import Outcome
from controller.core import hosts
from controller.core.operations import QUEUED, RUNNING, UNFINISHED
from controller.db.models import Allocation, Operation, Port, Server
from controller.errors import InvalidState
from controller.runner.requests import CANCELLED, FAILED, OK, TIMEOUT, UNREACHABLE, Run
from controller.states import STATES
from tests.unit.conductor.conftest import open_cloud

ACTIONS = ("delete", "start", "stop", "reboot", "hard_reboot")
HOSTS = ("h1", "h2")
FACTS = {"cpus": 8, "memory_mb": 1024, "disk_gb": 100}


class Machine(RuleBasedStateMachine):
    servers = Bundle("servers")

    @initialize()
    def begin(self) -> None:
        self.resources = contextlib.ExitStack()
        folder = self.resources.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
        self.cloud = self.resources.enter_context(open_cloud(Path(folder)))
        self.hosts = {name: self.cloud.add_host(name, **FACTS) for name in HOSTS}
        self.here = Incarnation(self.cloud.settings.run_dir, "here")
        self.resources.callback(self.here.close)
        # Workers of other machines that stand still, and what each of them holds.
        self.still: list[tuple[Engine, Held, Ticket]] = []
        self.names = 0

    # --- what users do

    @rule(target=servers, count=st.integers(1, 3))
    def create(self, count: int) -> object:
        made = [self.cloud.add_server(f"s{number}") for number in range(count)]
        for each in made:
            self.cloud.add_port(each)
        return multiple(*made)

    @rule(server=servers, action=st.sampled_from(ACTIONS))
    def act(self, server: str, action: str) -> None:
        with contextlib.suppress(InvalidState):
            self.cloud.act(server, action)

    # --- what hosts do

    @rule(playbook=st.sampled_from(["", "server_create", "server_delete", "server_reboot"]))
    def fail(self, playbook: str) -> None:
        """From now on this playbook fails; "" is none."""
        self.cloud.executor.fails = lambda run, _id: (
            "failed as told" if run.playbook == playbook else None
        )

    @rule(names=st.sets(st.sampled_from(HOSTS)))
    def go_away(self, names: set[str]) -> None:
        self.cloud.executor.unreachable = names

    @rule(after=st.integers(0, 3))
    def drop_connections(self, after: int) -> None:
        """The next run of several loses its connection after so many items; 0 is never."""
        seen: list[str] = []

        def drops(_run: Run, item_id: str) -> bool:
            seen.append(item_id)
            return after > 0 and len(seen) == after + 1

        self.cloud.executor.drops = drops

    @rule()
    def come_back(self) -> None:
        self.cloud.executor.unreachable = set()
        self.cloud.executor.fails = self.cloud.executor.drops = None
        with self.cloud.db.write() as session:
            for host_id in self.hosts.values():
                host, now = hosts.get(session, host_id), self.cloud.clock()
                hosts.record_facts(session, self.cloud.settings, host, FACTS, now)

    # --- what machines do

    @rule()
    def work(self) -> None:
        self.cloud.work()

    @rule(seconds=st.sampled_from([1.0, 12.0, 45.0]))
    def pass_time(self, seconds: float) -> None:
        self.cloud.clock.advance(seconds)
        expired_leases.run(self.cloud.db, self.here, self.cloud.clock)

    @rule()
    def stand_still(self) -> None:
        """A worker elsewhere claims all that there is, comes as far as the plays, and stands."""
        self.names += 1
        worker = self.cloud.engine(f"elsewhere/worker/{self.names}")
        for held in worker._claim():
            ticket = worker._mover.move(self.cloud.db, held)
            if ticket is not None:
                self.still.append((worker, held, ticket))

    @precondition(lambda self: self.still)
    @rule(
        data=st.data(),
        status=st.sampled_from([OK, FAILED, UNREACHABLE, TIMEOUT, CANCELLED]),
    )
    def wake_late(self, data: st.DataObject, status: str) -> None:
        """One of them goes on where it stood, before its lease is over or after."""
        index = data.draw(st.integers(0, len(self.still) - 1))
        worker, held, ticket = self.still.pop(index)
        before = self._operation(held.operation_id)
        is_its_own = (before.generation, before.state, before.lease_owner) == (
            held.generation, RUNNING, worker.owner
        )  # fmt: skip
        worker._advance(held, Ended(Outcome(status, "as told"), ticket.undo))
        assert worker._lanes.wait_idle(20)
        if not is_its_own:
            after = self._operation(held.operation_id)
            assert (before.state, before.step, before.generation, before.undoing) == (
                after.state, after.step, after.generation, after.undoing
            )  # fmt: skip

    # --- what must hold

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "cloud"):
            return
        with self.cloud.db.read() as session:
            operations = list(session.query(Operation))
            servers = {server.id: server for server in session.query(Server)}
            holders = {(row.consumer_id, row.provider_id) for row in session.query(Allocation)}
            ports = list(session.query(Port))
        live = [each for each in operations if each.state in UNFINISHED]
        cleanups = {
            (each.id, each.host_id): each.server_id
            for each in live
            if each.kind == "server_cleanup"
        }
        self._check_servers(servers, live, holders, cleanups)
        for each in operations:
            assert (each.lease_owner is not None) == (each.state == RUNNING)
            assert each.sealed is None or each.state in UNFINISHED
        running = [
            each.server_id
            for each in operations
            if each.state == RUNNING and each.kind not in UNORDERED
        ]
        assert len(running) == len(set(running)), "two actions on a server overlap"
        for consumer, host_id in holders:
            server = servers.get(consumer)
            if server is None:
                assert (consumer, host_id) in cleanups, "a claim of nobody's"
            else:
                assert (server.host_id, server.state == "deleted") == (host_id, False)
        for port in ports:
            owner = servers[port.device_id]
            assert owner.state != "deleted" or owner.id in cleanups.values(), "a port is left"

    def _check_servers(
        self,
        servers: dict[str, Server],
        live: list[Operation],
        holders: set[tuple[str, str]],
        cleanups: dict[tuple[str, str | None], str | None],
    ) -> None:
        acting = {each.server_id for each in live if each.kind != "server_cleanup"}
        for server in servers.values():
            assert server.state in STATES
            assert server.task_state is None or server.id in acting, "a task state of nobody's"
            if server.state in ("active", "stopped"):
                assert (server.id, server.host_id) in holders, "a server without a claim"
            if server.state == "building":
                assert server.id in acting, "a build of nobody's"

    def teardown(self) -> None:
        if not hasattr(self, "cloud"):
            return
        try:
            self._heal()
        finally:
            self.resources.close()

    def _heal(self) -> None:
        """All is well again: whatever happened ends in what was asked for, or in a clean error."""
        self.come_back()
        for _ in range(8):
            self.pass_time(45.0)
            self.cloud.clock.advance(3600)
            self.come_back()
            self.work()
            self.the_books_agree()
        left = [each for each in self.cloud.operations() if each.state in UNFINISHED]
        assert left == [], [(each.kind, each.state, each.error) for each in left]
        assert not self.cloud.operations(state=QUEUED)
        with self.cloud.db.read() as session:
            servers = list(session.query(Server))
        assert all(server.task_state is None for server in servers)
        assert {server.state for server in servers} <= STATES - {"building"}

    def _operation(self, operation_id: str) -> Operation:
        with self.cloud.db.read() as session:
            return session.get_one(Operation, operation_id)


SHARED = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


class TestStateMachine(Machine.TestCase):
    settings = settings(max_examples=8, stateful_step_count=12, derandomize=True, **SHARED)


@pytest.mark.slow
class TestStateMachineAtLength(Machine.TestCase):
    settings = settings(max_examples=150, stateful_step_count=30, **SHARED)
