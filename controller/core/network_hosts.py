"""Which hosts a network, a router or a port concerns: those that carry it, because of bound ports.

A host carries the networks of its servers' ports, and of those that a live migration is bringing to
it, the routers with an interface on one of those, and what else those routers connect. Few
statements, however many hosts there are.
"""

from collections.abc import Collection

from sqlalchemy import Select, Subquery, or_, select, union
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from controller.core.router_ports import INTERFACE
from controller.db.models import Network, Port, Router

VXLAN = "vxlan"


def carried(host_ids: Collection[str] | None = None) -> Subquery:
    """Return the query for (host_id, network_id) of the ports that hosts have, or are to have.

    Of these hosts; None is all, for which the database reads each port.
    """

    def of(column: InstrumentedAttribute[str | None]) -> Select[str | None, str]:
        here = column.is_not(None) if host_ids is None else column.in_(host_ids)
        return select(column, Port.network_id).where(here)

    return union(of(Port.host_id), of(Port.next_host_id)).subquery()


def of_networks(session: Session, network_ids: Collection[str]) -> set[str]:
    """Return the hosts that carry any of these networks, in two statements."""
    if not network_ids:
        return set()
    reaching = session.scalars(_reaching(network_ids))
    return _with_ports_on(session, {*network_ids, *reaching})


def of_router(session: Session, router_id: str) -> set[str]:
    """Return the hosts that carry a router."""
    connected = select(Port.network_id).where(
        Port.device_id == router_id, Port.device_owner == INTERFACE
    )
    return _with_ports_on(session, set(session.scalars(connected)))


def led_out_to(session: Session, network_ids: Collection[str]) -> set[str]:
    """Return the hosts that carry a router with its gateway on any of these networks."""
    gateway = aliased(Port)
    connected = (
        select(Port.network_id)
        .join(Router, Router.id == Port.device_id)
        .join(gateway, gateway.id == Router.gateway_port_id)
        .where(Port.device_owner == INTERFACE, gateway.network_id.in_(network_ids))
    )
    return _with_ports_on(session, set(session.scalars(connected)))


def _reaching(network_ids: Collection[str]) -> Select[str]:
    """Return the query for the networks from which a router leads into one of `network_ids`."""
    near, far = aliased(Port), aliased(Port)
    return (
        select(far.network_id)
        .join(near, near.device_id == far.device_id)
        .where(
            near.network_id.in_(network_ids),
            near.device_owner == INTERFACE,
            far.device_owner == INTERFACE,
        )
    )


def _with_ports_on(session: Session, network_ids: Collection[str]) -> set[str]:
    """Return the hosts with ports on these networks, or to have some.

    The networks stand there by their ids, and in each half: with a query for them, or over both
    halves, the database reads every port of the cloud whenever a server comes or goes.
    """
    if not network_ids:
        return set()
    columns = (Port.host_id, Port.next_host_id)
    halves = [
        select(column).where(Port.network_id.in_(network_ids), column.is_not(None))
        for column in columns
    ]
    return {host_id for host_id in session.scalars(union(*halves)) if host_id}


def told_of_members(session: Session, network_ids: Collection[str]) -> set[str]:
    """Return those of these networks whose hosts are told of each port: overlays, and routed ones.

    Nobody needs to know who else is on a physical network without a router.
    """
    if not network_ids:
        return set()
    routed = select(Port.network_id).where(
        Port.network_id.in_(network_ids), Port.device_owner == INTERFACE
    )
    query = select(Network.id).where(
        Network.id.in_(network_ids), (Network.network_type == VXLAN) | Network.id.in_(routed)
    )
    return set(session.scalars(query))


def routers_of(session: Session, network_ids: Collection[str]) -> list[Router]:
    """Return the routers with an interface on any of these networks, in the order of their ids."""
    if not network_ids:
        return []
    attached = select(Port.device_id).where(
        Port.network_id.in_(network_ids), Port.device_owner == INTERFACE
    )
    return list(session.scalars(select(Router).where(Router.id.in_(attached)).order_by(Router.id)))


def networks_with_ports(session: Session, host_id: str) -> list[str]:
    """Return the networks that the host has ports of, or is to have, in the order of their ids."""
    here = or_(Port.host_id == host_id, Port.next_host_id == host_id)
    return sorted(session.scalars(select(Port.network_id).where(here).distinct()))


def all_with_networks(session: Session) -> set[str]:
    """Return every host that has a bound port, or is to have one."""
    return set(session.scalars(select(carried().c.host_id).distinct()))
