"""Drift: where a host is not as the database says of its servers, and putting that right.

The check is the play `server_converge` in check mode, for all servers in one run. What is being
worked on is no drift: a server counts only if nothing was done to it from before its host was asked
until after, if the play would be told the same then, and if a second look finds it again.

The fix is that same play, as an operation for each server that differs: it changes whatever can be
changed beneath a running guest, and says what needs a restart.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.conductor import power_sync
from controller.conductor.arguments import cloud_id, server_arguments, server_secrets
from controller.conductor.server_converge import KIND
from controller.core import host_access, hosts, operations
from controller.core.context import Context
from controller.core.network_updates import KIND as NETWORK_UPDATE
from controller.core.operations import UNFINISHED
from controller.core.port_updates import KIND as PORT_UPDATE
from controller.db.base import new_id
from controller.db.models import Host, Operation, Server
from controller.db.session import Database
from controller.errors import InvalidState
from controller.runner.artifacts import diff_text
from controller.runner.requests import OK, Executor, HostResult, Run
from controller.settings import Settings
from controller.states import DOMAIN_STATES, TABLE

LOOKS = 2
# How long a host's update of rules is waited for that is under way, and between two looks at it.
UPDATE_S = 20.0
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class ServerDrift:
    """In what a host differs from what the database says of a server; all of it for operators.

    `diff` is what would be changed live; `restart` has a line for each thing that only a restart
    changes; `power` says that the domain is on or off and should not be; `failed` why the host
    could not even be compared, such as a disk that is gone.
    """

    server_id: str
    name: str
    diff: str = ""
    restart: tuple[str, ...] = ()
    power: str = ""
    failed: str = ""

    @property
    def differs(self) -> bool:
        return bool(self.diff or self.restart or self.power or self.failed)

    @property
    def fixable(self) -> bool:
        """Whether a converging play would change anything."""
        return bool(self.diff) and not self.failed


@dataclass(slots=True)
class Drift:
    """What a check of a host found. `skipped` says why a server was not compared, by its id;
    `problem` why none was.
    """

    host: str
    checked: int = 0
    found: list[ServerDrift] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not self.found and not self.problem


@dataclass(frozen=True, slots=True)
class _Look:
    """One look: what the play is told of each server, and what it was before the host was asked."""

    entries: dict[str, dict[str, Any]]
    quiet: dict[str, power_sync.Quiet]
    servers: dict[str, Server]


def check(
    settings: Settings,
    db: Database,
    executor: Executor,
    host: Host,
    server_ids: Collection[str] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Drift:
    """Return where the host differs from what its servers should be, or only those named."""
    began = time.monotonic()
    drift = Drift(host.name)
    wanted = server_ids
    for look in range(LOOKS):
        _await_update(db, host, wait)
        found, checked, skipped, drift.problem = _look(settings, db, executor, host, wanted)
        if look == 0:
            drift.checked = checked
        drift.skipped |= skipped
        drift.found = found
        wanted = [each.server_id for each in found]
        if drift.problem or not found:
            break
    drift.seconds = time.monotonic() - began
    return drift


def fix(
    settings: Settings,
    db: Database,
    found: Sequence[ServerDrift],
    wait: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Have the hosts converge for these servers, and wait for it; return what failed, by server.

    The controller's workers do it: one must be running.
    """
    failed: dict[str, str] = {}
    started: dict[str, str] = {}
    for each in found:
        try:
            with db.write() as session:
                started[each.server_id] = _begin(session, settings, each.server_id)
        except InvalidState as error:
            failed[each.server_id] = error.message
    deadline = time.monotonic() + settings.run_timeout_s
    while True:
        with db.read() as session:
            query = select(Operation).where(Operation.id.in_(started.values()))
            ended = [each for each in session.scalars(query) if each.state not in UNFINISHED]
        if len(ended) == len(started):
            break
        if time.monotonic() > deadline:
            late = set(started) - {str(each.server_id) for each in ended}
            return failed | dict.fromkeys(late, "it has not ended in time; is a worker running?")
        wait(POLL_S)
    for operation in ended:
        if operation.state == operations.FAILED:
            why = (operation.error or {}).get("details") or "see `novella operation show`"
            failed[str(operation.server_id)] = str(why)
    return failed


def _begin(session: Session, settings: Settings, server_id: str) -> str:
    server = session.scalar(
        select(Server).where(Server.id == server_id, Server.deleted_at.is_(None)).with_for_update()
    )
    if server is None:
        raise InvalidState(f"Server {server_id} is deleted by now.")
    context = Context(f"req-{new_id()}", project_id=server.project_id, is_admin=True)
    operation = operations.begin_action(
        session, settings, context, server, "converge", bounded=False
    )
    return operation.id


def _look(
    settings: Settings,
    db: Database,
    executor: Executor,
    host: Host,
    server_ids: Collection[str] | None,
) -> tuple[list[ServerDrift], int, dict[str, str], str]:
    """Return what differs, how many were compared, who was skipped and why, and what went wrong."""
    with db.read() as session:
        before, skipped = _read(session, settings, host, server_ids)
        run = _run(session, settings, host, before)
    if not before.entries:
        return [], 0, skipped, ""
    result = executor.run(run).of(host.id)
    items = {
        item["id"]: item
        for item in result.items
        if isinstance(item.get("id"), str) and item["id"] in before.entries
    }
    if not items:
        why = result.message or f"the run ended {result.status} without a result"
        return [], 0, skipped, f"Host {host.name} could not be asked: {why}"
    with db.read() as session:
        after, _ = _read(session, settings, host, list(before.entries))
    found = []
    for server_id, entry in before.entries.items():
        same = after.entries.get(server_id) == entry
        if not same or after.quiet[server_id] != before.quiet[server_id]:
            skipped[server_id] = "it was being worked on"
            continue
        drift = compared(before.servers[server_id], items.get(server_id), result.message)
        if drift.differs:
            found.append(drift)
    return found, len(before.entries), skipped, ""


def _read(
    session: Session, settings: Settings, host: Host, server_ids: Collection[str] | None
) -> tuple[_Look, dict[str, str]]:
    query = select(Server).where(Server.host_id == host.id, Server.deleted_at.is_(None))
    if server_ids is not None:
        query = query.where(Server.id.in_(server_ids))
    servers = {server.id: server for server in session.scalars(query.order_by(Server.id))}
    quiet = power_sync.quiet_servers(session, [host.id])
    skipped = {}
    for server_id, server in servers.items():
        if server.state not in TABLE["converge"].allowed_in:
            skipped[server_id] = f"it is {server.state}"
        elif server_id not in quiet:
            skipped[server_id] = "it is being worked on"
    compared = [server for server in servers.values() if server.id not in skipped]
    known = server_arguments(session, settings, compared)
    entries = {
        server.id: known[server.id] | {"generation": server.generation} for server in compared
    }
    return _Look(entries, quiet, servers), skipped


def _run(session: Session, settings: Settings, host: Host, look: _Look) -> Run:
    secrets = {
        server_id: own
        for server_id in look.entries
        if (own := server_secrets(settings, look.servers[server_id], None))
    }
    return Run(
        id=new_id(),
        playbook=KIND,
        hosts=(host_access.of_host(settings, hosts.get(session, host.id)),),
        arguments={"cloud_id": cloud_id(session), "servers": list(look.entries.values())},
        secrets=secrets,
        check=True,
        timeout_s=settings.run_timeout_s,
    )


def compared(server: Server, item: dict[str, Any] | None, message: str = "") -> ServerDrift:
    """Return what an item says; all of it is as the host said it. `message` is the run's."""
    if item is None:
        why = message or "its host said nothing of it"
        return ServerDrift(server.id, server.name, failed=why)
    domain = _domain(item)
    state = domain.get("state")
    should = DOMAIN_STATES.get(server.state, frozenset())
    # In check mode a domain that isn't there is said to be what it would be.
    off = isinstance(state, str) and state not in should
    restart = domain.get("restart_differences")
    return ServerDrift(
        server.id,
        server.name,
        diff_text(HostResult(OK, [item])),
        tuple(str(line) for line in restart) if isinstance(restart, list) else (),
        f"its domain is {state}, and the server is {server.state}" if off else "",
        str(item.get("msg") or "it failed") if item.get("failed") else "",
    )


def _domain(item: dict[str, Any]) -> dict[str, Any]:
    steps = item.get("steps")
    for step in reversed(steps if isinstance(steps, list) else []):
        said = step.get("result") if isinstance(step, dict) else None
        domain = said.get("domain") if isinstance(said, dict) else None
        if isinstance(domain, dict):
            return domain
    return {}


def _await_update(db: Database, host: Host, wait: Callable[[float], None]) -> None:
    """Wait for what the host is about to be told of its rules: until then it is right to differ."""
    query = select(Operation.id).where(
        Operation.host_id == host.id,
        Operation.kind.in_((PORT_UPDATE, NETWORK_UPDATE)),
        Operation.state.in_(UNFINISHED),
    )
    deadline = time.monotonic() + UPDATE_S
    while time.monotonic() < deadline:
        with db.read() as session:
            if session.scalar(query.limit(1)) is None:
                return
        wait(POLL_S)
