"""Addresses: which of a subnet's are free, and taking one without a race.

Taking is an INSERT in a savepoint: the table's key decides who gets an address. Finding one costs
the same at ten used addresses as at sixty thousand: some addresses drawn from the pools are looked
up at once, and only where all of them are taken does SQL look for a gap.
"""

import ipaddress
import secrets
from collections.abc import Iterable, Sequence

from sqlalchemy import delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core.network_faults import (
    AllocationOnAutoAddressSubnet,
    InvalidIpForNetwork,
    InvalidIpForSubnet,
    IpAddressGenerationFailure,
    IpAddressInUse,
)
from controller.core.subnet_ranges import (
    POSITIONS,
    Address,
    first_address,
    last_address,
    plain_address,
)
from controller.db.models import IPAllocation, Port, Subnet

# Drawn at once. With 92 of 100 addresses taken, all of 64 are taken once in 200 tries.
PROBES = 64
# Pools this small are looked through whole, which finds a gap for sure.
SMALL_POOL = 256
# Others may take what was found free just before; each such race costs a try.
TRIES = 20

_random = secrets.SystemRandom()
# Modes in which guests make their addresses themselves, of the prefix and their MAC address.
AUTOMATIC = ("slaac", "dhcpv6-stateless")


def parse(text: str, what: str) -> Address:
    """Return `text` as an address; `what` names it in the refusal."""
    try:
        return plain_address(text)
    except ValueError as error:
        raise InvalidIpForSubnet(f"'{text}' is not an IP address ({what}): {error}.") from error


def is_automatic(subnet: Subnet) -> bool:
    """Whether ports have the addresses there that their guests make themselves (SLAAC)."""
    return subnet.ipv6_address_mode in AUTOMATIC or subnet.ipv6_ra_mode in AUTOMATIC


def automatic(subnet: Subnet, mac_address: str) -> str:
    """Return the address that a guest makes itself: the /64 prefix and EUI-64 (RFC 4291)."""
    octets = bytearray.fromhex(mac_address.replace(":", ""))
    octets[0] ^= 2
    interface = bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])
    network = ipaddress.IPv6Network(subnet.cidr)
    return str(network.network_address + int.from_bytes(interface, "big"))


def subnet_of(subnets: Iterable[Subnet], ip_address: str, network_id: str) -> Subnet:
    """Return the one of the network's `subnets` that has `ip_address`."""
    address = parse(ip_address, "fixed_ips")
    for subnet in subnets:
        if address in ipaddress.ip_network(subnet.cidr):
            return subnet
    raise InvalidIpForNetwork(
        f"IP address {ip_address} is not a valid IP for any of the subnets on network {network_id}."
        " Choose one of a subnet's range."
    )


def check_usable(subnet: Subnet, ip_address: str) -> str:
    """Return `ip_address` in its plain form; refuse one that no port in `subnet` can have."""
    address, network = parse(ip_address, "fixed_ips"), ipaddress.ip_network(subnet.cidr)
    if address not in network:
        raise InvalidIpForSubnet(
            f"IP address {address} is not a valid IP for subnet {subnet.id} ({subnet.cidr})."
        )
    if not first_address(network) <= int(address) <= last_address(network):
        raise InvalidIpForSubnet(
            f"IP address {address} is the network or broadcast address of subnet {subnet.id} "
            f"({subnet.cidr}). Choose one between them."
        )
    if str(address) == subnet.gateway_ip:
        raise IpAddressInUse(
            f"IP address {address} is the gateway of subnet {subnet.id}. Choose another."
        )
    return str(address)


def take(session: Session, subnet: Subnet, port_id: str, ip_address: str) -> IPAllocation:
    """Give the port this very address, inside or outside of the pools, or raise IpAddressInUse."""
    address = check_usable(subnet, ip_address)
    taken = _insert_all(session, subnet, [(port_id, address)])
    if not taken:
        raise IpAddressInUse(
            f"Unable to complete operation for network {subnet.network_id}. The IP address "
            f"{address} is in use. Choose another, or leave it out to be given one."
        )
    return taken[0]


def take_automatic(session: Session, subnet: Subnet, ports: Sequence[Port]) -> None:
    """Give each port the address that its guest makes itself; raise IpAddressInUse for a taken one.

    One statement for many ports, in batches of what a statement takes.
    """
    wanted = [(port.id, automatic(subnet, port.mac_address)) for port in ports]
    if wanted and not _insert_all(session, subnet, wanted):
        raise IpAddressInUse(
            f"Unable to complete operation for network {subnet.network_id}. An address that a "
            f"port's MAC address makes in subnet {subnet.id} ({subnet.cidr}) is in use. Choose "
            "another MAC address."
        )


def check_named(subnet: Subnet, port: Port, ip_address: str) -> None:
    """Refuse a chosen address where guests make their own."""
    if not is_automatic(subnet):
        return
    own = automatic(subnet, port.mac_address)
    if str(parse(ip_address, "fixed_ips")) != own:
        raise AllocationOnAutoAddressSubnet(
            f"IPv6 address {ip_address} can not be directly assigned to a port on subnet "
            f"{subnet.id} since the subnet is configured for automatic addresses: the port's is "
            f"{own}. Name the subnet alone."
        )


def take_gateway(session: Session, subnet: Subnet, port_id: str) -> IPAllocation:
    """Give the port of a router the gateway's address of `subnet`, or raise IpAddressInUse."""
    assert subnet.gateway_ip is not None  # noqa: S101 -- the caller has looked
    taken = _insert_all(session, subnet, [(port_id, subnet.gateway_ip)])
    if not taken:
        raise IpAddressInUse(
            f"Unable to complete operation for network {subnet.network_id}. The IP address "
            f"{subnet.gateway_ip} is in use. Add the router by a port with another address."
        )
    return taken[0]


def allocate(session: Session, subnet: Subnet, port_id: str) -> IPAllocation:
    """Give the port a free address of the subnet's pools, or raise IpAddressGenerationFailure."""
    for _ in range(TRIES):
        position = find_free(session, subnet)
        if position is None:
            break
        taken = _insert(session, subnet, port_id, position)
        if taken is not None:
            return taken
    raise IpAddressGenerationFailure(
        f"No more IP addresses available on subnet {subnet.id} of network {subnet.network_id}. "
        "Delete ports that nobody needs, or widen its allocation pools."
    )


def allocate_first(session: Session, subnet: Subnet, port_id: str) -> IPAllocation:
    """Give the port the first address of the pools if it is free, else any."""
    pools = _ranges(subnet)
    taken = _insert(session, subnet, port_id, pools[0][0]) if pools else None
    return taken or allocate(session, subnet, port_id)


def allocate_on(session: Session, subnets: Sequence[Subnet], port_id: str) -> IPAllocation:
    """Give the port an address of the first of a network's `subnets` that has one left."""
    failure: IpAddressGenerationFailure | None = None
    for subnet in subnets:
        try:
            return allocate(session, subnet, port_id)
        except IpAddressGenerationFailure as error:
            failure = failure or error
    assert failure is not None  # noqa: S101 -- callers have a subnet at least
    raise failure


def allocate_each(session: Session, subnets: Sequence[Subnet], ports: Sequence[Port]) -> None:
    """Give each port of a network with `subnets` an address of each IP version.

    Of several subnets of a version, the first that has one left; of those in which guests make
    their addresses themselves, each.
    """
    port_ids = [port.id for port in ports]
    for version in (4, 6):
        given = [
            subnet
            for subnet in subnets
            if subnet.ip_version == version and not is_automatic(subnet)
        ]
        if given:
            _allocate_each(session, given, port_ids)
    for subnet in subnets:
        if is_automatic(subnet):
            take_automatic(session, subnet, ports)


def _allocate_each(session: Session, subnets: Sequence[Subnet], port_ids: Sequence[str]) -> None:
    """Give each port an address of one of `subnets`, as `allocate_on` does for one.

    As many statements for many ports as for one, unless the pools are nearly used up or others take
    what was found free just before.
    """
    free = _some_free(session, subnets[0], len(port_ids))
    some = [
        (port_id, _address_at(subnets[0], position))
        for port_id, position in zip(port_ids, free, strict=False)
    ]
    given = len(some) if _insert_all(session, subnets[0], some) else 0
    for port_id in port_ids[given:]:
        allocate_on(session, subnets, port_id)


def find_free(session: Session, subnet: Subnet) -> int | None:
    """Return the position of an address in the pools that nobody has, None when there is none."""
    ranges = _ranges(subnet)
    found = _some_free(session, subnet, 1)
    if found or _size(ranges) <= SMALL_POOL:
        return found[0] if found else None
    start = _nth(ranges, _random.randrange(_size(ranges)))
    return _find_gap(session, subnet.id, ranges, start)


def release(session: Session, port_ids: Sequence[str]) -> None:
    """Free all addresses of these ports."""
    session.execute(delete(IPAllocation).where(IPAllocation.port_id.in_(port_ids)))


def _insert(session: Session, subnet: Subnet, port_id: str, position: int) -> IPAllocation | None:
    """Return the allocation, or None when somebody has the address."""
    taken = _insert_all(session, subnet, [(port_id, _address_at(subnet, position))])
    return taken[0] if taken else None


def _insert_all(
    session: Session, subnet: Subnet, wanted: Sequence[tuple[str, str]]
) -> list[IPAllocation]:
    """Return the allocations of (port id, address); none when somebody has one of them."""
    allocations = [
        IPAllocation(
            subnet_id=subnet.id,
            ip_address=address,
            position=_kept(subnet, address),
            port_id=port_id,
        )
        for port_id, address in wanted
    ]
    try:
        with session.begin_nested():
            session.add_all(allocations)
    except IntegrityError:
        return []
    return allocations


def _address_at(subnet: Subnet, position: int) -> str:
    return str(ipaddress.ip_network(subnet.cidr).network_address + position)


def _position(subnet: Subnet, address: str) -> int:
    network = ipaddress.ip_network(subnet.cidr)
    return int(ipaddress.ip_address(address)) - int(network.network_address)


def _kept(subnet: Subnet, address: str) -> int | None:
    """Return the position as it is kept; nobody looks for a gap where it is none."""
    position = _position(subnet, address)
    return position if position < POSITIONS else None


def _ranges(subnet: Subnet) -> list[tuple[int, int]]:
    """Return the pools as (first, last) positions, as far as addresses are given out."""
    return sorted(
        (_position(subnet, pool["start"]), min(_position(subnet, pool["end"]), POSITIONS - 1))
        for pool in subnet.allocation_pools
    )


def _size(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _some_free(session: Session, subnet: Subnet, count: int) -> list[int]:
    """Return at most `count` positions in the pools that nobody has, by one look at some drawn."""
    ranges = _ranges(subnet)
    size = _size(ranges)
    drawn_count = size if size <= SMALL_POOL else min(size, max(PROBES, 3 * count))
    drawn = [_nth(ranges, index) for index in _random.sample(range(size), drawn_count)]
    return _free_of(session, subnet.id, drawn)[:count] if drawn else []


def _nth(ranges: Sequence[tuple[int, int]], index: int) -> int:
    """Return the position of the pools' `index`-th address."""
    for first, last in ranges:
        if index <= last - first:
            return first + index
        index -= last - first + 1
    raise IndexError(index)


def _free_of(session: Session, subnet_id: str, positions: Sequence[int]) -> list[int]:
    """Return those of `positions` that nobody has, in their order."""
    taken = set(
        session.scalars(
            select(IPAllocation.position).where(
                IPAllocation.subnet_id == subnet_id, IPAllocation.position.in_(positions)
            )
        )
    )
    return [position for position in positions if position not in taken]


def _find_gap(
    session: Session, subnet_id: str, ranges: Sequence[tuple[int, int]], start: int
) -> int | None:
    """Return a free position, looking upward from `start` first so that racers spread out."""
    above = [(max(first, start), last) for first, last in ranges if last >= start]
    below = [(first, min(last, start - 1)) for first, last in ranges if first < start]
    for first, last in above + below:
        if _free_of(session, subnet_id, [first]):
            return first
        free = _end_of_run(session, subnet_id, first, last)
        if free is not None:
            return free
    return None


def _end_of_run(session: Session, subnet_id: str, first: int, last: int) -> int | None:
    """Return the first free position above a taken one, between `first` and `last`.

    Each taken one is laid beside its next by reading them once in their order. A look for each
    one's neighbour (NOT EXISTS) is quadratic where a database has planned it for a small table, as
    PostgreSQL does with a prepared statement: 30 s and more at 60,000.
    """
    following = func.lead(IPAllocation.position).over(order_by=IPAllocation.position)
    taken = (
        select(IPAllocation.position, following.label("following"))
        .where(
            IPAllocation.subnet_id == subnet_id,
            IPAllocation.position >= first,
            IPAllocation.position <= last,
        )
        .subquery()
    )
    before = session.scalar(
        select(taken.c.position)
        .where(
            taken.c.position < last,
            or_(taken.c.following.is_(None), taken.c.following != taken.c.position + 1),
        )
        .order_by(taken.c.position)
        .limit(1)
    )
    return None if before is None else before + 1
