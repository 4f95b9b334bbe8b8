"""The subnets of a network as the playbooks give them, checked, and what follows from them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from . import plain_addresses, work

METADATA_IP = "169.254.169.254"
SLAAC, STATEFUL, STATELESS = MODES = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")


@dataclass(frozen=True)
class Subnet:
    """A subnet. `dhcp_ip` is None where nobody serves DHCP; `gateway_served`: we do.

    `routed`: a router has its gateway's address, and sends the advertisements. The modes are those
    of an IPv6 subnet with DHCP: slaac, dhcpv6-stateful or dhcpv6-stateless, or None for what others
    do.
    """

    id: str
    cidr: ipaddress.IPv4Network | ipaddress.IPv6Network
    gateway_ip: str | None = None
    dhcp_ip: str | None = None
    gateway_served: bool = False
    routed: bool = False
    dns_nameservers: list[str] = field(default_factory=list)
    host_routes: list[tuple[str, str]] = field(default_factory=list)
    ra_mode: str | None = None
    address_mode: str | None = None

    @property
    def is_ipv6(self) -> bool:
        return self.cidr.version == 6


def parse(subnets: list[dict[str, Any]]) -> list[Subnet]:
    """Return the subnets, ordered by id. Raises WorkError naming what is wrong with which."""
    return sorted((_parse(subnet) for subnet in subnets), key=lambda subnet: subnet.id)


def _parse(given: dict[str, Any]) -> Subnet:
    subnet_id = work.check_uuid(given.get("id"), "Subnet id")
    try:
        cidr = plain_addresses.network(given.get("cidr"))
        modes = [_mode(given.get(f"ipv6_{name}_mode"), cidr) for name in ("ra", "address")]
        return Subnet(
            id=subnet_id,
            cidr=cidr,
            gateway_ip=_gateway(given.get("gateway_ip"), cidr),
            dhcp_ip=_own(given.get("dhcp_ip"), cidr),
            gateway_served=bool(given.get("gateway_served")),
            routed=bool(given.get("routed")),
            dns_nameservers=[_address(dns, cidr) for dns in given.get("dns_nameservers") or []],
            host_routes=[
                (_network(route["destination"], cidr), _address(route["nexthop"], cidr))
                for route in given.get("host_routes") or []
            ],
            ra_mode=modes[0],
            address_mode=modes[1],
        )
    except (ValueError, TypeError, KeyError) as error:
        raise work.WorkError(
            f"Refused the subnet {subnet_id}: {error}. Give cidr, gateway_ip and dhcp_ip of one IP "
            "version, the last two inside the first, and host_routes with destination and nexthop."
        ) from error


def _mode(value: Any, cidr: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str | None:
    if not value or cidr.version == 4:
        return None
    if value not in MODES:
        raise ValueError(f"{value!r} is none of {', '.join(MODES)}")
    return str(value)


def _address(value: Any, cidr: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    address = plain_addresses.address(value)
    if address.version != cidr.version:
        raise ValueError(f"{value} is no IPv{cidr.version} address")
    return str(address)


def _network(value: Any, cidr: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    network = plain_addresses.network(value)
    if network.version != cidr.version:
        raise ValueError(f"{value} is no IPv{cidr.version} network")
    return str(network)


def _own(value: Any, cidr: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str | None:
    if not value:
        return None
    if ipaddress.ip_address(_address(value, cidr)) not in cidr:
        raise ValueError(f"{value} is not in {cidr}")
    return _address(value, cidr)


def _gateway(value: Any, cidr: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str | None:
    # A physical IPv6 router may be known by its link-local address alone.
    is_link_local = value and ipaddress.ip_address(value).is_link_local
    return _address(value, cidr) if is_link_local and cidr.version == 6 else _own(value, cidr)


def has_ipv6(subnets: list[Subnet]) -> bool:
    """Whether the namespace has any part in IPv6."""
    return any(subnet.is_ipv6 for subnet in subnets)


def advertised(subnets: list[Subnet]) -> bool:
    """Whether router advertisements are ours, the namespace's or a router's."""
    return _advertises(subnets) or any(subnet.ra_mode and subnet.routed for subnet in subnets)


def _advertises(subnets: list[Subnet]) -> bool:
    return any(subnet.ra_mode and not subnet.routed for subnet in _served6(subnets))


def _served6(subnets: list[Subnet]) -> list[Subnet]:
    """Return the IPv6 subnets that dnsmasq has to do with: those that it has an address in."""
    return [
        subnet
        for subnet in subnets
        if subnet.is_ipv6
        and (subnet.dhcp_ip or (subnet.gateway_served and subnet.gateway_ip))
        and (
            (subnet.ra_mode and not subnet.routed)
            or (subnet.address_mode or subnet.ra_mode) in (STATEFUL, STATELESS)
        )
    ]


def listener(subnets: list[Subnet]) -> tuple[str, int]:
    """Return what shows that dnsmasq serves: a kind of socket and its port (or protocol)."""
    if any(subnet.dhcp_ip and not subnet.is_ipv6 for subnet in subnets):
        return "udp", 67
    has_dhcp6 = any({s.address_mode, s.ra_mode} & {STATEFUL, STATELESS} for s in _served6(subnets))
    return ("udp6", 547) if has_dhcp6 else ("raw6", 58)


def namespace_addresses(subnets: list[Subnet]) -> list[str]:
    """Return the addresses with prefix that the namespace has."""
    addresses = {f"{METADATA_IP}/32"}
    for subnet in subnets:
        if subnet.dhcp_ip:
            addresses.add(f"{subnet.dhcp_ip}/{subnet.cidr.prefixlen}")
        if subnet.gateway_served and subnet.gateway_ip and _is_inside(subnet):
            addresses.add(f"{subnet.gateway_ip}/{subnet.cidr.prefixlen}")
    return sorted(addresses)


def _is_inside(subnet: Subnet) -> bool:
    return ipaddress.ip_address(subnet.gateway_ip or "::") in subnet.cidr


def on_link_routes(subnets: list[Subnet]) -> list[str]:
    """Return the networks that need a route of their own, for no address of ours lies in them."""
    return sorted(
        str(subnet.cidr)
        for subnet in subnets
        if not subnet.is_ipv6
        and not subnet.dhcp_ip
        and not (subnet.gateway_served and subnet.gateway_ip)
    )


def dnsmasq_conf(
    subnets: list[Subnet],
    mtu: int,
    hosts_folder: str,
    leases: str,
    user: str,
    opts_folder: str,
) -> str | None:
    """Return dnsmasq's configuration, None when no subnet serves DHCP.

    It answers known ports alone, each with the one address of its file in `hosts_folder`.
    """
    served = [subnet for subnet in subnets if subnet.dhcp_ip and not subnet.is_ipv6]
    served6 = _served6(subnets)
    if not served and not served6:
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
        # What single ports are told besides; read again together with the hosts.
        f"dhcp-optsfile={opts_folder}",
        f"dhcp-option=option:mtu,{mtu}",
    ]
    for subnet in served:
        lines += _range(subnet)
    if _advertises(subnets):
        # What there is to know of the network, but no way out of it: that is a router's word.
        lines += ["enable-ra", f"ra-param=eth0,mtu:{mtu},60,0"]
    for subnet in served6:
        lines += _range6(subnet)
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


def _range6(subnet: Subnet) -> list[str]:
    """Return the lines of an IPv6 subnet: how guests have their addresses, and what they are told.

    Without advertisements of its own, DHCP is all there is: `static` answers known ports alone.
    """
    mode = subnet.address_mode or subnet.ra_mode
    return range6(subnet, mode if subnet.ra_mode and not subnet.routed else None)


def range6(subnet: Subnet, advertised_mode: str | None) -> list[str]:
    """Return dnsmasq's options about an IPv6 subnet that is advertised in a mode, or not at all."""
    words = {SLAAC: "ra-only", STATELESS: "ra-stateless"}
    prefix, length = subnet.cidr.network_address, subnet.cidr.prefixlen
    word = words.get(advertised_mode or "", "static")
    lines = [f"dhcp-range=set:{subnet.id},{prefix},{word},{length},86400"]
    if subnet.dns_nameservers:
        dns = ",".join(f"[{address}]" for address in subnet.dns_nameservers)
        lines.append(f"dhcp-option=tag:{subnet.id},option6:dns-server,{dns}")
    return lines
