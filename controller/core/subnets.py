"""Subnets: ranges of a network, with their gateway, pools and DHCP address."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, true
from sqlalchemy.orm import Session

from controller.core import (
    addresses,
    agent_gateways,
    macs,
    network_quotas,
    network_shares,
    network_updates,
    port_updates,
    resource_tags,
    segments,
    subnet_pools,
    subnet_ranges,
)
from controller.core.context import Context
from controller.core.network_faults import (
    GatewayIpInUse,
    InvalidInput,
    SubnetInUse,
    SubnetNotFound,
)
from controller.core.router_ports import AGENT_GATEWAY
from controller.db.models import IPAllocation, Network, Port, Subnet, SubnetPool
from controller.errors import BadRequest
from controller.settings import Settings

DHCP_OWNER = "network:dhcp"
# The part of a guest's own address that isn't made of its MAC address.
EUI64_PREFIX = 64
# Of shorter ones dnsmasq, which gives the addresses out, takes none.
SHORTEST_SERVED = 64
# What hosts are told of a subnet, and can change.
TOLD = ("gateway_ip", "gateway_served", "dhcp_ip", "enable_dhcp", "dns_nameservers", "host_routes")


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on Subnet rows: the caller's own, and those of networks it may use.

    A network that is external and not shared shows itself, but not its subnets, as upstream.
    """
    if context.is_admin:
        return true()
    return or_(
        Subnet.project_id == context.project_id,
        Subnet.network_id.in_(
            select(Network.id).where(
                or_(
                    Network.project_id == context.project_id,
                    Network.id.in_(
                        network_shares.network_ids(context.project_id, network_shares.SHARED)
                    ),
                )
            )
        ),
    )


def get(session: Session, context: Context, subnet_id: str, *, lock: bool = False) -> Subnet:
    """Return a subnet that the caller may see, or raise SubnetNotFound.

    With `lock`, nobody else changes it, or is given an address of it, until we have committed.
    """
    query = select(Subnet).where(Subnet.id == subnet_id, visible(context))
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    subnet = session.scalar(query)
    if subnet is None:
        raise SubnetNotFound(
            f"Subnet {subnet_id} could not be found. Check the id and the project in use."
        )
    return subnet


def create(
    session: Session,
    settings: Settings,
    network: Network,
    project_id: str,
    values: Mapping[str, Any],
    pool: SubnetPool | None = None,
) -> Subnet:
    """Return a new subnet of `network`, cut from `pool` if there is one.

    `values` has columns of Subnet; `cidr` must be there, or a pool, whose `prefixlen` may be. An
    absent `gateway_ip` is the range's
    first address, None means no gateway. With `enable_dhcp`, an address of the pools goes to the
    hosts' DHCP servers; where guests make their own addresses, ports that are there are given
    theirs. Raises OverQuota, InvalidInput and the pools' refusals.
    """
    network_quotas.check(session, settings, project_id, "subnet")
    version = values.get("ip_version", 4)
    values = _plain(version, values)
    mtu = _lock(session, network)
    if version == 6 and mtu < segments.IPV6_MTU_MIN:
        raise InvalidInput(
            f"Network {network.id} has an MTU of {mtu}, and IPv6 needs {segments.IPV6_MTU_MIN}. "
            "Raise it first."
        )
    values["cidr"] = _cidr(session, pool, project_id, values)
    cidr = subnet_ranges.parse_cidr(values["cidr"], version)
    check_modes(
        cidr,
        values.get("ipv6_ra_mode"),
        values.get("ipv6_address_mode"),
        enable_dhcp=values.get("enable_dhcp", True),
    )
    subnet_ranges.check_apart(
        cidr, (other.cidr for other in subnet_ranges.of_network(session, network.id)), network.id
    )
    gateway = values.get("gateway_ip", str(cidr.network_address + 1))
    if gateway is not None:
        gateway = subnet_ranges.check_gateway(cidr, gateway)
    pools = values.get("allocation_pools")
    columns = {name: value for name, value in values.items() if name != "prefixlen"}
    subnet = Subnet(
        **{
            **columns,
            "subnetpool_id": pool.id if pool else None,
            "network_id": network.id,
            "project_id": project_id,
            "cidr": str(cidr),
            "gateway_ip": gateway,
            "gateway_served": gateway is not None and network.physical_network is None,
            "allocation_pools": subnet_ranges.default_pools(cidr, gateway)
            if pools is None
            else subnet_ranges.check_pools(cidr, gateway, pools),
        }
    )
    session.add(subnet)
    session.flush()
    if subnet.enable_dhcp:
        _make_dhcp_port(session, network, subnet)
    if addresses.is_automatic(subnet):
        _give_automatic(session, subnet)
    network_updates.networks_changed(session, [network.id], None)
    return subnet


def _cidr(
    session: Session, pool: SubnetPool | None, project_id: str, values: Mapping[str, Any]
) -> str:
    cidr, prefixlen = values.get("cidr"), values.get("prefixlen")
    if pool is None:
        if cidr is None:
            raise BadRequest("A subnetpool must be specified in the absence of a cidr.")
        if prefixlen is not None:
            raise BadRequest("prefixlen goes with a subnetpool alone. Leave it out, or the cidr.")
        return str(cidr)
    if cidr is not None and prefixlen is not None:
        raise BadRequest("cidr and prefixlen must not be supplied together. Leave one out.")
    if pool.ip_version != values.get("ip_version", 4):
        raise BadRequest(
            f"Cannot allocate a subnet of IPv{values.get('ip_version', 4)} from subnet pool "
            f"{pool.id}, which is of IPv{pool.ip_version}."
        )
    return subnet_pools.cut(session, pool, project_id, cidr, prefixlen)


def check_modes(
    cidr: subnet_ranges.Range, ra_mode: str | None, address_mode: str | None, *, enable_dhcp: bool
) -> None:
    """Refuse IPv6 modes that don't go together, or with the range."""
    modes = {mode for mode in (ra_mode, address_mode) if mode}
    if not modes:
        return
    if cidr.version == 4:
        raise InvalidInput("ipv6_ra_mode and ipv6_address_mode are for subnets of ip_version 6.")
    if not enable_dhcp:
        raise InvalidInput(
            "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False. "
            "Leave enable_dhcp on, or the modes out."
        )
    if len(modes) > 1:
        raise InvalidInput(
            f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is "
            "not valid. If both attributes are set, they must be the same value."
        )
    if modes & set(addresses.AUTOMATIC) and cidr.prefixlen != EUI64_PREFIX:
        raise InvalidInput(
            f"Invalid CIDR {cidr} for IPv6 address mode. Guests that make their own addresses need "
            f"a prefix of /{EUI64_PREFIX}."
        )
    if cidr.prefixlen < SHORTEST_SERVED:
        raise InvalidInput(
            f"Invalid CIDR {cidr} for IPv6 address mode. DHCPv6 gives out addresses of "
            f"/{SHORTEST_SERVED} and longer prefixes. Use one of those, or leave the modes out."
        )


def _give_automatic(session: Session, subnet: Subnet) -> None:
    """Give the ports that are there the addresses that their guests make themselves."""
    ports = session.scalars(
        select(Port).where(
            Port.network_id == subnet.network_id, Port.device_owner.not_like("network:%")
        )
    ).all()
    addresses.take_automatic(session, subnet, ports)
    port_updates.ports_changed(session, ports, None)


def _plain(ip_version: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with name servers and routes checked and in plain form."""
    plain = dict(values)
    if "dns_nameservers" in plain:
        plain["dns_nameservers"] = subnet_ranges.check_nameservers(
            ip_version, plain["dns_nameservers"]
        )
    if "host_routes" in plain:
        plain["host_routes"] = subnet_ranges.check_routes(ip_version, plain["host_routes"])
    return plain


def _lock(session: Session, network: Network) -> int:
    """Keep others from adding a range that overlaps with ours until we have committed.

    Return the MTU, which stays until then, too.
    """
    query = select(Network.mtu).where(Network.id == network.id).with_for_update()
    return session.execute(query).scalar_one()


def update(session: Session, network: Network, subnet: Subnet, values: Mapping[str, Any]) -> Subnet:
    """Change `subnet`: gateway, pools, DHCP, name servers, routes, name and description.

    Hosts are told of what concerns them, and of new addresses outside, of which they need their
    own. Guests that run learn of it when they renew their lease.
    """
    told = [getattr(subnet, name) for name in TOLD]
    pools_before = subnet.allocation_pools
    cidr = subnet_ranges.parse_cidr(subnet.cidr, subnet.ip_version)
    check_modes(
        cidr,
        subnet.ipv6_ra_mode,
        subnet.ipv6_address_mode,
        enable_dhcp=values.get("enable_dhcp", subnet.enable_dhcp),
    )
    gateway = values.get("gateway_ip", subnet.gateway_ip)
    if gateway is not None:
        gateway = subnet_ranges.check_gateway(cidr, gateway)
    pools = subnet_ranges.check_pools(
        cidr, gateway, values.get("allocation_pools", subnet.allocation_pools)
    )
    if gateway != subnet.gateway_ip:
        _check_gateway_change(session, subnet, gateway)
    for name, value in _plain(subnet.ip_version, values).items():
        setattr(subnet, name, value)
    subnet.gateway_ip, subnet.allocation_pools = gateway, pools
    subnet.gateway_served = gateway is not None and network.physical_network is None
    subnet.revision_number += 1
    session.flush()
    if subnet.enable_dhcp and subnet.dhcp_ip is None:
        _make_dhcp_port(session, network, subnet)
    elif not subnet.enable_dhcp and subnet.dhcp_ip is not None:
        _check_dhcp_unused(session, subnet)
        remove_dhcp_ports(session, subnet_id=subnet.id)
        subnet.dhcp_ip = None
        session.flush()
    wider = network.external and subnet.allocation_pools != pools_before
    if wider or [getattr(subnet, name) for name in TOLD] != told:
        network_updates.networks_changed(session, [network.id], None)
    return subnet


def _gateway_port(session: Session, subnet: Subnet) -> str | None:
    """Return the port that answers at the gateway's address: the interface of a router."""
    return session.scalar(
        select(IPAllocation.port_id).where(
            IPAllocation.subnet_id == subnet.id, IPAllocation.ip_address == subnet.gateway_ip
        )
    )


def _check_gateway_change(session: Session, subnet: Subnet, gateway: str | None) -> None:
    """A gateway that hosts serve or tell guests of can change only while nobody is there."""
    router_port = _gateway_port(session, subnet) if subnet.gateway_ip else None
    if router_port:
        raise GatewayIpInUse(
            f"Current gateway ip {subnet.gateway_ip} already in use by port {router_port}. Unable "
            "to update. Remove the router's interface first."
        )
    holder = session.scalar(
        select(IPAllocation.port_id).where(
            IPAllocation.subnet_id == subnet.id, IPAllocation.ip_address == gateway
        )
    )
    if holder:
        raise InvalidInput(
            f"Cannot make {gateway} the gateway of subnet {subnet.id}: port {holder} has it. "
            "Choose another address or delete the port."
        )
    _refuse_bound(session, subnet, "change the gateway")


def _check_dhcp_unused(session: Session, subnet: Subnet) -> None:
    _refuse_bound(session, subnet, "turn off DHCP")


def _refuse_bound(session: Session, subnet: Subnet, what: str) -> None:
    """Running guests were told this by DHCP, and no play tells them anew."""
    port = session.scalar(
        select(Port.id)
        .join(IPAllocation, IPAllocation.port_id == Port.id)
        .where(IPAllocation.subnet_id == subnet.id, Port.host_id.is_not(None))
        .limit(1)
    )
    if port:
        raise SubnetInUse(
            f"Unable to {what} of subnet {subnet.id}: servers run with it, such as that of port "
            f"{port}. Delete those first, or make another subnet."
        )


def remove(session: Session, subnet: Subnet) -> None:
    """Delete a subnet with its DHCP port; raises SubnetInUse while ports have its addresses.

    Addresses that guests make themselves are no hindrance: they go with the prefix. So do those of
    hosts, which nobody else could take off them.
    """
    owners = (DHCP_OWNER, AGENT_GATEWAY)
    users = [IPAllocation.subnet_id == subnet.id, Port.device_owner.not_in(owners)]
    automatic = addresses.is_automatic(subnet)
    if automatic:
        users.append(Port.device_owner.like("network:%"))
    port = session.scalar(
        select(Port.id).join(IPAllocation, IPAllocation.port_id == Port.id).where(*users).limit(1)
    )
    if port:
        raise SubnetInUse(
            f"Unable to complete operation on subnet {subnet.id}: One or more ports have an IP "
            f"allocation from this subnet, such as {port}. Delete the ports or their servers first."
        )
    remove_dhcp_ports(session, subnet_id=subnet.id)
    agent_gateways.leave_subnet(session, subnet.id)
    if automatic:
        _take_automatic_back(session, subnet)
    resource_tags.erase(session, [subnet.id])
    network_id = subnet.network_id
    session.delete(subnet)
    session.flush()
    network_updates.networks_changed(session, [network_id], None)


def _take_automatic_back(session: Session, subnet: Subnet) -> None:
    held = IPAllocation.subnet_id == subnet.id
    ports = session.scalars(
        select(Port).join(IPAllocation, IPAllocation.port_id == Port.id).where(held)
    ).all()
    session.execute(delete(IPAllocation).where(held))
    port_updates.ports_changed(session, ports, None)


def _make_dhcp_port(session: Session, network: Network, subnet: Subnet) -> None:
    """Take the address that every host's DHCP and metadata server of this subnet answers at."""
    port = Port(
        network_id=network.id,
        project_id=network.project_id,
        device_owner=DHCP_OWNER,
        device_id=f"dhcp-{subnet.id}",
        status="ACTIVE",
        port_security_enabled=False,
    )
    macs.insert_with_mac(session, [port])
    subnet.dhcp_ip = addresses.allocate_first(session, subnet, port.id).ip_address
    session.flush()


def remove_dhcp_ports(
    session: Session, *, subnet_id: str | None = None, network_id: str | None = None
) -> None:
    """Delete the DHCP ports of a subnet, or of all of a network's."""
    owned = Port.device_owner == DHCP_OWNER
    which = Port.device_id == f"dhcp-{subnet_id}" if subnet_id else Port.network_id == network_id
    port_ids = list(session.scalars(select(Port.id).where(owned, which)))
    addresses.release(session, port_ids)
    resource_tags.erase(session, port_ids)
    session.execute(delete(Port).where(Port.id.in_(port_ids)))
