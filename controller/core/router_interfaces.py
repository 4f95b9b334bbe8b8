"""A router's interfaces: ports of networks that name it, added and removed by subnet or by port."""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from controller.core import (
    addresses,
    network_quotas,
    network_shares,
    network_updates,
    port_records,
    router_ports,
    router_routes,
    routers,
    subnets,
)
from controller.core.context import Context
from controller.core.network_faults import (
    BadNetworkRequest,
    PortInUse,
    RouterInterfaceInUseByFloatingIP,
    RouterInterfaceNotFound,
    RouterInterfaceNotFoundForSubnet,
    SubnetMismatchForPort,
)
from controller.core.router_ports import INTERFACE
from controller.db.models import (
    FloatingIP,
    IPAllocation,
    Network,
    NetworkShare,
    Port,
    PortSecurityGroup,
    Router,
    Subnet,
)
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class Interface:
    """What was added or removed, as the API answers it."""

    port_id: str
    network_id: str
    subnet_ids: list[str]


def add_subnet(
    session: Session, settings: Settings, context: Context, router: Router, subnet_id: str
) -> Interface:
    """Have the router answer at the subnet's gateway. Raises BadNetworkRequest, IpAddressInUse."""
    subnet = subnets.get(session, context, subnet_id)
    if subnet.gateway_ip is None:
        raise BadNetworkRequest(
            "Bad router request: Subnet for router interface must have a gateway IP. Set one, or "
            "add the router by a port."
        )
    _check_lent(session, context, subnet)
    _check_subnets(session, router, [subnet])
    port = _port_for(session, settings, router, subnet)
    addresses.take_gateway(session, subnet, port.id)
    return _added(session, context, router, port, [subnet])


def _check_lent(session: Session, context: Context, subnet: Subnet) -> None:
    """Refuse to take the gateway of another project's subnet from all who use it.

    As in Neutron, whom a network is shared with by name may: its owner trusts that project.
    """
    if context.may_see(subnet.project_id):
        return
    owner = session.scalar(select(Network.project_id).where(Network.id == subnet.network_id))
    if owner is not None and context.may_see(owner):
        return
    network_shares.keep(session, subnet.network_id)
    by_name = select(NetworkShare.id).where(
        NetworkShare.network_id == subnet.network_id,
        NetworkShare.action == network_shares.SHARED,
        NetworkShare.target_project_id == context.project_id,
    )
    if session.scalar(by_name) is None:
        raise BadNetworkRequest(
            f"Bad router request: Cannot add interface to router because subnet {subnet.id} is not "
            "owned by project making the request. Make a port on its network, and add the router "
            "by that."
        )


def _port_for(session: Session, settings: Settings, router: Router, subnet: Subnet) -> Port:
    """Return the port for a subnet more: of IPv6 subnets of one network, the same for all."""
    if subnet.ip_version == 6:
        port = session.scalar(
            select(Port)
            .join(IPAllocation, IPAllocation.port_id == Port.id)
            .join(Subnet, Subnet.id == IPAllocation.subnet_id)
            .where(
                Port.device_id == router.id,
                Port.device_owner == INTERFACE,
                Port.network_id == subnet.network_id,
                Subnet.ip_version == 6,
            )
            .limit(1)
        )
        if port is not None:
            return port
    network_quotas.check(session, settings, router.project_id, "port")
    return router_ports.insert(
        session, subnet.network_id, INTERFACE, router.id, project_id=router.project_id
    )


def add_port(session: Session, context: Context, router: Router, port_id: str) -> Interface:
    """Make a port that nobody uses an interface of the router, at the port's own addresses."""
    port = port_records.get(session, context, port_id, lock=True)
    if port.project_id != router.project_id and not context.is_admin:
        raise BadNetworkRequest(
            f"Bad router request: Port {port.id} is another project's than router {router.id}. "
            "Use one of its own."
        )
    if port.device_id or port.device_owner:
        raise PortInUse(
            f"Unable to complete operation on port {port.id} for network {port.network_id}. Port "
            f"already has an attached device {port.device_id or port.device_owner}. Use another."
        )
    held = _subnets_of_port(session, port)
    if not held:
        raise BadNetworkRequest(
            "Bad router request: Router port must have at least one fixed IP. Give it one."
        )
    if sum(subnet.ip_version == 4 for subnet in held) > 1:
        raise BadNetworkRequest(
            "Bad router request: Cannot have multiple IPv4 subnets on router port. Use one for "
            "each."
        )
    _check_subnets(session, router, held)
    port.device_id, port.device_owner, port.status = router.id, INTERFACE, "ACTIVE"
    port.port_security_enabled, port.allowed_address_pairs = False, []
    port.revision_number += 1
    session.execute(delete(PortSecurityGroup).where(PortSecurityGroup.port_id == port.id))
    return _added(session, context, router, port, held)


def _subnets_of_port(session: Session, port: Port) -> list[Subnet]:
    query = select(Subnet).join(IPAllocation, IPAllocation.subnet_id == Subnet.id)
    return list(session.scalars(query.where(IPAllocation.port_id == port.id).order_by(Subnet.id)))


def _check_subnets(session: Session, router: Router, added: list[Subnet]) -> None:
    present = router_ports.subnets_of(session, router.id)
    known = {subnet.id for subnet in present}
    for subnet in added:
        if subnet.id in known:
            raise BadNetworkRequest(
                f"Bad router request: Router already has a port on subnet {subnet.id}."
            )
        router_routes.refuse_led_to(router, subnet)
    router_ports.check_apart(added, present)


def _added(
    session: Session, context: Context, router: Router, port: Port, added: list[Subnet]
) -> Interface:
    session.flush()
    routers.changed(session, context, router)
    return Interface(port.id, port.network_id, [subnet.id for subnet in added])


def remove(
    session: Session,
    context: Context,
    router: Router,
    *,
    port_id: str | None = None,
    subnet_id: str | None = None,
) -> Interface:
    """Take an interface away, by its port, its subnet or both.

    Raises RouterInterfaceNotFound, RouterInterfaceNotFoundForSubnet, SubnetMismatchForPort and,
    while something needs it, RouterInterfaceInUseByFloatingIP and RouterInterfaceInUseByRoute.
    """
    port = _by_port(session, router, port_id) if port_id else _by_subnet(session, router, subnet_id)
    held = _subnets_of_port(session, port)
    if subnet_id and subnet_id not in {subnet.id for subnet in held}:
        raise SubnetMismatchForPort(
            f"Subnet on port {port.id} does not match the requested subnet {subnet_id}. Name one "
            "of both."
        )
    # By a port, all of it goes.
    going = [subnet for subnet in held if port_id or subnet.id == subnet_id]
    for subnet in going:
        _refuse_floating(session, router, subnet)
        router_routes.refuse_needed(router, subnet)
    before = network_updates.concerned_by_router(session, router.id)
    if len(going) == len(held):
        port_records.erase(session, [port.id])
        session.expunge(port)
    else:
        session.execute(
            delete(IPAllocation).where(
                IPAllocation.port_id == port.id,
                IPAllocation.subnet_id.in_([subnet.id for subnet in going]),
            )
        )
    removed = Interface(port.id, port.network_id, [subnet.id for subnet in going])
    routers.changed(session, context, router, before)
    return removed


def _by_port(session: Session, router: Router, port_id: str) -> Port:
    port = session.scalar(
        select(Port).where(
            Port.id == port_id, Port.device_id == router.id, Port.device_owner == INTERFACE
        )
    )
    if port is None:
        raise RouterInterfaceNotFound(
            f"Router {router.id} does not have an interface with id {port_id}. GET "
            f"/v2.0/ports?device_id={router.id} lists them."
        )
    return port


def _by_subnet(session: Session, router: Router, subnet_id: str | None) -> Port:
    port = session.scalar(
        select(Port)
        .join(IPAllocation, IPAllocation.port_id == Port.id)
        .where(
            Port.device_id == router.id,
            Port.device_owner == INTERFACE,
            IPAllocation.subnet_id == subnet_id,
        )
    )
    if port is None:
        raise RouterInterfaceNotFoundForSubnet(
            f"Router {router.id} has no interface on subnet {subnet_id}. GET "
            f"/v2.0/ports?device_id={router.id} lists those that it has."
        )
    return port


def _refuse_floating(session: Session, router: Router, subnet: Subnet) -> None:
    """Refuse while a floating IP reaches a port of the subnet through the router."""
    floating_ip = session.scalar(
        select(FloatingIP.floating_ip_address)
        .join(
            IPAllocation,
            (IPAllocation.port_id == FloatingIP.fixed_port_id)
            & (IPAllocation.ip_address == FloatingIP.fixed_ip_address),
        )
        .where(FloatingIP.router_id == router.id, IPAllocation.subnet_id == subnet.id)
        .limit(1)
    )
    if floating_ip:
        raise RouterInterfaceInUseByFloatingIP(
            f"Router interface for subnet {subnet.id} on router {router.id} cannot be deleted, as "
            f"it is required by one or more floating IPs, such as {floating_ip}. Disassociate them "
            "first."
        )
