"""Having the hosts told when what filters a port has changed.

One `port_update` operation for each affected host; while one still waits, it stands for whatever
comes after it too, since its arguments are read when it starts. One that waits for its next try is
tried at once: a rule that was just taken back must not stay open for the rest of an hour.

What the controller's own creates and deletes change, members of groups, comes in streams. So it is
gathered for a moment, and goes out once for all of them.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Select, case, or_, select, update
from sqlalchemy.orm import Session

from controller.core import operations
from controller.core.context import Context
from controller.core.operations import QUEUED
from controller.db.base import utcnow
from controller.db.models import Operation, Port, PortSecurityGroup, SecurityGroupRule
from controller.db.session import wake_after

KIND = "port_update"
# How long members gained or lost by servers that come and go are gathered.
GATHER_S = 1.5
# How the request of an update begins that comes after a run.
BEHIND = "rerun-"


def submit_for_hosts(
    session: Session,
    host_ids: Collection[str],
    context: Context | None = None,
    *,
    after_s: float = 0.0,
    kind: str = KIND,
) -> None:
    """Submit a port_update for each host that doesn't have one waiting; it starts after `after_s`.

    `context` is None where the controller itself asks, not a caller. `kind` is another operation
    about all of a host that reads its arguments when it starts; see core.network_updates.
    """
    if not host_ids:
        return
    start = utcnow() + timedelta(seconds=after_s) if after_s else None
    waiting = set(_hold_waiting(session, kind, host_ids, start))
    for host_id in sorted(set(host_ids) - waiting):
        operations.submit(session, kind, context=context, host_id=host_id, not_before=start)
    if not after_s:
        wake_after(session)


def submit_behind(
    session: Session, host_id: str, run_id: str, after_s: float, *, kind: str = KIND
) -> None:
    """Submit an update that comes after the run, which sets rules and is nobody's operation.

    It starts after `after_s`, by when the run has ended in any case, or at `hurry_behind`. It is an
    update of its own: one that others waited for, and had tried at once, would go before the end.
    """
    operations.submit(
        session,
        kind,
        context=Context(f"{BEHIND}{run_id}", user_id=""),
        host_id=host_id,
        not_before=utcnow() + timedelta(seconds=after_s),
    )


def hurry_behind(session: Session, host_id: str, run_id: str) -> None:
    """The run has ended: have the update that comes after it start at once."""
    changed = session.execute(
        update(Operation)
        .where(
            Operation.kind == KIND,
            Operation.state == QUEUED,
            Operation.host_id == host_id,
            Operation.request_id == f"{BEHIND}{run_id}",
        )
        .values(not_before=Operation.created_at.expression)
        .execution_options(synchronize_session=False)
    )
    if cast("CursorResult[Any]", changed).rowcount:
        wake_after(session)
    else:
        # The run outlasted its time, and the update went before its end.
        submit_for_hosts(session, {host_id})


def _hold_waiting(
    session: Session, kind: str, host_ids: Collection[str], start: datetime | None
) -> Iterable[str]:
    """Return the hosts with an update waiting, which can't be claimed before we have committed.

    It starts at `start` at the latest, at once for None. The write holds the row: a worker that
    claimed it between our look and our commit would read the arguments without our change, and
    nobody would send it again.
    """
    waits = (
        Operation.kind == kind,
        Operation.state == QUEUED,
        Operation.host_id.in_(host_ids),
        or_(Operation.request_id.is_(None), Operation.request_id.not_like(f"{BEHIND}%")),
    )
    sooner: ColumnElement[datetime] = Operation.created_at.expression
    if start is not None:
        sooner = case((Operation.not_before > start, start), else_=Operation.not_before)
    # One that this very transaction has submitted waits, too.
    session.flush()
    session.execute(
        update(Operation)
        .where(*waits)
        .values(not_before=sooner)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(select(Operation.host_id).where(*waits)).all()  # type: ignore[return-value]  # not null by the query


def group_changed(session: Session, group_ids: Collection[str], context: Context | None) -> None:
    """The rules of these groups changed: tell the hosts that have ports in them."""
    submit_for_hosts(session, _hosts_of_groups(session, group_ids), context)


def ports_changed(session: Session, ports: Iterable[Port], context: Context | None) -> None:
    """These ports themselves changed: tell the hosts that they are bound to."""
    submit_for_hosts(session, {port.host_id for port in ports if port.host_id}, context)


def members_changed(
    session: Session, group_ids: Collection[str], context: Context | None = None
) -> None:
    """A caller gave these groups addresses or took some: tell the hosts whose rules name them."""
    submit_for_hosts(session, _hosts_naming(session, group_ids), context)


def servers_came_or_went(
    session: Session, group_ids: Collection[str], told_host: str | None = None
) -> None:
    """Servers in these groups came or went: tell the hosts whose rules name the groups, soon.

    `told_host` learns of it by the play that brings the servers there, as far as their own groups
    have rules that name groups of theirs. What only other servers' rules name, it must be told.
    """
    hosts = _hosts_naming(session, group_ids)
    if told_host in hosts:
        query = select(SecurityGroupRule.remote_group_id).where(
            SecurityGroupRule.security_group_id.in_(group_ids),
            SecurityGroupRule.remote_group_id.in_(group_ids),
        )
        untold = set(group_ids) - set(session.scalars(query))
        if told_host not in _hosts_naming(session, untold):
            hosts.discard(told_host)
    submit_for_hosts(session, hosts, after_s=GATHER_S)


def _hosts_naming(session: Session, group_ids: Collection[str]) -> set[str]:
    """Return the hosts with a port whose rules name one of these groups as remote."""
    if not group_ids:
        return set()
    naming = select(SecurityGroupRule.security_group_id).where(
        SecurityGroupRule.remote_group_id.in_(group_ids)
    )
    return _hosts_of_groups(session, naming)


def _hosts_of_groups(session: Session, group_ids: Collection[str] | Select[str]) -> set[str]:
    hosts = session.scalars(
        select(Port.host_id)
        .join(PortSecurityGroup, PortSecurityGroup.port_id == Port.id)
        .where(
            Port.host_id.is_not(None),
            PortSecurityGroup.security_group_id.in_(group_ids),
        )
        .distinct()
    )
    return {host for host in hosts if host}
