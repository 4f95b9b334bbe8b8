"""Segments: the piece of the wires that a network holds, and taking one without a race.

A flat network holds a physical network, a VLAN network an id on one, a VXLAN network an id of the
overlay, a local one nothing. The key on `networks.segment` decides who gets it. Ids that nobody
chose are drawn from the ranges of the settings, some at once; only where all of those are taken are
the ids in use read.
"""

import itertools
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core.network_faults import (
    FlatNetworkInUse,
    InvalidInput,
    NoNetworkAvailable,
    TunnelIdInUse,
    VlanIdInUse,
)
from controller.db.models import Network
from controller.segment_ranges import BOUNDS, VLAN, VXLAN, parse
from controller.settings import Settings

FLAT, LOCAL = "flat", "local"
TYPES = {
    FLAT: "a physical network of the hosts, untagged",
    VLAN: "a VLAN of a physical network",
    VXLAN: "an overlay between the hosts",
    LOCAL: "isolated on each host",
}
# IPv4, UDP, VXLAN and the inner Ethernet header; an underlay with IPv6 has 20 bytes more.
VXLAN_OVERHEAD = 50
MTU_MIN = 576
# Below it, the kernel has no IPv6 on an interface.
IPV6_MTU_MIN = 1280
# How a network's ports are plugged into it on a host, and what clients are told of that.
DRIVERS = {"bridge": "bridge"}
PROBES = 64
# Others may take what was found free just before; each such race costs a try.
TRIES = 20

_random = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class Segment:
    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None

    @property
    def key(self) -> str | None:
        """What is unique among networks; None where there is nothing to hold."""
        if self.network_type == LOCAL:
            return None
        parts = (self.network_type, self.physical_network, self.segmentation_id)
        return ":".join(str(part) for part in parts if part is not None)


def insert(session: Session, settings: Settings, network: Network) -> None:
    """Insert `network` with the segment that its columns ask for, or with a free one.

    Raises InvalidInput for what can't be, FlatNetworkInUse, VlanIdInUse, TunnelIdInUse, and
    NoNetworkAvailable when the ranges of the settings are used up.
    """
    wanted = _wanted(settings, network)
    mtu = network.mtu
    for segment in itertools.islice(_candidates(session, settings, wanted), TRIES):
        network.network_type = segment.network_type
        network.physical_network = segment.physical_network
        network.segmentation_id = segment.segmentation_id
        network.segment = segment.key
        network.mtu = check_mtu(settings, network, mtu)
        try:
            with session.begin_nested():
                session.add(network)
        except IntegrityError as error:
            if _is_complete(wanted):
                raise _in_use(segment) from error
        else:
            return
    raise NoNetworkAvailable(
        f"Unable to create the network. No {wanted.network_type} network is available for "
        "allocation: the ids that the settings give out are all in use. Delete networks that "
        "nobody needs, or ask your operator for a wider range."
    )


def check_mtu(settings: Settings, network: Network, wanted: int | None) -> int:
    """Return the largest packet of a network of this type, or `wanted` if it is no larger."""
    largest = settings.physical_mtu
    if network.network_type == VXLAN:
        largest -= VXLAN_OVERHEAD
    if wanted is None:
        return largest
    if wanted < MTU_MIN:
        raise InvalidInput(
            f"Requested MTU {wanted} is too small: IPv4 needs {MTU_MIN}. Ask for more, or leave it "
            "out."
        )
    if wanted > largest:
        raise InvalidInput(
            f"Requested MTU {wanted} is too big: a {network.network_type} network has room for "
            f"{largest} at most. Ask for less, or leave it out."
        )
    return wanted


def _wanted(settings: Settings, network: Network) -> Segment:
    """Return what the network's columns ask for, or refuse it; without any, a tenant's own."""
    kind, physical, number = (
        network.network_type, network.physical_network, network.segmentation_id,
    )  # fmt: skip
    if kind is None and physical is None and number is None:
        return Segment(_tenant_type(settings))
    if kind is None:
        kind = FLAT
    if kind not in TYPES:
        raise InvalidInput(
            f"Unknown provider:network_type '{kind}'. There are: "
            f"{', '.join(f'{name} ({what})' for name, what in TYPES.items())}."
        )
    if kind in (FLAT, LOCAL) and number is not None:
        raise InvalidInput(
            f"provider:segmentation_id is not for {kind} networks. Leave it out, or ask for "
            f"{VLAN} or {VXLAN}."
        )
    if kind == FLAT and not physical:
        raise InvalidInput("A flat network needs provider:physical_network: what it stands on.")
    if kind in (LOCAL, VXLAN) and physical:
        raise InvalidInput(f"A {kind} network has no provider:physical_network. Leave it out.")
    if kind == VLAN and not physical and (number is not None or not settings.vlan_ids):
        raise InvalidInput("A vlan network needs provider:physical_network: what it stands on.")
    if number is not None:
        lowest, highest = BOUNDS[kind]
        if not lowest <= number <= highest:
            raise InvalidInput(
                f"provider:segmentation_id {number} is out of range for {kind}: {lowest} to "
                f"{highest}."
            )
    if kind == VLAN and number is None and physical and physical not in settings.vlan_ids:
        raise InvalidInput(
            f"No VLAN ids are given out on physical network {physical}. Name the "
            "provider:segmentation_id, or add the physical network to the setting vlan_ids."
        )
    return Segment(kind, physical, number)


def _tenant_type(settings: Settings) -> str:
    if not settings.tenant_network_type:
        raise NoNetworkAvailable(
            "Unable to create the network. This cloud gives projects no networks of their own: ask "
            "your operator to make one."
        )
    return settings.tenant_network_type


def _is_complete(wanted: Segment) -> bool:
    """Whether this very segment is meant, or an id is still to be found."""
    return wanted.network_type in (FLAT, LOCAL) or wanted.segmentation_id is not None


def _candidates(session: Session, settings: Settings, wanted: Segment) -> Iterator[Segment]:
    """Yield segments to try, until nothing is left."""
    if _is_complete(wanted):
        yield wanted
        return
    places: dict[str | None, list[range]]
    if wanted.network_type == VXLAN:
        places = {None: parse(VXLAN, settings.vxlan_ids)}
    else:
        places = {
            name: parse(VLAN, texts)
            for name, texts in settings.vlan_ids.items()
            if wanted.physical_network in (None, name)
        }
    for physical, ranges in places.items():
        while (number := _find_free(session, wanted.network_type, physical, ranges)) is not None:
            yield Segment(wanted.network_type, physical, number)


def _find_free(
    session: Session, kind: str, physical: str | None, ranges: Sequence[range]
) -> int | None:
    size = sum(map(len, ranges))
    drawn = [_nth(ranges, index) for index in _random.sample(range(size), min(size, PROBES))]
    by_key = {Segment(kind, physical, number).key: number for number in drawn}
    taken = set(session.scalars(select(Network.segment).where(Network.segment.in_(by_key))))
    for key, number in by_key.items():
        if key not in taken:
            return number
    if size <= PROBES:
        return None
    used = set(
        session.scalars(
            select(Network.segmentation_id).where(
                Network.network_type == kind, Network.physical_network == physical
            )
        )
    )
    free = [number for each in ranges for number in each if number not in used]
    return _random.choice(free) if free else None


def _nth(ranges: Sequence[range], index: int) -> int:
    for each in ranges:
        if index < len(each):
            return each[index]
        index -= len(each)
    raise IndexError(index)


def _in_use(segment: Segment) -> FlatNetworkInUse | VlanIdInUse | TunnelIdInUse:
    if segment.network_type == FLAT:
        return FlatNetworkInUse(
            f"Unable to create the flat network. Physical network {segment.physical_network} is in "
            "use. Share the network that has it, or name another physical network."
        )
    if segment.network_type == VLAN:
        return VlanIdInUse(
            f"Unable to create the network. The VLAN {segment.segmentation_id} on physical network "
            f"{segment.physical_network} is in use. Choose another, or leave it out."
        )
    return TunnelIdInUse(
        f"Unable to create the network. The tunnel ID {segment.segmentation_id} is in use. Choose "
        "another, or leave it out to be given one."
    )
