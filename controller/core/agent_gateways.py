"""Agent gateways: each host's own address on the external networks that its routers lead to.

What leaves a host through SNAT comes from it. It is taken in the transaction that makes the host
need it, so that a play always has one to tell of, and freed when the host no longer uses it.
"""

import logging
from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from controller.core import addresses, network_hosts, router_ports, subnet_ranges
from controller.core.network_faults import IpAddressGenerationFailure
from controller.core.router_ports import AGENT_GATEWAY, INTERFACE
from controller.db.models import AgentGateway, IPAllocation, Network, Port, Router, Subnet

log = logging.getLogger(__name__)

Pair = tuple[str, str]


def needed(session: Session, host_ids: Collection[str]) -> set[Pair]:
    """Return (host, external network) for each that one of these hosts has a router to."""
    there, interface, gateway = network_hosts.carried(host_ids), aliased(Port), aliased(Port)
    query = (
        select(there.c.host_id, gateway.network_id)
        .join(interface, interface.network_id == there.c.network_id)
        .join(Router, Router.id == interface.device_id)
        .join(gateway, gateway.id == Router.gateway_port_id)
        .where(interface.device_owner == INTERFACE)
        .distinct()
    )
    return {(host_id, network_id) for host_id, network_id in session.execute(query)}


def ensure(session: Session, host_ids: Collection[str]) -> None:
    """Give each of these hosts the addresses that it needs and has not.

    Without one left in the pools, the host goes without: its servers reach each other, and nothing
    outside. It is tried again whenever the host is told of its networks.
    """
    if not host_ids:
        return
    # Which hosts need what is asked of rows that were changed just now.
    session.flush()
    wanted = needed(session, host_ids)
    if not wanted:
        return
    # Locked: none is freed by who saw it before the host needed it, nor completed twice.
    present = session.execute(
        select(AgentGateway.host_id, AgentGateway.network_id, AgentGateway.port_id)
        .where(AgentGateway.host_id.in_(host_ids))
        .order_by(AgentGateway.host_id, AgentGateway.network_id)
        .with_for_update()
    )
    held = {(host_id, network_id): port_id for host_id, network_id, port_id in present}
    for host_id, network_id in sorted(wanted - held.keys()):
        _make(session, host_id, network_id)
    _complete(session, [held[each] for each in sorted(wanted & held.keys())])


def _make(session: Session, host_id: str, network_id: str) -> None:
    network = session.get_one(Network, network_id)
    try:
        with session.begin_nested():
            port = router_ports.insert(session, network_id, AGENT_GATEWAY, host_id)
            available = subnet_ranges.of_network(session, network_id)
            router_ports.give_addresses(session, network, available, port, [])
            session.add(AgentGateway(host_id=host_id, network_id=network_id, port_id=port.id))
    except IpAddressGenerationFailure:
        log.warning(
            "no address is left on external network %s for host %s: what its routers send outside "
            "goes nowhere; widen the network's allocation pools",
            network_id,
            host_id,
        )
    except IntegrityError:
        # Another transaction gave the host one at the same time.
        pass


def _complete(session: Session, port_ids: Collection[str]) -> None:
    """Give ports that are there an address of an IP version that their network has got since."""
    if not port_ids:
        return
    other = aliased(Subnet)
    has = (
        select(IPAllocation.port_id)
        .join(other, other.id == IPAllocation.subnet_id)
        .where(IPAllocation.port_id == Port.id, other.ip_version == Subnet.ip_version)
    )
    lacking: dict[tuple[str, int], list[Subnet]] = {}
    for port_id, subnet in session.execute(
        select(Port.id, Subnet)
        .join(Subnet, Subnet.network_id == Port.network_id)
        .where(Port.id.in_(port_ids), ~has.exists())
        .order_by(Port.id, Subnet.created_at, Subnet.id)
    ):
        lacking.setdefault((port_id, subnet.ip_version), []).append(subnet)
    for (port_id, version), available in lacking.items():
        try:
            addresses.allocate_on(session, available, port_id)
        except IpAddressGenerationFailure:
            log.warning(
                "no IPv%s address is left on external network %s for a host: what its routers send "
                "outside by it goes nowhere; widen the network's allocation pools",
                version,
                available[0].network_id,
            )


def drop_unneeded(session: Session, host_id: str) -> None:
    """Free the addresses that the host needs no more; for when it has been told so."""
    session.flush()
    query = select(AgentGateway).where(AgentGateway.host_id == host_id)
    held = session.scalars(query.order_by(AgentGateway.network_id).with_for_update()).all()
    # Asked for once they are ours: who makes the host need one holds it; see `ensure`.
    wanted = needed(session, {host_id})
    _forget(session, [each for each in held if (host_id, each.network_id) not in wanted])


def forget_host(session: Session, host_id: str) -> None:
    """Free all addresses of a host that is removed."""
    _forget(
        session,
        session.scalars(select(AgentGateway).where(AgentGateway.host_id == host_id)).all(),
    )


def forget_network(session: Session, network_id: str) -> None:
    """Free the hosts' addresses on a network that nothing leads to any more."""
    _forget(
        session,
        session.scalars(select(AgentGateway).where(AgentGateway.network_id == network_id)).all(),
    )


def leave_subnet(session: Session, subnet_id: str) -> None:
    """Free the hosts' addresses in a subnet that goes; `ensure` gives them others."""
    port_ids = select(AgentGateway.port_id)
    session.execute(
        delete(IPAllocation).where(
            IPAllocation.subnet_id == subnet_id, IPAllocation.port_id.in_(port_ids)
        )
    )


def _forget(session: Session, gateways: Collection[AgentGateway]) -> None:
    if not gateways:
        return
    port_ids = [each.port_id for each in gateways]
    for each in gateways:
        session.delete(each)
    session.flush()
    addresses.release(session, port_ids)
    session.execute(delete(Port).where(Port.id.in_(port_ids)))
