"""The subnets of a network as the playbooks give them, checked, and what follows from them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from . import work

METADATA_IP = "169.254.169.254"


@dataclass(frozen=True)
class Subnet:
    """An IPv4 subnet. `dhcp_ip` is None where nobody serves DHCP; `gateway_served`: we do."""

    id: str
    cidr: ipaddress.IPv4Network
    gateway_ip: str | None = None
    dhcp_ip: str | None = None
    gateway_served: bool = False
    dns_nameservers: list[str] = field(default_factory=list)
    host_routes: list[tuple[str, str]] = field(default_factory=list)


def parse(subnets: list[dict[str, Any]]) -> list[Subnet]:
    """Return the subnets, ordered by id. Raises WorkError naming what is wrong with which."""
    return sorted((_parse(subnet) for subnet in subnets), key=lambda subnet: subnet.id)


def _parse(given: dict[str, Any]) -> Subnet:
    subnet_id = work.check_uuid(given.get("id"), "Subnet id")
    try:
        cidr = ipaddress.ip_network(given.get("cidr"))
        if cidr.version != 4:
            raise ValueError("only IPv4 is served")
        return Subnet(
            id=subnet_id,
            cidr=cidr,
            gateway_ip=_own(given.get("gateway_ip"), cidr),
            dhcp_ip=_own(given.get("dhcp_ip"), cidr),
            gateway_served=bool(given.get("gateway_served")),
            dns_nameservers=[_address(dns) for dns in given.get("dns_nameservers") or []],
            host_routes=[
                (str(ipaddress.IPv4Network(route["destination"])), _address(route["nexthop"]))
                for route in given.get("host_routes") or []
            ],
        )
    except (ValueError, TypeError, KeyError) as error:
        raise work.WorkError(
            f"Refused the subnet {subnet_id}: {error}. Give cidr, gateway_ip and dhcp_ip as IPv4, "
            "the last two inside the first, and host_routes with destination and nexthop."
        ) from error


def _address(value: Any) -> str:
    return str(ipaddress.IPv4Address(value))


def _own(value: Any, cidr: ipaddress.IPv4Network) -> str | None:
    if not value:
        return None
    if ipaddress.IPv4Address(value) not in cidr:
        raise ValueError(f"{value} is not in {cidr}")
    return _address(value)


def namespace_addresses(subnets: list[Subnet]) -> list[str]:
    """Return the addresses with prefix that the namespace has."""
    addresses = {f"{METADATA_IP}/32"}
    for subnet in subnets:
        if subnet.dhcp_ip:
            addresses.add(f"{subnet.dhcp_ip}/{subnet.cidr.prefixlen}")
        if subnet.gateway_served and subnet.gateway_ip:
            addresses.add(f"{subnet.gateway_ip}/{subnet.cidr.prefixlen}")
    return sorted(addresses)


def on_link_routes(subnets: list[Subnet]) -> list[str]:
    """Return the networks that need a route of their own, for no address of ours lies in them."""
    return sorted(
        str(subnet.cidr)
        for subnet in subnets
        if not subnet.dhcp_ip and not (subnet.gateway_served and subnet.gateway_ip)
    )


def dnsmasq_conf(
    subnets: list[Subnet], mtu: int, hosts_folder: str, leases: str, user: str
) -> str | None:
    """Return dnsmasq's configuration, None when no subnet serves DHCP.

    It answers known ports alone, each with the one address of its file in `hosts_folder`.
    """
    served = [subnet for subnet in subnets if subnet.dhcp_ip]
    if not served:
        return None
    lines = [
        "# Written by Novella; a run of its playbooks writes it again.",
        "port=0",
        "no-hosts",
        "no-ping",
        "interface=eth0",
        "except-interface=lo",
        f"user={user}",
        # The namespace has addresses of every network; each network has a dnsmasq of its own.
        "dhcp-authoritative",
        "dhcp-ignore=tag:!known",
        f"dhcp-hostsfile={hosts_folder}",
        f"dhcp-leasefile={leases}",
        "dhcp-lease-max=65536",
        "log-facility=-",
        f"dhcp-option=option:mtu,{mtu}",
    ]
    for subnet in served:
        lines += _range(subnet)
    return "\n".join(lines) + "\n"


def _range(subnet: Subnet) -> list[str]:
    tag = subnet.id
    routes = [f"{METADATA_IP}/32,{subnet.dhcp_ip}"]
    routes += [f"{destination},{nexthop}" for destination, nexthop in subnet.host_routes]
    if subnet.gateway_ip:
        # A client that gets option 121 must ignore option 3, so the default route is in both.
        routes.append(f"0.0.0.0/0,{subnet.gateway_ip}")
    # Without a value, dnsmasq would name itself as router and name server.
    router = f",{subnet.gateway_ip}" if subnet.gateway_ip else ""
    dns = "".join(f",{address}" for address in subnet.dns_nameservers)
    of_tag = f"dhcp-option=tag:{tag},option:"
    return [
        f"dhcp-range=set:{tag},{subnet.cidr.network_address},static,{subnet.cidr.netmask},86400",
        f"{of_tag}router{router}",
        f"{of_tag}dns-server{dns}",
        f"{of_tag}classless-static-route,{','.join(routes)}",
        # Option 249 is what Windows asks for.
        f"dhcp-option=tag:{tag},249,{','.join(routes)}",
    ]
