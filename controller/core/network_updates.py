"""Having the hosts follow when networks, their members, routers or floating IPs change.

One `network_update` operation for each host that is concerned; while one still waits, it stands for
whatever comes after it too, since its arguments are read when it starts. Servers that come and go
are gathered for a moment, as `core.port_updates` has it.
"""

from collections.abc import Collection
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from controller.core import agent_gateways, network_hosts, port_updates
from controller.core.context import Context
from controller.core.operations import QUEUED
from controller.db.base import utcnow
from controller.db.models import FloatingIP, Operation, Port
from controller.db.session import wake_after

KIND = "network_update"
# How long members gained or lost by servers that come and go are gathered.
GATHER_S = 0.5
# How long a host to which floating IPs move waits for the one that they leave.
MOVE_S = 5.0


def submit_for_hosts(
    session: Session,
    host_ids: Collection[str],
    context: Context | None = None,
    *,
    after_s: float = 0.0,
) -> None:
    """Submit a network_update for each host that doesn't have one waiting."""
    port_updates.submit_for_hosts(session, host_ids, context, after_s=after_s, kind=KIND)


def concerned_by_router(session: Session, router_id: str) -> set[str]:
    """Return the hosts that a router is on by now, for `router_changed` after it changed."""
    session.flush()
    return network_hosts.of_router(session, router_id)


def router_changed(
    session: Session, router_id: str, context: Context | None, before: Collection[str] = ()
) -> None:
    """A router, its interfaces, gateway or routes changed: tell the hosts, also those `before`."""
    now = network_hosts.of_router(session, router_id)
    agent_gateways.ensure(session, now)
    submit_for_hosts(session, now | set(before), context)


def floating_ip_changed(
    session: Session, port_ids: Collection[str | None], context: Context | None
) -> None:
    """A floating IP came to, or left, these ports: tell the hosts that have them."""
    query = select(Port.host_id).where(Port.id.in_(port_ids), Port.host_id.is_not(None))
    submit_for_hosts(session, {each for each in session.scalars(query) if each}, context)


def networks_changed(
    session: Session, network_ids: Collection[str], context: Context | None
) -> None:
    """Networks themselves changed, or their subnets: tell the hosts that carry them.

    Of external networks also those whose routers lead there; some may need an address of it yet.
    """
    session.flush()
    led_out = network_hosts.led_out_to(session, network_ids)
    agent_gateways.ensure(session, led_out)
    concerned = network_hosts.of_networks(session, network_ids) | led_out
    submit_for_hosts(session, concerned, context)


def members_changed(
    session: Session,
    network_ids: Collection[str],
    *,
    told_host: str | None = None,
    left: Collection[str] = (),
) -> None:
    """Ports came to, or left, hosts: tell those that forward to them, soon.

    `told_host` learns of its own by the play that brings the ports there. What `left` hosts still
    have of routers and forwarding goes.
    """
    session.flush()
    told = network_hosts.told_of_members(session, network_ids)
    if not told:
        return
    concerned = network_hosts.of_networks(session, told)
    if told_host is not None:
        agent_gateways.ensure(session, {told_host})
    submit_for_hosts(session, (concerned | set(left)) - {told_host}, after_s=GATHER_S)


def host_enrolled(session: Session, host_id: str) -> None:
    """A host's tunnel address may be another one: tell all that forward to it, and itself."""
    session.flush()
    members_changed(session, network_hosts.networks_with_ports(session, host_id))


def host_booted(session: Session, host_id: str) -> None:
    """A host has lost its forwarding and its routers: tell it, if it is to have any."""
    networks = network_hosts.networks_with_ports(session, host_id)
    if network_hosts.told_of_members(session, networks):
        submit_for_hosts(session, {host_id})


def ports_moved(
    session: Session, ports: Collection[Port], host_id: str, left: Collection[str]
) -> None:
    """These ports have come to `host_id`; `left` hosts let go of their floating IPs before.

    The host is told even if the play that brings the ports is: what is in effect there is ACTIVE.
    """
    ids = [port.id for port in ports]
    session.execute(
        update(FloatingIP).where(FloatingIP.fixed_port_id.in_(ids)).values(status="DOWN")
    )
    floating = session.scalar(
        select(FloatingIP.id).where(FloatingIP.fixed_port_id.in_(ids)).limit(1)
    )
    if not floating:
        return
    submit_for_hosts(session, left or {host_id}, after_s=0.0 if left else GATHER_S)
    for source in sorted(left):
        port_updates.submit_behind(session, host_id, source, MOVE_S, kind=KIND)


def ports_left(session: Session, ports: Collection[Port], left: Collection[str]) -> None:
    """These ports are on no host any more: their floating IPs are in effect nowhere."""
    take_down(session, ports)
    if left:
        members_changed(session, {port.network_id for port in ports}, left=left)


def take_down(session: Session, ports: Collection[Port]) -> None:
    """The floating IPs of these ports are in effect on no host."""
    ids = [port.id for port in ports]
    session.execute(
        update(FloatingIP).where(FloatingIP.fixed_port_id.in_(ids)).values(status="DOWN")
    )


def hurry_behind(session: Session, host_id: str) -> None:
    """The host was told, or can't be: have those go on that waited for it to let go."""
    changed = session.execute(
        update(Operation)
        .where(
            Operation.kind == KIND,
            Operation.state == QUEUED,
            Operation.request_id == f"{port_updates.BEHIND}{host_id}",
            Operation.not_before > utcnow(),
        )
        .values(not_before=Operation.created_at.expression)
        .execution_options(synchronize_session=False)
    )
    if cast("CursorResult[Any]", changed).rowcount:
        wake_after(session)


def waits(session: Session, host_id: str) -> bool:
    """Whether the host is to be told anew: what it was told last is out of date."""
    query = select(Operation.id).where(
        Operation.kind == KIND, Operation.host_id == host_id, Operation.state == QUEUED
    )
    return session.scalar(query.limit(1)) is not None
