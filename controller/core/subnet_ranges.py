"""What a subnet's range may be: CIDR, gateway and pools against each other and its neighbours."""

import ipaddress
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.core.network_faults import (
    GatewayConflictWithAllocationPools,
    InvalidAllocationPool,
    InvalidInput,
    OutOfBoundsAllocationPool,
    OverlappingAllocationPools,
)

# Gateway, DHCP server and one port need a /29; a /30 is for those who serve DHCP themselves.
LONGEST_PREFIX = 30
LINK_LOCAL = ipaddress.IPv4Network("169.254.0.0/16")

Pool = dict[str, str]


def parse_cidr(text: str) -> ipaddress.IPv4Network:
    """Return `text` as a range that a subnet can have, or raise InvalidInput."""
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidInput(f"'{text}' is not a valid IP subnet (cidr): {error}.") from error
    if not isinstance(loose, ipaddress.IPv4Network):
        raise InvalidInput(f"IPv6 subnets such as '{text}' are not there yet. Use an IPv4 range.")
    if str(loose) != text:
        raise InvalidInput(f"'{text}' isn't a recognized IP subnet cidr, '{loose}' is recommended.")
    if loose.prefixlen == 0 or loose.prefixlen > LONGEST_PREFIX:
        raise InvalidInput(f"Subnet '{text}' has a prefix length outside of 1 to {LONGEST_PREFIX}.")
    if loose.is_multicast or loose.is_loopback or loose.overlaps(LINK_LOCAL):
        raise InvalidInput(
            f"Subnet '{text}' lies in a range that has another use (multicast, loopback, or "
            f"link-local, where the metadata service is). Choose another."
        )
    return loose


def check_apart(cidr: ipaddress.IPv4Network, neighbours: Iterable[str], network_id: str) -> None:
    """Refuse a range that overlaps with another of the same network."""
    for other in neighbours:
        if cidr.overlaps(ipaddress.IPv4Network(other)):
            raise InvalidInput(
                f"Requested subnet with cidr: {cidr} for network: {network_id} overlaps with "
                f"another subnet, {other}. Choose another range."
            )


def check_gateway(cidr: ipaddress.IPv4Network, gateway_ip: str) -> str:
    """Return the gateway in its plain form; refuse one that isn't a host's address in `cidr`."""
    try:
        gateway = ipaddress.IPv4Address(gateway_ip)
    except ValueError as error:
        raise InvalidInput(f"gateway_ip '{gateway_ip}' is not an IPv4 address.") from error
    if gateway not in cidr or gateway in (cidr.network_address, cidr.broadcast_address):
        raise InvalidInput(f"Gateway {gateway} is not valid on subnet {cidr}.")
    return str(gateway)


def default_pools(cidr: ipaddress.IPv4Network, gateway_ip: str | None) -> list[Pool]:
    """Return all hosts' addresses of `cidr` but the gateway."""
    first, last = int(cidr.network_address) + 1, int(cidr.broadcast_address) - 1
    if gateway_ip is None:
        return _pools([(first, last)])
    gateway = int(ipaddress.IPv4Address(gateway_ip))
    return _pools([(first, gateway - 1), (gateway + 1, last)])


def check_pools(
    cidr: ipaddress.IPv4Network, gateway_ip: str | None, wanted: Sequence[Mapping[str, Any]]
) -> list[Pool]:
    """Return `wanted` in plain form and order, or refuse them."""
    ranges = sorted(_pool_range(cidr, pool) for pool in wanted)
    for (_, last), (first, _) in itertools.pairwise(ranges):
        if first <= last:
            raise OverlappingAllocationPools(
                f"Found overlapping allocation pools at {ipaddress.IPv4Address(first)} for subnet "
                f"{cidr}. Set them apart."
            )
    gateway = int(ipaddress.IPv4Address(gateway_ip)) if gateway_ip else -1
    if any(first <= gateway <= last for first, last in ranges):
        raise GatewayConflictWithAllocationPools(
            f"Gateway ip {gateway_ip} conflicts with an allocation pool of subnet {cidr}. "
            "Leave it out of the pools."
        )
    return _pools(ranges)


def check_nameservers(wanted: Sequence[str]) -> list[str]:
    """Return DNS servers' addresses in plain form, each once."""
    return list(dict.fromkeys(_address(text, "dns_nameservers") for text in wanted))


def check_routes(wanted: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return host routes in plain form."""
    routes = []
    for route in wanted:
        try:
            destination = ipaddress.IPv4Network(route["destination"])
        except ValueError as error:
            raise InvalidInput(
                f"'{route['destination']}' is not an IPv4 range (host_routes): {error}."
            ) from error
        nexthop = _address(route["nexthop"], "host_routes")
        routes.append({"destination": str(destination), "nexthop": nexthop})
    return routes


def _address(text: str, where: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise InvalidInput(f"'{text}' is not a valid IPv4 address ({where}).") from error


def _pool_range(cidr: ipaddress.IPv4Network, pool: Mapping[str, Any]) -> tuple[int, int]:
    try:
        start, end = ipaddress.IPv4Address(pool["start"]), ipaddress.IPv4Address(pool["end"])
    except ValueError as error:
        raise InvalidAllocationPool(
            f"The allocation pool {pool['start']}-{pool['end']} is not valid: {error}."
        ) from error
    if start > end:
        raise InvalidAllocationPool(
            f"The allocation pool {start}-{end} is not valid: its end comes before its start."
        )
    if start <= cidr.network_address or end >= cidr.broadcast_address:
        raise OutOfBoundsAllocationPool(
            f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}."
        )
    return int(start), int(end)


def _pools(ranges: Iterable[tuple[int, int]]) -> list[Pool]:
    return [
        {"start": str(ipaddress.IPv4Address(first)), "end": str(ipaddress.IPv4Address(last))}
        for first, last in ranges
        if first <= last
    ]
