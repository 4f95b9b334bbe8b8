"""Rerun: the play of an operation once more, from what the database says now.

With `check` nothing changes, neither here nor on the host; the diff says what would. Without it the
play runs for real, for operations whose play describes what the database says anyway. A rerun is no
operation and changes no state; like every run it takes the fence of the server, or of the host for
a whole host's rules, with a new generation, so that an older run is kept out and a later operation
goes before it.

What filters ports may change while it runs, and nobody compares that afterwards as for operations.
So the host's rules are set once more behind it, by an update that is queued before it begins: at
its end (`rules_again`), or when its time is over, should it be killed before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from controller.conductor import runs
from controller.conductor.arguments import cloud_id, server_arguments, server_secrets
from controller.core import host_access, hosts, port_updates
from controller.core.operations import RUNNING, UNFINISHED
from controller.db.base import new_id
from controller.db.models import Host, Operation, Server
from controller.errors import Conflict, NotFound
from controller.runner.requests import Run
from controller.settings import Settings
from controller.states import ACTIVE, BY_OPERATION, PAUSED, STOPPED, SUSPENDED

PORT_UPDATE = "port_update"
# A run whose time is over has ended on its host too after this.
ENDED_S = 60.0
# What a server must be for the play to bring about nothing but what the database says.
SAFE_IN = {
    "server_create": ACTIVE,
    "server_start": ACTIVE,
    "server_stop": STOPPED,
    "server_pause": PAUSED,
    "server_unpause": ACTIVE,
    "server_suspend": SUSPENDED,
    "server_resume": ACTIVE,
}

# Host id, playbook, arguments, secrets.
_Parts = tuple[str, str, dict[str, Any], dict[str, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Rerun:
    """What is to be run, and on which host."""

    run: Run
    host: str


def prepare(
    session: Session,
    settings: Settings,
    operation: Operation,
    *,
    check: bool,
    cancelled: Callable[[], bool] = lambda: False,
) -> Rerun:
    """Return the operation's play as a run with fresh arguments; within a write transaction.

    Raises Conflict when something is at work on its server, or when the play would change what the
    database knows nothing of; NotFound when server or host are gone.
    """
    rerun = _prepared(session, settings, operation, check, cancelled)
    if _sets_rules(rerun):
        for host in rerun.run.hosts:
            after_s = rerun.run.timeout_s + ENDED_S
            port_updates.submit_behind(session, host.id, rerun.run.id, after_s)
    return rerun


def rules_again(session: Session, rerun: Rerun) -> None:
    """Have the host's rules set from the database as it is now, if the run may have set older ones.

    To be called when the run has ended, however it did.
    """
    if _sets_rules(rerun):
        for host in rerun.run.hosts:
            port_updates.hurry_behind(session, host.id, rerun.run.id)


def _sets_rules(rerun: Rerun) -> bool:
    return not rerun.run.check and rerun.run.playbook in runs.SET_RULES


def _prepared(
    session: Session,
    settings: Settings,
    operation: Operation,
    check: bool,
    cancelled: Callable[[], bool],
) -> Rerun:
    """Return the play with arguments made afresh. Raises what keeps it from being run."""
    parts = _of_host if operation.kind == PORT_UPDATE else _of_server
    host_id, playbook, arguments, secrets = parts(session, settings, operation, check)
    host = hosts.get(session, host_id)
    run = _run(session, settings, operation, host, playbook, arguments, check, cancelled, secrets)
    return Rerun(run, host.name)


def _of_server(session: Session, settings: Settings, operation: Operation, check: bool) -> _Parts:
    """The play of the operation's server, on its present host."""
    server = _server(session, operation)
    _refuse_while_busy(session, operation, Operation.server_id == server.id, UNFINISHED)
    if not check:
        _refuse_unless_safe(operation, server)
        server.generation += 1
        session.flush()
    entry, secrets = _entry(session, settings, server)
    playbook = BY_OPERATION[operation.kind].playbooks[0]
    return str(server.host_id), playbook, {"servers": [entry]}, secrets


def _of_host(session: Session, _settings: Settings, operation: Operation, check: bool) -> _Parts:
    """A whole host's rules, as conductor/runs.py has them set."""
    if operation.host_id is None:
        raise NotFound(f"Cannot run {_named(operation)} again: its host was removed.")
    same_kind = (Operation.host_id == operation.host_id) & (Operation.kind == PORT_UPDATE)
    _refuse_while_busy(session, operation, same_kind, (RUNNING,))
    arguments = runs.rules_of_host(session, operation.host_id)
    if not check:
        arguments["host_fence"] = runs.next_host_fence(session, operation.host_id)
    return operation.host_id, PORT_UPDATE, arguments, {}


def _run(
    session: Session,
    settings: Settings,
    operation: Operation,
    host: Host,
    playbook: str,
    arguments: dict[str, Any],
    check: bool,
    cancelled: Callable[[], bool],
    secrets: dict[str, dict[str, str]],
) -> Run:
    return Run(
        id=new_id(),
        playbook=playbook,
        hosts=(host_access.of_host(settings, host),),
        arguments={"cloud_id": cloud_id(session), **arguments},
        secrets=secrets,
        check=check,
        timeout_s=settings.run_timeout_s,
        keep_as=(operation.id,),
        about={operation.id: {"server_id": operation.server_id, "by": "novella operation rerun"}},
        cancelled=cancelled,
    )


def _entry(
    session: Session, settings: Settings, server: Server
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    known = server_arguments(session, settings, [server])[server.id]
    # An id of its own in the host's journal: what is found there under the operation's is its.
    entry = known | {"generation": server.generation, "operation_id": new_id()}
    own = server_secrets(settings, server, None)
    return entry, {server.id: own} if own else {}


def _server(session: Session, operation: Operation) -> Server:
    """Return the operation's server, its row locked. Raises what keeps a play from being run."""
    if operation.kind not in BY_OPERATION or not BY_OPERATION[operation.kind].playbooks:
        raise Conflict(
            f"Cannot run {_named(operation)} again: its arguments are its own, not the database's. "
            "It is tried again by itself until it succeeds."
        )
    server = session.scalar(
        select(Server).where(Server.id == operation.server_id).with_for_update()
    )
    if server is None or server.deleted_at is not None:
        raise NotFound(f"Cannot run {_named(operation)} again: its server is deleted.")
    if server.host_id is None:
        raise NotFound(
            f"Cannot run {_named(operation)} again: server {server.id} is on no host. Delete it, "
            "and create it again."
        )
    return server


def _refuse_while_busy(
    session: Session, operation: Operation, about: ColumnElement[bool], states: tuple[str, ...]
) -> None:
    busy = session.scalar(select(Operation).where(about, Operation.state.in_(states)).limit(1))
    if busy is not None:
        raise Conflict(
            f"Cannot run {_named(operation)} again: {_named(busy)} is {busy.state}. Wait until it "
            f"has ended; `novella operation show {busy.id[:8]}` says how far it is."
        )


def _refuse_unless_safe(operation: Operation, server: Server) -> None:
    needed = SAFE_IN.get(operation.kind)
    if needed is None:
        raise Conflict(
            f"Cannot run {_named(operation)} again for real: it would stop or remove the server. "
            "See with --check what it would do, and do it through the API."
        )
    if server.state != needed or server.task_state is not None:
        raise Conflict(
            f"Cannot run {_named(operation)} again for real: server {server.id} is {server.state}, "
            f"and this play makes it {needed} without the database's knowledge. See with --check "
            "what it would do, and do it through the API."
        )


def _named(operation: Operation) -> str:
    return f"{operation.kind} {operation.id}"
