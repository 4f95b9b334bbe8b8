"""Ports as the Network API writes them. What servers need of ports is in `core.ports`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, or_, select, true
from sqlalchemy import update as sql_update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core import (
    addresses,
    dhcp_options,
    dns_names,
    macs,
    network_quotas,
    networks,
    port_updates,
    resource_tags,
    router_ports,
    security_groups,
    subnet_ranges,
    subnets,
)
from controller.core.context import Context
from controller.core.network_faults import (
    AddressPairAndPortSecurityRequired,
    InvalidInput,
    NotAuthorized,
    PortBound,
    PortInUse,
    PortNotFound,
    PortSecurityAndIPRequiredForSecurityGroups,
    PortSecurityPortHasSecurityGroup,
    ServicePortInUse,
)
from controller.db.models import (
    FloatingIP,
    IPAllocation,
    Network,
    Port,
    PortSecurityGroup,
    Subnet,
)
from controller.settings import Settings

SERVER_OWNER = "compute:"
SERVICE_OWNER = "network:"
ROUTING_OWNERS = frozenset(
    {router_ports.INTERFACE, router_ports.GATEWAY, router_ports.FLOATING}
    | {router_ports.AGENT_GATEWAY}
)


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on Port rows: the caller's own, and those on the caller's networks."""
    if context.is_admin:
        return true()
    own_networks = select(Network.id).where(Network.project_id == context.project_id)
    return or_(Port.project_id == context.project_id, Port.network_id.in_(own_networks))


def get(session: Session, context: Context, port_id: str, *, lock: bool = False) -> Port:
    """Return a port that the caller may see, or raise PortNotFound.

    With `lock`, nobody else changes, binds or deletes it, nor has a floating IP stand for it, until
    we have committed.
    """
    query = select(Port).where(Port.id == port_id, visible(context))
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    port = session.scalar(query)
    if port is None:
        raise PortNotFound(
            f"Port {port_id} could not be found. Check the id and the project in use."
        )
    return port


def serving(server_ids: Collection[str]) -> ColumnElement[bool]:
    """Return the condition on Port rows: these servers' own.

    The owner is ours alone to give; any tenant can write a server's id into a port of theirs.
    """
    return and_(Port.device_id.in_(server_ids), Port.device_owner.startswith(SERVER_OWNER))


def create(
    session: Session,
    settings: Settings,
    context: Context,
    network: Network,
    project_id: str,
    values: Mapping[str, Any],
) -> Port:
    """Return a new port of `project_id` on `network`, as `create_each` makes them."""
    device_ids = [values.get("device_id", "")]
    (port,) = create_each(session, settings, context, network, project_id, values, device_ids)
    return port


def create_each(
    session: Session,
    settings: Settings,
    context: Context,
    network: Network,
    project_id: str,
    values: Mapping[str, Any],
    device_ids: Sequence[str],
) -> list[Port]:
    """Return new ports of `project_id`, one for each device, with their addresses and groups.

    `values` has columns of Port and, if wanted, `fixed_ips` ([{subnet_id, ip_address}], each with
    one or both; absent means one address) and `security_groups` (ids; absent means the default).
    As many statements for many ports as for one, unless addresses are named.
    """
    if not networks.usable(session, context, network):
        raise NotAuthorized(
            f"Not authorized to put ports on network {network.id}: it is external and not shared. "
            "Use another network."
        )
    network_quotas.check(session, settings, project_id, "port", adding=len(device_ids))
    ports = [_new_port(network, project_id, values, device_id) for device_id in device_ids]
    group_ids = _groups_for(session, context, ports[0], values.get("security_groups"))
    macs.insert_with_mac(session, ports)
    if values.get("allowed_address_pairs"):
        for port in ports:
            port.allowed_address_pairs = _pairs(port, values["allowed_address_pairs"])
    _give_addresses(session, network, ports, values.get("fixed_ips"))
    session.add_all(
        PortSecurityGroup(port_id=port.id, security_group_id=group_id)
        for port in ports
        for group_id in group_ids
    )
    session.flush()
    return ports


def _new_port(network: Network, project_id: str, values: Mapping[str, Any], device_id: str) -> Port:
    columns = {name: value for name, value in values.items() if name not in LINKS}
    columns |= {"network_id": network.id, "project_id": project_id, "device_id": device_id}
    port = Port(**columns)
    if port.port_security_enabled is None:
        port.port_security_enabled = network.port_security_enabled
    if port.mac_address:
        port.mac_address = macs.parse(port.mac_address)
    port.dns_name = dns_names.check(port.dns_name or "")
    port.extra_dhcp_opts = dhcp_options.check(values.get("extra_dhcp_opts") or [])
    return port


LINKS = ("fixed_ips", "security_groups", "allowed_address_pairs", "extra_dhcp_opts")


def _groups_for(
    session: Session, context: Context, port: Port, wanted: Sequence[str] | None
) -> list[str]:
    """Return the groups of a new port: those asked for, or the default one of its project."""
    if wanted is not None:
        if wanted and not port.port_security_enabled:
            raise _filtering_needed(port)
        return security_groups.check_all(session, context, wanted)
    if not port.port_security_enabled or _is_service(port):
        return []
    return [security_groups.ensure_default(session, port.project_id).id]


def _is_service(port: Port) -> bool:
    """Whether a port is the network's own; a new one's columns have no defaults yet."""
    return (port.device_owner or "").startswith(SERVICE_OWNER)


def _filtering_needed(port: Port) -> PortSecurityAndIPRequiredForSecurityGroups:
    return PortSecurityAndIPRequiredForSecurityGroups(
        f"Security groups cannot be given to port {port.id or ''} without port security. Set "
        "port_security_enabled, or leave the groups out."
    )


def _pairs(port: Port, wanted: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return address pairs in plain form, with the port's own MAC address where none is named."""
    if not port.port_security_enabled:
        raise AddressPairAndPortSecurityRequired(
            f"Address pairs cannot be given to port {port.id} without port security. Set "
            "port_security_enabled, or leave them out."
        )
    pairs = []
    for pair in wanted:
        try:
            allowed = subnet_ranges.plain_range(pair["ip_address"], strict=False)
        except ValueError as error:
            raise InvalidInput(
                f"'{pair['ip_address']}' is not an IP address or range (allowed_address_pairs): "
                f"{error}."
            ) from error
        text = str(allowed) if "/" in pair["ip_address"] else str(allowed.network_address)
        mac = macs.parse(pair.get("mac_address") or port.mac_address)
        pairs.append({"ip_address": text, "mac_address": mac})
    return [pair for index, pair in enumerate(pairs) if pair not in pairs[:index]]


def _give_addresses(
    session: Session,
    network: Network,
    ports: Sequence[Port],
    wanted: Sequence[Mapping[str, str]] | None,
) -> None:
    """Give each port what is asked for; with None, one address, if the network has a subnet."""
    available = subnet_ranges.of_network(session, network.id)
    if wanted is None:
        if available:
            addresses.allocate_each(session, available, ports)
        return
    for port in ports:
        # Named ones first, so that they can't be given away by the others.
        for fixed_ip in _in_order(_with_automatic(available, port, wanted)):
            _give_address(session, network, available, port, fixed_ip)


def _in_order(wanted: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    return sorted(wanted, key=lambda fixed_ip: "ip_address" not in fixed_ip)


def _with_automatic(
    available: Sequence[Subnet], port: Port, wanted: Sequence[Mapping[str, str]]
) -> list[Mapping[str, str]]:
    """Return `wanted` with the subnets in which the guest makes itself an address in any case."""
    if not wanted or _is_service(port):
        return list(wanted)
    implied = []
    for subnet in available:
        named = any(
            fixed_ip.get("subnet_id") == subnet.id
            or str(fixed_ip.get("ip_address")).lower()
            == addresses.automatic(subnet, port.mac_address)
            for fixed_ip in wanted
            if addresses.is_automatic(subnet)
        )
        if addresses.is_automatic(subnet) and not named:
            implied.append({"subnet_id": subnet.id})
    return [*wanted, *implied]


def _give_address(
    session: Session,
    network: Network,
    available: Sequence[Subnet],
    port: Port,
    fixed_ip: Mapping[str, str],
) -> None:
    subnet_id, ip_address = fixed_ip.get("subnet_id"), fixed_ip.get("ip_address")
    if subnet_id is None:
        assert ip_address is not None  # noqa: S101 -- the schema asks for one of both
        subnet = addresses.subnet_of(available, ip_address, network.id)
    else:
        subnet = _subnet_named(available, network, subnet_id)
    if ip_address is not None:
        addresses.check_named(subnet, port, ip_address)
    if addresses.is_automatic(subnet):
        addresses.take_automatic(session, subnet, [port])
    elif ip_address is None:
        addresses.allocate(session, subnet, port.id)
    else:
        addresses.take(session, subnet, port.id, ip_address)


def _subnet_named(available: Sequence[Subnet], network: Network, subnet_id: str) -> Subnet:
    for subnet in available:
        if subnet.id == subnet_id:
            return subnet
    raise InvalidInput(
        f"Invalid input for operation: network {network.id} has no subnet {subnet_id}. Choose one "
        f"of its own: {', '.join(subnet.id for subnet in available) or 'there is none yet'}."
    )


def update(
    session: Session, context: Context, network: Network, port: Port, values: Mapping[str, Any]
) -> Port:
    """Change a port; hosts are told of what filters it. See `create` for `values`.

    What a running guest was told at its start (addresses, MAC, the server itself) changes only
    while the port is on no host: raises PortBound or PortInUse.
    """
    _check_bound(port, values)
    groups_before = security_groups.of_ports(session, [port.id])[port.id]
    for name, value in values.items():
        if name not in (*LINKS, "mac_address"):
            setattr(port, name, dns_names.check(value) if name == "dns_name" else value)
    if "mac_address" in values:
        _change_mac(session, port, macs.parse(values["mac_address"]))
    if "extra_dhcp_opts" in values:
        wanted_options = values["extra_dhcp_opts"] or []
        port.extra_dhcp_opts = dhcp_options.merge(port.extra_dhcp_opts, wanted_options)
    if "security_groups" in values:
        _change_groups(session, context, port, groups_before, values["security_groups"])
    elif groups_before and not port.port_security_enabled:
        raise PortSecurityPortHasSecurityGroup(
            f"Port {port.id} has security groups. Cannot disable port security until they are "
            "taken off: send an empty security_groups along."
        )
    if "allowed_address_pairs" in values:
        wanted = values["allowed_address_pairs"]
        port.allowed_address_pairs = _pairs(port, wanted) if wanted else []
        if port.host_id is not None:
            port_updates.members_changed(session, groups_before, context)
    elif port.allowed_address_pairs and not port.port_security_enabled:
        raise AddressPairAndPortSecurityRequired(
            f"Port {port.id} has address pairs. Cannot disable port security until they are taken "
            "off: send an empty allowed_address_pairs along."
        )
    if "fixed_ips" in values:
        _change_addresses(session, network, port, values["fixed_ips"])
    port.revision_number += 1
    session.flush()
    port_updates.ports_changed(session, [port], context)
    return port


def _check_bound(port: Port, values: Mapping[str, Any]) -> None:
    if port.device_owner in ROUTING_OWNERS and not values.keys() <= {"name", "description"}:
        raise ServicePortInUse(
            f"Port {port.id} cannot be changed directly via the port API: it has owner "
            f"{port.device_owner}. Change the router or the floating IP that it is part of."
        )
    if port.device_owner == subnets.DHCP_OWNER:
        raise ServicePortInUse(
            f"Port {port.id} cannot be changed directly via the port API: it is that of the DHCP "
            "server of its subnet. Change the subnet."
        )
    if port.host_id is not None:
        for name in ("mac_address", "fixed_ips"):
            if name in values:
                raise PortBound(
                    f"Unable to complete operation on port {port.id}: {name} cannot change while "
                    "its server has it. Delete the server, or give it another port."
                )
    if port.device_owner.startswith(SERVER_OWNER):
        for name in ("device_id", "device_owner"):
            if name in values and values[name] != getattr(port, name):
                raise PortInUse(
                    f"Unable to complete operation on port {port.id}: {name} cannot change while "
                    f"server {port.device_id} has it. Delete the server first."
                )


def _change_mac(session: Session, port: Port, mac_address: str) -> None:
    try:
        with session.begin_nested():
            port.mac_address = mac_address
    except IntegrityError as error:
        raise macs.in_use(port.network_id, mac_address) from error
    # What the guest makes itself of its MAC address follows it.
    for subnet in subnet_ranges.of_network(session, port.network_id):
        held = and_(IPAllocation.subnet_id == subnet.id, IPAllocation.port_id == port.id)
        if addresses.is_automatic(subnet) and not _is_service(port):
            session.execute(delete(IPAllocation).where(held))
            addresses.take_automatic(session, subnet, [port])


def _change_groups(
    session: Session, context: Context, port: Port, before: Sequence[str], wanted: Sequence[str]
) -> None:
    if wanted and not port.port_security_enabled:
        raise _filtering_needed(port)
    # What the port has already may stay, also where an admin gave it another project's.
    new = [group_id for group_id in dict.fromkeys(wanted) if group_id not in before]
    added = security_groups.check_all(session, context, new) if new else []
    security_groups.check_alike(session, wanted)
    dropped = [group_id for group_id in before if group_id not in wanted]
    session.execute(
        delete(PortSecurityGroup).where(
            PortSecurityGroup.port_id == port.id, PortSecurityGroup.security_group_id.in_(dropped)
        )
    )
    session.add_all(PortSecurityGroup(port_id=port.id, security_group_id=each) for each in added)
    session.flush()
    if port.host_id is not None:
        port_updates.members_changed(session, [*added, *dropped], context)


def _change_addresses(
    session: Session, network: Network, port: Port, wanted: Sequence[Mapping[str, str]]
) -> None:
    """Give the port the addresses asked for; it keeps those of its present ones that fit."""
    present = list(session.scalars(select(IPAllocation).where(IPAllocation.port_id == port.id)))
    missing: list[Mapping[str, str]] = []
    available = subnet_ranges.of_network(session, network.id)
    for fixed_ip in _in_order(_with_automatic(available, port, wanted)):
        kept = next((held for held in present if _fits(held, fixed_ip)), None)
        if kept is None:
            missing.append(fixed_ip)
        else:
            present.remove(kept)
    for held in present:
        session.delete(held)
    gone = [held.ip_address for held in present]
    _take_off(session, FloatingIP.fixed_port_id == port.id, FloatingIP.fixed_ip_address.in_(gone))
    session.flush()
    for fixed_ip in missing:
        _give_address(session, network, available, port, fixed_ip)


def _fits(held: IPAllocation, fixed_ip: Mapping[str, str]) -> bool:
    wanted = dict(fixed_ip)
    if "ip_address" in wanted:
        wanted["ip_address"] = str(addresses.parse(wanted["ip_address"], "fixed_ips"))
    return all(getattr(held, name) == value for name, value in wanted.items())


def remove(session: Session, port: Port) -> None:
    """Delete a port and free its addresses; raises PortInUse while a server has it."""
    if port.device_owner == subnets.DHCP_OWNER:
        raise ServicePortInUse(
            f"Port {port.id} cannot be deleted directly via the port API: it is that of the DHCP "
            "server of its subnet. Turn off enable_dhcp, or delete the subnet."
        )
    if port.device_owner in ROUTING_OWNERS:
        raise ServicePortInUse(
            f"Port {port.id} cannot be deleted directly via the port API: it has owner "
            f"{port.device_owner}. Remove it from the router, or delete the floating IP."
        )
    if port.device_owner.startswith(SERVER_OWNER) and port.device_id:
        raise PortInUse(
            f"Port {port.id} is in use by server {port.device_id}. Delete the server first."
        )
    erase(session, [port.id])


def erase(session: Session, port_ids: Sequence[str]) -> None:
    """Delete ports with their addresses and groups, whoever uses them.

    Floating IPs that stood for them stand for nothing then.
    """
    # A floating IP that is just coming to one of them is seen below, or finds no port.
    locked = select(Port.id).where(Port.id.in_(port_ids)).order_by(Port.id).with_for_update()
    session.execute(locked)
    _take_off(session, FloatingIP.fixed_port_id.in_(port_ids))
    addresses.release(session, port_ids)
    resource_tags.erase(session, port_ids)
    session.execute(delete(PortSecurityGroup).where(PortSecurityGroup.port_id.in_(port_ids)))
    session.execute(delete(Port).where(Port.id.in_(port_ids)))


def _take_off(session: Session, *which: ColumnElement[bool]) -> None:
    """Have these floating IPs stand for nothing."""
    session.execute(
        sql_update(FloatingIP)
        .where(*which)
        .values(fixed_port_id=None, fixed_ip_address=None, router_id=None, status="DOWN")
    )


def fixed_ips_of(session: Session, port_ids: Sequence[str]) -> dict[str, list[IPAllocation]]:
    """Return each port's addresses, lowest first, in one statement."""
    found: dict[str, list[IPAllocation]] = {port_id: [] for port_id in port_ids}
    allocations = session.scalars(
        select(IPAllocation)
        .where(IPAllocation.port_id.in_(port_ids))
        .order_by(IPAllocation.subnet_id, IPAllocation.position, IPAllocation.ip_address)
    )
    for allocation in allocations:
        found[allocation.port_id].append(allocation)
    return found
