"""Floating IPs: addresses of an external network, each standing for a port's own while it has one.

The host of the port answers for the address; see `core.network_updates` for how it learns of it.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, true
from sqlalchemy import update as sql_update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from controller.core import (
    network_quotas,
    network_updates,
    networks,
    port_records,
    resource_tags,
    router_ports,
    subnet_ranges,
)
from controller.core.context import Context
from controller.core.network_faults import (
    BadNetworkRequest,
    ExternalGatewayForFloatingIPNotFound,
    FloatingIPNotFound,
    FloatingIPPortAlreadyAssociated,
)
from controller.core.router_ports import FLOATING, INTERFACE
from controller.db.base import new_id
from controller.db.models import FloatingIP, IPAllocation, Network, Port, Router, Subnet
from controller.settings import Settings

ACTIVE, DOWN = "ACTIVE", "DOWN"


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on FloatingIP rows that this caller is told of."""
    return true() if context.is_admin else FloatingIP.project_id == context.project_id


def get(
    session: Session, context: Context, floating_ip_id: str, *, lock: bool = False
) -> FloatingIP:
    """Return a floating IP that the caller may see, or raise FloatingIPNotFound.

    With `lock`, nobody else has it stand for something else until we have committed.
    """
    query = select(FloatingIP).where(FloatingIP.id == floating_ip_id, visible(context))
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    floating_ip = session.scalar(query)
    if floating_ip is None:
        raise FloatingIPNotFound(
            f"Floating IP {floating_ip_id} could not be found. Check the id and the project in use."
        )
    return floating_ip


def create(
    session: Session,
    settings: Settings,
    context: Context,
    project_id: str,
    values: Mapping[str, Any],
) -> FloatingIP:
    """Return a new floating IP of `project_id`, associated where a port is named.

    `values` are as the API has them: `floating_network_id`, and perhaps `subnet_id`,
    `floating_ip_address`, `port_id`, `fixed_ip_address`, `description`. Raises OverQuota, what the
    network's pools refuse, BadNetworkRequest, and what `associate` raises.
    """
    network_quotas.check(session, settings, project_id, "floatingip")
    network = networks.get_way_out(session, context, values["floating_network_id"])
    floating_ip_id = new_id()
    port = _hold_address(session, network, floating_ip_id, values)
    (held,) = port_records.fixed_ips_of(session, [port.id])[port.id]
    floating_ip = FloatingIP(
        id=floating_ip_id,
        project_id=project_id,
        description=values.get("description", ""),
        floating_network_id=network.id,
        floating_port_id=port.id,
        floating_ip_address=held.ip_address,
        status=DOWN,
    )
    session.add(floating_ip)
    session.flush()
    if values.get("port_id"):
        _associate(session, context, floating_ip, values["port_id"], values.get("fixed_ip_address"))
    elif values.get("fixed_ip_address"):
        raise _port_needed()
    return floating_ip


def _hold_address(
    session: Session, network: Network, floating_ip_id: str, values: Mapping[str, Any]
) -> Port:
    """Return the port that takes the address asked for, or any."""
    if not network.external:
        raise BadNetworkRequest(
            f"Bad floatingip request: Network {network.id} is not a valid external network. Choose "
            "one that is (`openstack network list --external`)."
        )
    available = [
        each for each in subnet_ranges.of_network(session, network.id) if each.ip_version == 4
    ]
    if not available:
        raise BadNetworkRequest(
            f"Bad floatingip request: Network {network.id} does not contain any IPv4 subnet."
        )
    wanted = {}
    if values.get("subnet_id"):
        wanted["subnet_id"] = values["subnet_id"]
    if values.get("floating_ip_address"):
        wanted["ip_address"] = values["floating_ip_address"]
    port = router_ports.insert(session, network.id, FLOATING, floating_ip_id, status="N/A")
    router_ports.give_addresses(session, network, available, port, [wanted] if wanted else [])
    return port


def update(
    session: Session, context: Context, floating_ip: FloatingIP, values: Mapping[str, Any]
) -> FloatingIP:
    """Change a floating IP: its description, and what it stands for.

    A `port_id` of None takes it off; without `port_id`, it stays where it is.
    """
    if "description" in values:
        floating_ip.description = values["description"]
    fixed_ip_address = values.get("fixed_ip_address")
    port_id = values.get("port_id", floating_ip.fixed_port_id if fixed_ip_address else None)
    if port_id:
        _associate(session, context, floating_ip, port_id, fixed_ip_address)
    elif fixed_ip_address:
        raise _port_needed()
    elif "port_id" in values:
        _disassociate(session, context, floating_ip)
    floating_ip.revision_number += 1
    session.flush()
    return floating_ip


def _port_needed() -> BadNetworkRequest:
    return BadNetworkRequest(
        "Bad floatingip request: fixed_ip_address cannot be specified without a port_id. Name the "
        "port too."
    )


def remove(session: Session, context: Context, floating_ip: FloatingIP) -> None:
    """Delete a floating IP and free its address."""
    _disassociate(session, context, floating_ip)
    port_id = floating_ip.floating_port_id
    resource_tags.erase(session, [floating_ip.id])
    session.delete(floating_ip)
    session.flush()
    port_records.erase(session, [port_id])


def _associate(
    session: Session,
    context: Context,
    floating_ip: FloatingIP,
    port_id: str,
    fixed_ip_address: str | None,
) -> None:
    port = port_records.get(session, context, port_id, lock=True)
    if port.project_id != floating_ip.project_id and not context.is_admin:
        raise BadNetworkRequest(
            f"Bad floatingip request: Port {port.id} is associated with a different tenant than "
            f"Floating IP {floating_ip.id} and therefore cannot be bound. Use one of its own."
        )
    fixed_ip = _fixed_ip(session, port, fixed_ip_address)
    router_id = _router_for(session, floating_ip, port, fixed_ip)
    before = floating_ip.fixed_port_id
    same = (before, floating_ip.fixed_ip_address) == (port.id, fixed_ip.ip_address)
    if same and floating_ip.router_id == router_id:
        return
    try:
        with session.begin_nested():
            floating_ip.fixed_port_id = port.id
            floating_ip.fixed_ip_address = fixed_ip.ip_address
            floating_ip.router_id = router_id
            floating_ip.status = DOWN
    except IntegrityError as error:
        raise FloatingIPPortAlreadyAssociated(
            f"Cannot associate floating IP {floating_ip.floating_ip_address} ({floating_ip.id}) "
            f"with port {port.id} using fixed IP {fixed_ip.ip_address}, as that fixed IP already "
            f"has a floating IP on external network {floating_ip.floating_network_id}. Take that "
            "one off first."
        ) from error
    network_updates.floating_ip_changed(session, [before, port.id], context)


def _fixed_ip(session: Session, port: Port, wanted: str | None) -> IPAllocation:
    """Return the IPv4 address of the port that is meant."""
    held = [
        each
        for each in port_records.fixed_ips_of(session, [port.id])[port.id]
        if ":" not in each.ip_address
    ]
    if wanted is not None:
        try:
            wanted = str(ipaddress.ip_address(wanted))
        except ValueError as error:
            raise BadNetworkRequest(
                f"Bad floatingip request: '{wanted}' is not an IP address (fixed_ip_address)."
            ) from error
        for each in held:
            if each.ip_address == wanted:
                return each
        raise BadNetworkRequest(
            f"Bad floatingip request: Port {port.id} does not have fixed ip {wanted}. It has: "
            f"{', '.join(each.ip_address for each in held) or 'no IPv4 address'}."
        )
    if not held:
        raise BadNetworkRequest(
            f"Bad floatingip request: Cannot add floating IP to port {port.id} that has no fixed "
            "IPv4 addresses. Give it one."
        )
    if len(held) > 1:
        raise BadNetworkRequest(
            f"Bad floatingip request: Port {port.id} has multiple fixed IPv4 addresses. Must "
            "provide a specific IPv4 address when assigning a floating IP: name the "
            "fixed_ip_address."
        )
    return held[0]


def _router_for(
    session: Session, floating_ip: FloatingIP, port: Port, fixed_ip: IPAllocation
) -> str:
    """Return the router from the address's subnet to the floating IP's network, kept until the end.

    Of several, the one at the subnet's gateway.
    """
    interface, gateway, its = aliased(Port), aliased(Port), aliased(IPAllocation)
    query = (
        select(Router.id, its.ip_address == Subnet.gateway_ip)
        .join(interface, interface.device_id == Router.id)
        .join(gateway, gateway.id == Router.gateway_port_id)
        .join(its, its.port_id == interface.id)
        .join(Subnet, Subnet.id == its.subnet_id)
        .where(
            interface.device_owner == INTERFACE,
            its.subnet_id == fixed_ip.subnet_id,
            gateway.network_id == floating_ip.floating_network_id,
        )
        .order_by(Router.id)
    )
    ids = [row[0] for row in session.execute(query)]
    locked = select(Router.id).where(Router.id.in_(ids)).order_by(Router.id).with_for_update()
    session.execute(locked)
    # Asked again: what it connects may have changed before it was ours.
    found = [row for row in session.execute(query) if row[0] in ids]
    if not found:
        raise ExternalGatewayForFloatingIPNotFound(
            f"External network {floating_ip.floating_network_id} is not reachable from subnet "
            f"{fixed_ip.subnet_id}. Therefore, cannot associate Port {port.id} with a Floating IP. "
            "Add the subnet to a router that has its gateway on that network."
        )
    router_id: str = max(found, key=lambda row: bool(row[1]))[0]
    return router_id


def _disassociate(session: Session, context: Context, floating_ip: FloatingIP) -> None:
    before = floating_ip.fixed_port_id
    floating_ip.fixed_port_id = floating_ip.fixed_ip_address = floating_ip.router_id = None
    floating_ip.status = DOWN
    session.flush()
    if before:
        network_updates.floating_ip_changed(session, [before], context)


def in_effect(session: Session, host_id: str) -> None:
    """A host was told of its floating IPs, those of ports that are there: they are ACTIVE."""
    there = select(Port.id).where(Port.host_id == host_id)
    session.execute(
        sql_update(FloatingIP)
        .where(FloatingIP.fixed_port_id.in_(there), FloatingIP.router_id.is_not(None))
        .where(FloatingIP.status != ACTIVE)
        .values(status=ACTIVE)
        .execution_options(synchronize_session=False)
    )


def ports_of(session: Session, floating_ips: Sequence[FloatingIP]) -> dict[str, Port]:
    """Return the ports that floating IPs stand for, by id, in one statement."""
    ids = {each.fixed_port_id for each in floating_ips if each.fixed_port_id}
    return {port.id: port for port in session.scalars(select(Port).where(Port.id.in_(ids)))}
