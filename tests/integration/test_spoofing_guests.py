"""What a guest sends in another's name, or as somebody it is not, leaves its own card and no more.

From inside a real guest; beside it are honest ones on its host and on another, whose rules allow
all, so that it is the sender's rules that keep it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import pytest

from lab.waiting import wait_until
from tests.fixtures import frames
from tests.fixtures.cloud import HOSTS, CloudForTests
from tests.fixtures.frames import BROADCAST, Station
from tests.fixtures.guests import Guest, RoutedNetwork, await_told, check_clean
from tests.fixtures.wire import Capture, await_frame, capturing, send, take_along, taken

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PREFIX, PREFIX6 = "10.61.1", "fd61:1::"
GATEWAY, UNUSED, UNUSED6 = f"{PREFIX}.1", f"{PREFIX}.99", f"{PREFIX6}99"
STRANGE_MAC = "fa:16:3e:99:99:99"
ALL = Station(BROADCAST, "255.255.255.255", "ff02::1")
PERL, DNSMASQ = "/usr/bin/perl", "/usr/sbin/dnsmasq"


@dataclass
class World:
    """`rogue` and `near` are on one host, `far` on the other."""

    cloud: CloudForTests
    network: RoutedNetwork
    rogue: Guest
    near: Guest
    far: Guest

    @property
    def places(self) -> dict[str, tuple[str, str]]:
        overlay = "nvx" + self.network.network.id.replace("-", "")[:11]
        return {
            "the rogue's tap": (self.rogue.host, self.rogue.tap),
            "its neighbour's tap": (self.near.host, self.near.tap),
            "the way to other hosts": (self.rogue.host, overlay),
            "the far guest's tap": (self.far.host, self.far.tap),
        }

    def sent(self, wanted: Attempts) -> dict[str, Capture]:
        """Have the rogue send these, and an honest frame; return what is where when that came."""
        # An announcement of its own address, told from others by what it asks for.
        last = frames.arp_question(station(self.rogue), UNUSED)
        with capturing(self.cloud, self.places) as captures:
            send(self.rogue, [*chain.from_iterable(wanted.values()), last])
            for where, capture in captures.items():
                await_frame(capture, last, where)
        return captures


def station(guest: Guest) -> Station:
    return Station(guest.mac, guest.address, guest.address6)


@pytest.fixture(scope="module")
def world(cloud: CloudForTests) -> Iterator[World]:
    network = RoutedNetwork(cloud, "spoofed", f"{PREFIX}.0/24", f"{PREFIX6}/64")
    group = cloud.tenant.network.create_security_group(name="open")
    try:
        for version in ("IPv4", "IPv6"):
            cloud.tenant.network.create_security_group_rule(
                security_group_id=group.id, direction="ingress", ethertype=version
            )
        network.make()
        hosts = {"rogue": HOSTS[0], "near": HOSTS[0], "far": HOSTS[1]}
        v4, v6 = [{"subnet_id": each.id} for each in network.subnets]
        opened = {
            name: {
                "security_groups": [group.id],
                "fixed_ips": [{**v4, "ip_address": f"{PREFIX}.{number}"}, v6],
            }
            for number, name in enumerate(hosts, 11)
        }
        guests = network.boot(hosts, **opened)
        for guest in guests:
            # Its own address by the network's advertisements, which are the only ones.
            guest.says(f"ip -6 addr show dev eth0 | grep -v tentative | grep -q {guest.address6}/")
        take_along(guests[0], PERL, DNSMASQ)
        yield World(cloud, network, *guests)
    finally:
        network.unmake()
        cloud.tenant.network.delete_security_group(group)
    await_told(cloud)
    check_clean(cloud, HOSTS)


def of(address: str, station: Station) -> Station:
    """The station's MAC with another's address."""
    version6 = ":" in address
    return Station(
        station.mac,
        station.address if version6 else address,
        address if version6 else station.address6,
    )


def named(mac: str, station: Station) -> Station:
    """The station's addresses with another's MAC."""
    return Station(mac, station.address, station.address6)


def local(station: Station) -> Station:
    return Station(station.mac, station.address, frames.link_local(station.mac))


Attempts = dict[str, list[bytes]]


def attempts(rogue: Station, near: Station, far: Station) -> Attempts:
    """What no guest may send: to its neighbour, to the far guest, or to all."""
    both = (near, far)
    r, local_r = rogue, local(rogue)
    own_mac_of_nobody = named(STRANGE_MAC, r)
    return {
        "IPv4 of its neighbour": [frames.ping(of(near.address, r), far)],
        "IPv4 of a far guest": [frames.ping(of(far.address, r), near)],
        "IPv4 of the gateway": [frames.ping(of(GATEWAY, r), each) for each in both],
        "IPv4 of nobody": [frames.ping(of(UNUSED, r), each) for each in both],
        "IPv4 in a VLAN": [frames.tagged(frames.ping(of(near.address, r), ALL), 7)],
        "MAC of its neighbour": [frames.ping(named(near.mac, r), far)],
        "MAC of a far guest": [frames.ping(named(far.mac, r), near)],
        "MAC of nobody": [frames.ping(own_mac_of_nobody, each) for each in both],
        "MAC and IPv4 of its neighbour": [frames.ping(near, far)],
        "ARP for its neighbour": [frames.arp(of(near.address, r), near.address)],
        "ARP for a far guest": [frames.arp(of(far.address, r), far.address)],
        "ARP for the gateway": [frames.arp(of(GATEWAY, r), GATEWAY)],
        "ARP question as the gateway": [frames.arp_question(of(GATEWAY, r), near.address)],
        "ARP that names a MAC of nobody": [frames.arp(own_mac_of_nobody, r.address, source=r.mac)],
        "ARP from a MAC of nobody": [frames.arp(r, r.address, source=STRANGE_MAC)],
        "IPv6 of its neighbour": [frames.ping6(of(near.address6, r), far)],
        "IPv6 of nobody": [frames.ping6(of(UNUSED6, r), each) for each in both],
        "IPv6 from a MAC of nobody": [frames.ping6(own_mac_of_nobody, near)],
        "link-local IPv6 of its neighbour": [frames.ping6(of(local(near).address6, r), far)],
        "NA for its neighbour": [frames.advertisement(r, near.address6)],
        "NA for a far guest": [frames.advertisement(local_r, far.address6)],
        "NA as its neighbour": [frames.advertisement(of(near.address6, r), near.address6)],
        "NA behind options": [frames.advertisement(r, near.address6, extended=True)],
        "redirect": [frames.redirect(local_r, near, far.address6)],
        "RA": [frames.router_advertisement(local_r, "fd99::")],
        "RA in fragments": frames.router_advertisement_in_fragments(local_r, "fd99::"),
        "DHCP answer": [frames.udp(r, each, (67, 68)) for each in (*both, ALL)],
        "DHCP answer from another port": [frames.udp(r, near, (6767, 68))],
        "DHCPv6 answer": [frames.udp6(local_r, local(each), (547, 546)) for each in both],
        "DHCPv6 answer from another port": [frames.udp6(r, near, (5547, 546))],
    }


def honest(rogue: Station, near: Station, far: Station) -> Attempts:
    """The same kinds of frames in the guest's own name."""
    r, both = rogue, (near, far)
    return {
        "IPv4": [frames.ping(r, each) for each in both],
        "ARP": [frames.arp(r, r.address)],
        "ARP question": [frames.arp_question(r, near.address)],
        "IPv6": [frames.ping6(r, each) for each in both],
        "link-local IPv6": [frames.ping6(local(r), local(each)) for each in both],
        "NA": [frames.advertisement(r, r.address6)],
        "NA of its link-local address": [frames.advertisement(local(r), local(r).address6)],
        "UDP": [frames.udp(r, each, (6767, 6868)) for each in both],
        "UDP over IPv6": [frames.udp6(r, each, (6767, 6868)) for each in both],
    }


def made(world: World, table: Callable[[Station, Station, Station], Attempts]) -> Attempts:
    return table(station(world.rogue), station(world.near), station(world.far))


def seen(captures: dict[str, Capture], wanted: Attempts) -> dict[str, list[str]]:
    """Return where each attempt was seen, any of its frames: at its own tap, all of them."""
    own, *others = captures.items()
    return {
        name: [
            *([own[0]] if all(own[1].has(each) for each in sent) else []),
            *(where for where, capture in others if any(capture.has(each) for each in sent)),
        ]
        for name, sent in wanted.items()
    }


def go_on(world: World, *had: str) -> None:
    """The honest ones reach each other and their gateway, and know them by their own MACs.

    They may remember the rogue by its addresses, and by those that it `had`.
    """
    rogue, near, far = world.rogue, world.near, world.far
    for one, other in ((near, far), (far, near)):
        assert one.pings(other.address)
        assert one.pings(other.address6)
        assert one.connects(other.address)
        assert one.pings(GATEWAY)
        known = one.says("ip neigh show dev eth0")
        for address in (other.address, other.address6):
            assert f"{address} lladdr {other.mac}" in known, known
        of_rogue = {line.split()[0] for line in known.splitlines() if rogue.mac in line}
        assert of_rogue <= {*rogue.addresses, *had, frames.link_local(rogue.mac)}


def check_seen(world: World, wanted: Attempts, *, arrives: bool) -> None:
    """All of it is really sent; it arrives, wherever it was for, or is nowhere else."""
    own, *others = world.places
    expected = [own, *(others if arrives else [])]
    found = seen(world.sent(wanted), wanted)
    wrong = {name: where for name, where in found.items() if where != expected}
    assert wrong == {}, wrong


def test_what_a_guest_sends_in_its_own_name_arrives(world: World) -> None:
    check_seen(world, made(world, honest), arrives=True)
    go_on(world)


def test_what_it_sends_as_another_is_dropped_and_the_others_go_on(world: World) -> None:
    check_seen(world, made(world, attempts), arrives=False)
    go_on(world)


def test_servers_that_a_guest_starts_serve_nobody(world: World) -> None:
    rogue, near = world.rogue, world.near
    server = (
        f"{taken(DNSMASQ)} --port=0 --conf-file=/dev/null --user=root --group=root "
        f"--interface=eth0 --dhcp-authoritative --dhcp-range={PREFIX}.200,{PREFIX}.210,600 "
        "--enable-ra --dhcp-range=fd99::,ra-only --dhcp-leasefile=/run/leases "
        "--pid-file=/run/rogue.pid"
    )
    ask = (
        "echo 'echo $1 $ip $serverid' > /run/told; chmod +x /run/told; "
        "udhcpc -i eth0 -f -n -q -t 5 -T 3 -s /run/told"
    )
    with capturing(world.cloud, world.places) as captures:
        own, *others = captures.values()
        try:
            rogue.says(f"ip addr add fd99::1/64 dev eth0 && {server}")
            (bound,) = [
                line.split() for line in near.says(ask).splitlines() if line.startswith("bound")
            ]
            for kind in (is_offer, is_advertisement):
                wait_until(
                    lambda kind=kind: any(kind(rogue, each) for each in own.frames),
                    what=f"the rogue sends what {kind.__name__}", timeout_s=60,
                )  # fmt: skip
            go_on(world)
        finally:
            rogue.run("kill $(cat /run/rogue.pid); ip addr del fd99::1/64 dev eth0")
    assert bound[1] == near.address
    assert bound[2] != rogue.address
    for capture in others:
        assert not any(is_offer(rogue, each) for each in capture.frames)
        assert not any(is_advertisement(rogue, each) for each in capture.frames)
    for guest in (near, world.far):
        assert "fd99:" not in guest.says("ip -6 addr; ip -6 route")
        assert frames.link_local(rogue.mac) not in guest.says("ip -6 route")


def is_offer(guest: Guest, frame: bytes) -> bool:
    """Whether it is an answer of DHCP by the guest."""
    return frames.source(frame) == guest.mac and frame[12:14] + frame[34:38] == bytes.fromhex(
        "0800 0043 0044"
    )


def is_advertisement(guest: Guest, frame: bytes) -> bool:
    """Whether it is a router advertisement by the guest."""
    return frames.source(frame) == guest.mac and frame[12:14] + frame[54:55] == bytes.fromhex(
        "86dd 86"
    )


PAIRS = [
    {"ip_address": UNUSED},
    {"ip_address": f"{PREFIX}.32/27"},
    {"ip_address": UNUSED6},
    {"ip_address": f"{PREFIX}.98", "mac_address": STRANGE_MAC},
]


def granted(rogue: Station, near: Station, far: Station) -> Attempts:
    """What is its own by the pairs."""
    both, strange = (near, far), Station(STRANGE_MAC, f"{PREFIX}.98")
    of_range = of(f"{PREFIX}.40", rogue)
    return {
        "IPv4": [frames.ping(of(UNUSED, rogue), each) for each in both],
        "ARP": [frames.arp(of(UNUSED, rogue), UNUSED)],
        "IPv4 of a range": [frames.ping(of_range, each) for each in both],
        "ARP of a range": [frames.arp(of_range, of_range.address)],
        "IPv6": [frames.ping6(of(UNUSED6, rogue), each) for each in both],
        "NA": [frames.advertisement(rogue, UNUSED6)],
        "IPv4 and MAC": [frames.ping(strange, each) for each in both],
        "ARP of the MAC": [frames.arp(strange, strange.address)],
    }


def refused(rogue: Station, near: Station, far: Station) -> Attempts:
    """What is not, though close by."""
    others = attempts(rogue, near, far)
    return {
        **{
            name: others[name]
            for name in others
            if name not in ("IPv4 of nobody", "IPv6 of nobody")
        },
        "beyond the range": [frames.ping(of(f"{PREFIX}.64", rogue), far)],
        "ARP beyond the range": [frames.arp(of(f"{PREFIX}.31", rogue), f"{PREFIX}.31")],
        "another's address, its MAC": [frames.ping(of(f"{PREFIX}.98", rogue), far)],
        "own address, another MAC": [frames.ping(named(STRANGE_MAC, rogue), far)],
    }


def test_allowed_address_pairs_are_a_guests_own_while_it_has_them(world: World) -> None:
    rogue, far = world.rogue, world.far
    rogue.says(f"ip addr add {UNUSED}/24 dev eth0; ip addr add {UNUSED6}/64 dev eth0")
    try:
        check_seen(world, made(world, granted), arrives=False)
        assert not far.pings(UNUSED)
        give(world, PAIRS)
        check_seen(world, made(world, granted), arrives=True)
        check_seen(world, made(world, refused), arrives=False)
        for guest in (world.near, far):
            assert guest.pings(UNUSED)
            assert guest.pings(UNUSED6)
        give(world, [])
        check_seen(world, made(world, granted), arrives=False)
        assert not far.pings(UNUSED)
        assert not far.pings(UNUSED6)
    finally:
        give(world, [])
        rogue.run(f"ip addr del {UNUSED}/24 dev eth0; ip addr del {UNUSED6}/64 dev eth0")
    go_on(world, UNUSED, UNUSED6)


def give(world: World, pairs: list[dict[str, str]]) -> None:
    world.network.api.update_port(world.rogue.port, allowed_address_pairs=pairs)
    await_told(world.cloud)
