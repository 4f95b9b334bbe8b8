"""What plays are told of routers, and of all networks of a host.

Always in the same order, so that a second run with the same state changes nothing; a fixed number
of statements for however many routers.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from controller.core import described_networks, network_hosts, routers
from controller.core.described_networks import Described
from controller.db.models import (
    AgentGateway,
    FloatingIP,
    Host,
    IPAllocation,
    Port,
    Router,
    Subnet,
    SubnetPool,
)

Address = dict[str, str]


def of_host(session: Session, host_id: str) -> dict[str, Any]:
    """Return the keys networks and routers: all that the host is to have because of its ports."""
    network_ids = network_hosts.networks_with_ports(session, host_id)
    known = described_networks.networks(session, network_ids)
    tunnel_ip = session.scalar(select(Host.tunnel_ip).where(Host.id == host_id))
    return {
        "networks": [known[each].as_told_to(tunnel_ip) for each in network_ids],
        "routers": of_networks(session, {host_id: network_ids})[host_id],
    }


def of_networks(
    session: Session, on_hosts: Mapping[str, Collection[str]]
) -> dict[str, list[dict[str, Any]]]:
    """Return for each host the routers with an interface on one of its networks given here."""
    wanted = {network_id for networks in on_hosts.values() for network_id in networks}
    found = network_hosts.routers_of(session, wanted)
    if not found:
        return {host_id: [] for host_id in on_hosts}
    look = _Look(session, found, on_hosts)
    return {
        host_id: [
            look.router(router, host_id)
            for router in found
            if any(port.network_id in networks for port in look.interfaces[router.id])
        ]
        for host_id, networks in on_hosts.items()
    }


class _Look:
    """All rows that routers are told by, read once."""

    def __init__(self, session: Session, found: Sequence[Router], hosts: Iterable[str]) -> None:
        self.interfaces = routers.interfaces_of(session, [router.id for router in found])
        self.gateways = routers.gateways_of(session, found)
        host_ports = session.execute(
            select(AgentGateway.host_id, Port)
            .join(Port, Port.id == AgentGateway.port_id)
            .where(AgentGateway.host_id.in_(list(hosts)))
        )
        self.host_ports = {(host_id, port.network_id): port for host_id, port in host_ports}
        ports = [port for each in self.interfaces.values() for port in each]
        ports += [*self.gateways.values(), *self.host_ports.values()]
        self.addresses = _addresses(session, [port.id for port in ports])
        self.given_out = _given_out(session, [port.id for port in ports])
        network_ids = {port.network_id for port in ports}
        self.networks: dict[str, Described] = described_networks.networks(session, network_ids)
        self.tunnel_ips = {
            row.id: row.tunnel_ip
            for row in session.execute(
                select(Host.id, Host.tunnel_ip).where(Host.id.in_(list(hosts)))
            )
        }
        self.floating_ips = _floating_ips(session, [router.id for router in found], hosts)

    def router(self, router: Router, host_id: str) -> dict[str, Any]:
        return {
            "id": router.id,
            "admin_state_up": router.admin_state_up,
            "interfaces": [
                {
                    "port_id": port.id,
                    "mac_address": port.mac_address,
                    "ip_addresses": self.addresses.get(port.id, []),
                    "network": self._network(port.network_id, host_id),
                }
                for port in self.interfaces[router.id]
            ],
            "routes": router.routes,
            "gateway": self._gateway(router, host_id),
            "floating_ips": self.floating_ips.get((router.id, host_id), []),
        }

    def _network(self, network_id: str, host_id: str) -> dict[str, Any]:
        return self.networks[network_id].as_told_to(self.tunnel_ips.get(host_id))

    def _gateway(self, router: Router, host_id: str) -> dict[str, Any] | None:
        """Return the way out; None also where the host has no address for it."""
        port = self.gateways.get(router.gateway_port_id or "")
        own = self.host_ports.get((host_id, port.network_id)) if port else None
        if port is None or own is None:
            return None
        network = self._network(port.network_id, host_id)
        # What leaves the host goes by its own address: of several subnets, that one's next hop.
        cidrs = {each["cidr"] for each in self.addresses.get(own.id, [])}
        hops = [each["gateway_ip"] for each in network["subnets"] if each["cidr"] in cidrs]
        return {
            "network": network,
            "ip_addresses": self.addresses.get(port.id, []),
            "gateway_ips": [hop for hop in hops if hop],
            "enable_snat": router.enable_snat,
            "seen_outside": sorted(
                {cidr for each in self.interfaces[router.id] for cidr in self.given_out[each.id]}
            ),
            "host_port": {
                "port_id": own.id,
                "mac_address": own.mac_address,
                "ip_addresses": self.addresses.get(own.id, []),
            },
        }


def _addresses(session: Session, port_ids: Sequence[str]) -> dict[str, list[Address]]:
    found: dict[str, list[Address]] = {}
    for port_id, ip_address, cidr in session.execute(
        select(IPAllocation.port_id, IPAllocation.ip_address, Subnet.cidr)
        .join(Subnet, Subnet.id == IPAllocation.subnet_id)
        .where(IPAllocation.port_id.in_(port_ids))
        .order_by(Subnet.ip_version, Subnet.id, IPAllocation.ip_address)
    ):
        found.setdefault(port_id, []).append({"ip_address": ip_address, "cidr": cidr})
    return found


def _given_out(session: Session, port_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return by port the IPv6 ranges that the operator's subnet pools gave out.

    Routers of all tenants lead to one table of the host, by which what comes from outside finds its
    way: a range that a tenant chose itself could be another's, or the internet's. Only admins make
    pools shared or the default, and no two subnets of a pool overlap.
    """
    found: dict[str, list[str]] = {port_id: [] for port_id in port_ids}
    for port_id, cidr in session.execute(
        select(IPAllocation.port_id, Subnet.cidr)
        .join(Subnet, Subnet.id == IPAllocation.subnet_id)
        .join(SubnetPool, SubnetPool.id == Subnet.subnetpool_id)
        .where(IPAllocation.port_id.in_(port_ids), Subnet.ip_version == 6)
        .where(or_(SubnetPool.shared, SubnetPool.is_default))
    ):
        found[port_id].append(cidr)
    return found


def _floating_ips(
    session: Session, router_ids: Sequence[str], hosts: Iterable[str]
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return by (router, host) the floating IPs of ports that the host has: it answers for them.

    A host is told of its own alone; those of others are nothing that it must be told of. Those of
    ports that are arriving are another host's to answer for yet.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row, host_id, tunnel_ip, bound_to in session.execute(
        select(FloatingIP, Host.id, Host.tunnel_ip, Port.host_id)
        .join(Port, Port.id == FloatingIP.fixed_port_id)
        .join(Host, or_(Host.id == Port.host_id, Host.id == Port.next_host_id))
        .where(FloatingIP.router_id.in_(router_ids), Host.id.in_(list(hosts)))
        .order_by(FloatingIP.floating_ip_address)
    ):
        found.setdefault((str(row.router_id), str(host_id)), []).append(
            {
                "id": row.id,
                "floating_ip_address": row.floating_ip_address,
                "fixed_ip_address": row.fixed_ip_address,
                "tunnel_ip": tunnel_ip,
                "arriving": host_id != bound_to,
            }
        )
    return found
