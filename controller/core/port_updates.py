"""Having the hosts told when what filters a port has changed.

One `port_update` operation for each affected host; while one still waits, it stands for whatever
comes after it too, since its arguments are read when it starts. One that waits for its next try is
tried at once: a rule that was just taken back must not stay open for the rest of an hour.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from controller.core.context import Context
from controller.core.operations import FORMAT_VERSION, QUEUED
from controller.db.base import utcnow
from controller.db.models import Operation, Port, PortSecurityGroup, SecurityGroupRule
from controller.db.session import wake_after

KIND = "port_update"


def submit_for_hosts(
    session: Session, host_ids: Collection[str], context: Context | None = None
) -> None:
    """Submit a port_update for each host that doesn't have one waiting.

    `context` is None where the controller itself asks, not a caller.
    """
    if not host_ids:
        return
    waiting = set(_hold_waiting(session, host_ids))
    for host_id in sorted(set(host_ids) - waiting):
        session.add(
            Operation(
                kind=KIND,
                format_version=FORMAT_VERSION,
                host_id=host_id,
                project_id=context.project_id if context else None,
                user_id=(context.user_id or None) if context else None,
                request_id=context.request_id if context else None,
                arguments={},
            )
        )
    wake_after(session)


def _hold_waiting(session: Session, host_ids: Collection[str]) -> Iterable[str]:
    """Return the hosts with an update waiting, which can't be claimed before we have committed.

    The write holds the row: a worker that claimed it between our look and our commit would read the
    arguments without our change, and nobody would send it again.
    """
    waits = (Operation.kind == KIND, Operation.state == QUEUED, Operation.host_id.in_(host_ids))
    session.execute(
        update(Operation)
        .where(*waits)
        .values(not_before=utcnow())
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
    session: Session,
    group_ids: Collection[str],
    context: Context | None = None,
    but_host: str | None = None,
) -> None:
    """These groups gained or lost addresses: tell the hosts whose rules name them as remote.

    `but_host` learns of it in another way.
    """
    if not group_ids:
        return
    naming = select(SecurityGroupRule.security_group_id).where(
        SecurityGroupRule.remote_group_id.in_(group_ids)
    )
    hosts = set(
        session.scalars(
            select(Port.host_id)
            .join(PortSecurityGroup, PortSecurityGroup.port_id == Port.id)
            .where(Port.host_id.is_not(None), PortSecurityGroup.security_group_id.in_(naming))
            .distinct()
        )
    )
    submit_for_hosts(session, {host for host in hosts if host and host != but_host}, context)


def _hosts_of_groups(session: Session, group_ids: Collection[str]) -> set[str]:
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
