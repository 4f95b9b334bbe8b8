"""server_cleanup: what a failed host may still have of a server, until it is confirmed gone.

Unreachable is not dead: the host may run the server still. So the clean-up holds the server's room
there, under the operation's own id, and tries until a play says that nothing is left.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from controller.conductor import backoff
from controller.conductor.arguments import server_arguments
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import operations, ports
from controller.core.operations import SUCCEEDED, UNFINISHED
from controller.db.models import Operation, Server
from controller.placement import allocations
from controller.settings import Settings

KIND = "server_cleanup"


def submit(
    session: Session,
    settings: Settings,
    server: Server,
    host_id: str,
    entry: Mapping[str, Any] | None = None,
) -> Operation:
    """Write the clean-up of `server` on the host, and hand the server's room there over to it.

    What the play needs is kept with it: networks may be gone by the time it gets through. `entry`
    is what it is told besides.
    """
    known = server_arguments(session, settings, [server])[server.id]
    operation = operations.submit(
        session,
        KIND,
        server=server,
        host_id=host_id,
        arguments={"server": known | dict(entry or {})},
    )
    session.flush()
    allocations.hand_over(session, server.id, host_id, operation.id)
    return operation


def submit_for_deleted(
    session: Session, server_id: str, host_id: str, entry: dict[str, Any]
) -> bool:
    """Write the clean-up of what the host has left of a deleted server; False if one is under way.

    `entry` is what the play is told of it.
    """
    server = session.scalar(select(Server).where(Server.id == server_id).with_for_update())
    if server is None or server.deleted_at is None or host_id in hosts_of(session, server_id):
        return False
    operations.submit(session, KIND, server=server, host_id=host_id, arguments={"server": entry})
    return True


def hosts_of(session: Session, server_id: str) -> frozenset[str]:
    """Return the hosts that may still have something of the server, until their clean-ups end."""
    found = session.scalars(select(Operation.host_id).where(_unfinished(server_id)))
    return frozenset(host_id for host_id in found if host_id)


def has_succeeded(session: Session, server_id: str, host_id: str, since: datetime) -> bool:
    """Return whether the host has confirmed, since then, that it has nothing of the server."""
    query = select(Operation.id).where(
        Operation.server_id == server_id,
        Operation.host_id == host_id,
        Operation.kind == KIND,
        Operation.state == SUCCEEDED,
        Operation.created_at >= since,
    )
    return session.scalar(query.limit(1)) is not None


def release_ports(session: Session, server_id: str, but_operation: str = "") -> None:
    """Let the ports of a deleted server go, unless a host may still run it.

    The last clean-up lets them go then: an address stays taken until nobody can be using it. The
    server's row is locked, so that of its delete and its last clean-up one sees the other's end.
    """
    session.execute(select(Server.id).where(Server.id == server_id).with_for_update())
    others = select(Operation.id).where(_unfinished(server_id), Operation.id != but_operation)
    if session.scalar(others.limit(1)) is None:
        ports.release(session, server_id)


def _unfinished(server_id: str) -> ColumnElement[bool]:
    return and_(
        Operation.server_id == server_id,
        Operation.kind == KIND,
        Operation.state.in_(UNFINISHED),
    )


class CleanUp(Step):
    name = "clean_up"
    no_undo = "what was removed was to be removed; it is tried again until all is"

    def do(self, work: Work) -> Play | None:
        return Play("server_delete", work.host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The clean-up on the host failed.")
        allocations.release(work.session, work.operation.id)
        work.session.refresh(work.server, with_for_update=True)
        if work.server.deleted_at is not None:
            release_ports(work.session, work.server.id, but_operation=work.operation.id)


class ServerCleanup(Flow):
    kind = KIND
    steps = (CleanUp(),)
    # The server goes on elsewhere meanwhile; the fence on each host keeps them apart.
    ordered = False

    def failed(self, work: Work, failure: Failure) -> Again | None:
        first_s = work.settings.retry_backoff_s
        return Again(backoff.delay_s(first_s, work.operation.attempts + 1))
