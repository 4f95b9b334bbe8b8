"""Networks as plays are told of them: what they stand on, their subnets, and their members."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from controller.db.models import Host, IPAllocation, Network, Port, Router, Subnet
from controller.segment_ranges import VXLAN

# The owner of a router's port on a network, as Neutron names it.
ROUTER_INTERFACE = "network:router_interface"


@dataclass(frozen=True, slots=True)
class Described:
    """A network: what all hosts are told of it, and what shapes its ports."""

    entry: dict[str, Any]
    admin_state_up: bool
    network_driver: str
    # Of hosts that a live migration is bringing a port to: they have no member yet.
    arriving: set[str]

    def as_told_to(self, tunnel_ip: str | None) -> dict[str, Any]:
        """Return the network for the host with this address; its peers are the other hosts."""
        others = {each["tunnel_ip"] for each in self.entry["members"]} | self.arriving
        others -= {tunnel_ip, None}
        peers = sorted(others) if self.entry["network_type"] == VXLAN else []
        return {**self.entry, "peers": peers}


def networks(
    session: Session, network_ids: Collection[str], *, members: bool = True
) -> dict[str, Described]:
    """Return networks by id, in four statements and always the same order within.

    Members are all ports on hosts: of overlay networks, whose frames find their way by them, and of
    those with a router, which asks nobody for its neighbours. They may be many: without `members`
    nobody reads them.
    """
    found = {
        network.id: Described(
            _network(network), network.admin_state_up, network.network_driver, set()
        )
        for network in session.scalars(select(Network).where(Network.id.in_(network_ids)))
    }
    routed = _routed_gateways(session, network_ids)
    for subnet in session.scalars(
        select(Subnet)
        .where(Subnet.network_id.in_(network_ids))
        .order_by(Subnet.created_at, Subnet.id)
    ):
        entry = _subnet(subnet, routed.get(subnet.id))
        found[subnet.network_id].entry["subnets"].append(entry)
    told = _members(session, network_ids) if members else ()
    for network_id, member, next_tunnel_ip in told:
        found[network_id].entry["members"].append(member)
        if next_tunnel_ip is not None:
            found[network_id].arriving.add(next_tunnel_ip)
    return found


def _network(network: Network) -> dict[str, Any]:
    return {
        "id": network.id,
        "name": network.name,
        "mtu": network.mtu,
        "network_type": network.network_type,
        "physical_network": network.physical_network,
        "segmentation_id": network.segmentation_id,
        "subnets": [],
        "members": [],
    }


def _subnet(subnet: Subnet, router_is_up: bool | None) -> dict[str, Any]:
    """Return a subnet; `router_is_up` is None where no router has the gateway's address."""
    return {
        "id": subnet.id,
        "ip_version": subnet.ip_version,
        "cidr": subnet.cidr,
        "gateway_ip": subnet.gateway_ip,
        "dhcp_ip": subnet.dhcp_ip,
        "gateway_served": subnet.gateway_served and router_is_up is None,
        # One that is down is on no host, and tells no guest of anything.
        "routed": bool(router_is_up),
        "enable_dhcp": subnet.enable_dhcp,
        "ipv6_ra_mode": subnet.ipv6_ra_mode,
        "ipv6_address_mode": subnet.ipv6_address_mode,
        "dns_nameservers": subnet.dns_nameservers,
        "host_routes": subnet.host_routes,
    }


def _routed_gateways(session: Session, network_ids: Collection[str]) -> dict[str, bool]:
    """Return the subnets whose gateway's address a router has, and whether that is up."""
    query = (
        select(Subnet.id, Router.admin_state_up)
        .join(
            IPAllocation,
            (IPAllocation.subnet_id == Subnet.id) & (IPAllocation.ip_address == Subnet.gateway_ip),
        )
        .join(Port, Port.id == IPAllocation.port_id)
        .join(Router, Router.id == Port.device_id)
        .where(Subnet.network_id.in_(network_ids), Port.device_owner == ROUTER_INTERFACE)
    )
    return {row.id: row.admin_state_up for row in session.execute(query)}


def _members(
    session: Session, network_ids: Collection[str]
) -> list[tuple[str, dict[str, Any], str | None]]:
    """Return (network id, member, tunnel address of the host it is brought to) by MAC address."""
    next_host = aliased(Host)
    with_router = select(Port.network_id).where(
        Port.network_id.in_(network_ids), Port.device_owner == ROUTER_INTERFACE
    )
    rows = session.execute(
        select(
            Port.network_id,
            Port.mac_address,
            Host.tunnel_ip,
            IPAllocation.ip_address,
            next_host.tunnel_ip,
        )
        .join(Host, Host.id == Port.host_id)
        .outerjoin(next_host, next_host.id == Port.next_host_id)
        .join(Network, Network.id == Port.network_id)
        .outerjoin(IPAllocation, IPAllocation.port_id == Port.id)
        .where(
            Port.network_id.in_(network_ids),
            or_(Network.network_type == VXLAN, Network.id.in_(with_router)),
        )
        .order_by(Port.network_id, Port.mac_address, IPAllocation.ip_address)
    )
    members: dict[tuple[str, str], tuple[dict[str, Any], str | None]] = {}
    for network_id, mac_address, tunnel_ip, ip_address, next_tunnel_ip in rows:
        fresh: dict[str, Any] = {
            "mac_address": mac_address,
            "ip_addresses": [],
            "tunnel_ip": tunnel_ip,
        }
        member, _ = members.setdefault((network_id, mac_address), (fresh, next_tunnel_ip))
        if ip_address is not None:
            member["ip_addresses"].append(ip_address)
    return [(network_id, *found) for (network_id, _), found in members.items()]
