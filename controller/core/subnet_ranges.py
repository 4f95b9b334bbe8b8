"""What a subnet's range may be: CIDR, gateway and pools against each other and its neighbours.

The lowest of what knows subnets: all that gives out addresses stands on it.
"""

import ipaddress
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core.network_faults import (
    GatewayConflictWithAllocationPools,
    InvalidAllocationPool,
    InvalidInput,
    OutOfBoundsAllocationPool,
    OverlappingAllocationPools,
)
from controller.db.models import Subnet

# Gateway, DHCP server and one port need a /29; a /30 is for those who serve DHCP themselves.
LONGEST_PREFIX = {4: 30, 6: 126}
# What has another use: this host, loopback, link-local, multicast, broadcast, IPv4 in IPv6.
RESERVED = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
        "::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8",
    )
]  # fmt: skip
# Positions in a subnet are kept as signed 64-bit numbers.
POSITIONS = 1 << 63

Range = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Pool = dict[str, str]


def parse_cidr(text: str, ip_version: int) -> Range:
    """Return `text` as a range that a subnet can have, or raise InvalidInput."""
    try:
        loose = plain_range(text, strict=False)
    except ValueError as error:
        raise InvalidInput(f"'{text}' is not a valid IP subnet (cidr): {error}.") from error
    if loose.version != ip_version:
        raise InvalidInput(
            f"'{text}' is an IPv{loose.version} subnet, and ip_version is {ip_version}. They must "
            "be the same."
        )
    if str(loose) != text.lower():
        raise InvalidInput(f"'{text}' isn't a recognized IP subnet cidr, '{loose}' is recommended.")
    longest = LONGEST_PREFIX[ip_version]
    if loose.prefixlen == 0 or loose.prefixlen > longest:
        raise InvalidInput(f"Subnet '{text}' has a prefix length outside of 1 to {longest}.")
    if any(loose.version == other.version and loose.overlaps(other) for other in RESERVED):
        raise InvalidInput(
            f"Subnet '{text}' lies in a range that has another use (multicast, loopback, or "
            f"link-local, where the metadata service is). Choose another."
        )
    return loose


def is_reserved(cidr: Range) -> bool:
    """Whether all of a range has another use. What is wider, such as 0.0.0.0/0, has none."""
    return any(
        cidr.version == other.version
        and cidr.prefixlen >= other.prefixlen
        and cidr.network_address in other
        for other in RESERVED
    )


def holds(cidr: Range, address: Address) -> bool:
    """Whether a port can have the address in `cidr`: it is none of the range's own."""
    return address in cidr and first_address(cidr) <= int(address) <= last_address(cidr)


def of_network(session: Session, network_id: str) -> Sequence[Subnet]:
    """Return a network's subnets, oldest first."""
    return session.scalars(
        select(Subnet).where(Subnet.network_id == network_id).order_by(Subnet.created_at, Subnet.id)
    ).all()


def range_of(subnet: Subnet) -> Range:
    """Return a subnet's range."""
    return ipaddress.ip_network(subnet.cidr)


def check_apart(cidr: Range, neighbours: Iterable[str], network_id: str) -> None:
    """Refuse a range that overlaps with another of the same network."""
    for other in neighbours:
        neighbour = ipaddress.ip_network(other)
        if cidr.version == neighbour.version and cidr.overlaps(neighbour):
            raise InvalidInput(
                f"Requested subnet with cidr: {cidr} for network: {network_id} overlaps with "
                f"another subnet, {other}. Choose another range."
            )


def first_address(cidr: Range) -> int:
    """Return the first that a port can have; of IPv6, the one before means all routers."""
    return int(cidr.network_address) + 1


def last_address(cidr: Range) -> int:
    """Return the last that a port can have: IPv6 has no broadcast address after it."""
    return int(cidr.broadcast_address) - (1 if cidr.version == 4 else 0)


def check_gateway(cidr: Range, gateway_ip: str) -> str:
    """Return the gateway in its plain form; refuse one that isn't a host's address in `cidr`."""
    try:
        gateway = plain_address(gateway_ip)
    except ValueError as error:
        raise InvalidInput(f"gateway_ip '{gateway_ip}' is not an IP address.") from error
    if not holds(cidr, gateway):
        raise InvalidInput(f"Gateway {gateway} is not valid on subnet {cidr}.")
    return str(gateway)


def default_pools(cidr: Range, gateway_ip: str | None) -> list[Pool]:
    """Return all hosts' addresses of `cidr` but the gateway."""
    first, last = first_address(cidr), last_address(cidr)
    if gateway_ip is None:
        return _pools(cidr, [(first, last)])
    gateway = int(ipaddress.ip_address(gateway_ip))
    return _pools(cidr, [(first, gateway - 1), (gateway + 1, last)])


def check_pools(
    cidr: Range, gateway_ip: str | None, wanted: Sequence[Mapping[str, Any]]
) -> list[Pool]:
    """Return `wanted` in plain form and order, or refuse them."""
    ranges = sorted(_pool_range(cidr, pool) for pool in wanted)
    for (_, last), (first, _) in itertools.pairwise(ranges):
        if first <= last:
            raise OverlappingAllocationPools(
                f"Found overlapping allocation pools at {_as(cidr, first)} for subnet "
                f"{cidr}. Set them apart."
            )
    gateway = int(ipaddress.ip_address(gateway_ip)) if gateway_ip else -1
    if any(first <= gateway <= last for first, last in ranges):
        raise GatewayConflictWithAllocationPools(
            f"Gateway ip {gateway_ip} conflicts with an allocation pool of subnet {cidr}. "
            "Leave it out of the pools."
        )
    return _pools(cidr, ranges)


def check_nameservers(ip_version: int, wanted: Sequence[str]) -> list[str]:
    """Return DNS servers' addresses in plain form, each once."""
    return list(dict.fromkeys(_address(ip_version, text, "dns_nameservers") for text in wanted))


def check_routes(ip_version: int, wanted: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return host routes in plain form."""
    routes = []
    for route in wanted:
        try:
            destination = plain_range(route["destination"])
        except ValueError as error:
            raise InvalidInput(
                f"'{route['destination']}' is not an IP range (host_routes): {error}."
            ) from error
        if destination.version != ip_version:
            raise InvalidInput(
                f"'{destination}' is not an IPv{ip_version} range (host_routes). Give it to a "
                f"subnet of IPv{destination.version}."
            )
        nexthop = _address(ip_version, route["nexthop"], "host_routes")
        routes.append({"destination": str(destination), "nexthop": nexthop})
    return routes


def plain_address(text: str) -> Address:
    """Return an IP address. Raises ValueError, also for one with a zone (fe80::1%eth0)."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text!r} names an interface")
    return address


def plain_range(text: str, *, strict: bool = True) -> Range:
    """Return an IP range. Raises ValueError, also for one with a zone.

    ipaddress takes any text for a zone, line ends too, and gives it back as it is: hosts would read
    it as rules, routes and options of their own.
    """
    if "%" in text:
        raise ValueError(f"{text!r} names an interface")
    return ipaddress.ip_network(text, strict=strict)


def _address(ip_version: int, text: str, where: str) -> str:
    try:
        address = plain_address(text)
    except ValueError as error:
        raise InvalidInput(f"'{text}' is not a valid IP address ({where}).") from error
    if address.version != ip_version:
        raise InvalidInput(f"'{text}' is not an IPv{ip_version} address ({where}).")
    return str(address)


def _pool_range(cidr: Range, pool: Mapping[str, Any]) -> tuple[int, int]:
    try:
        start, end = plain_address(pool["start"]), plain_address(pool["end"])
    except ValueError as error:
        raise InvalidAllocationPool(
            f"The allocation pool {pool['start']}-{pool['end']} is not valid: {error}."
        ) from error
    if start.version != cidr.version or end.version != cidr.version:
        raise InvalidAllocationPool(
            f"The allocation pool {start}-{end} is not of IPv{cidr.version}, as subnet {cidr} is."
        )
    if int(start) > int(end):
        raise InvalidAllocationPool(
            f"The allocation pool {start}-{end} is not valid: its end comes before its start."
        )
    if int(start) < first_address(cidr) or int(end) > last_address(cidr):
        raise OutOfBoundsAllocationPool(
            f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}."
        )
    if int(start) - int(cidr.network_address) >= POSITIONS:
        raise InvalidAllocationPool(
            f"The allocation pool {start}-{end} begins beyond the first 2^63 addresses of subnet "
            f"{cidr}, which is as far as addresses are given out. Begin it earlier."
        )
    return int(start), int(end)


def _pools(cidr: Range, ranges: Iterable[tuple[int, int]]) -> list[Pool]:
    return [
        {"start": _as(cidr, first), "end": _as(cidr, last)}
        for first, last in ranges
        if first <= last
    ]


def _as(cidr: Range, number: int) -> str:
    kind = ipaddress.IPv4Address if cidr.version == 4 else ipaddress.IPv6Address
    return str(kind(number))
