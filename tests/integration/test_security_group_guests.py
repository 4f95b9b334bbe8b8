"""Each kind of security group rule, between two real guests on two hosts: what it lets through, and
that it lets nothing else through.

A case has the rules of the guest under test and, of the probes that are sent each time, those that
pass. The other guest has rules that allow all. A probe has passed when it is on the far tap.
"""

from __future__ import annotations

import itertools
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from lab.record import load_existing
from lab.waiting import wait_until
from tests.fixtures import frames
from tests.fixtures.cloud import HOSTS, CloudForTests
from tests.fixtures.frames import Station
from tests.fixtures.guests import Guest, RoutedNetwork, await_told, check_clean
from tests.fixtures.wire import Capture, await_frame, capturing, send, take_along

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PREFIX, PREFIX6 = "10.62.1", "fd62:1::"
TESTED, OTHER = f"{PREFIX}.11", f"{PREFIX}.12"
UNUSED = f"{PREFIX}.99"
Rule = dict[str, Any]

TCP = {f"tcp {port}" for port in (79, 80, 90, 100, 101)}
UDP = {"udp 53", "udp 54"}
ICMP = {"icmp 8/0", "icmp 8/5", "icmp 13/0"}
IPV4 = {*TCP, *UDP, *ICMP, "another"}
ICMP6 = {"ping6"}
IPV6 = {"tcp6 79", "tcp6 80", "udp6 53", *ICMP6}


# Of two protocols without ports, as what comes back of one is an answer to a stateful group.
THERE, BACK = frames.GRE, 99


def probes(source: Station, to: Station, number: int, protocol: int) -> dict[str, bytes]:
    """All of them; `number` makes their ports others than in the case before."""
    near = 20_000 + number
    return {
        **{f"tcp {port}": frames.tcp(source, to, (near, port)) for port in (79, 80, 90, 100, 101)},
        **{f"udp {port}": frames.udp(source, to, (near, port)) for port in (53, 54)},
        "icmp 8/0": frames.icmp(source, to, 8),
        "icmp 8/5": frames.icmp(source, to, 8, 5),
        "icmp 13/0": frames.icmp(source, to, 13),
        "another": frames.ip(source, to, protocol, struct.pack("!HH", 0, frames.IPV4)),
        **{f"tcp6 {port}": frames.tcp6(source, to, (near, port)) for port in (79, 80)},
        "udp6 53": frames.udp6(source, to, (near, 53)),
        "ping6": frames.ping6(source, to),
    }


def rule(protocol: str | None = None, low: int | None = None, high: int | None = None) -> Rule:
    ports = {"port_range_min": low, "port_range_max": low if high is None else high}
    return {"protocol": protocol, **({} if low is None else ports)}


def icmp(kind: int, code: int | None = None) -> Rule:
    return {"protocol": "icmp", "port_range_min": kind, "port_range_max": code}


def from_(prefix: str, of: Rule) -> Rule:
    return {**of, "remote_ip_prefix": prefix}


def v6(of: Rule) -> Rule:
    return {**of, "ethertype": "IPv6"}


# What passes with each rule, to the guest under test.
INGRESS: dict[str, tuple[list[Rule], set[str]]] = {
    "no rule": ([], set()),
    "a TCP port": ([rule("tcp", 80)], {"tcp 80"}),
    "a range of TCP ports": ([rule("tcp", 80, 100)], {"tcp 80", "tcp 90", "tcp 100"}),
    "TCP": ([rule("tcp")], TCP),
    "a UDP port": ([rule("udp", 53)], {"udp 53"}),
    "UDP and a TCP port": ([rule("udp"), rule("tcp", 101)], {*UDP, "tcp 101"}),
    "ICMP": ([rule("icmp")], ICMP),
    "a type of ICMP": ([icmp(8)], {"icmp 8/0", "icmp 8/5"}),
    "a type and code of ICMP": ([icmp(8, 5)], {"icmp 8/5"}),
    "another type of ICMP": ([icmp(13, 0)], {"icmp 13/0"}),
    "a protocol by its number": ([rule(str(THERE))], {"another"}),
    "any protocol": ([rule()], IPV4),
    "an address": ([from_(f"{OTHER}/32", rule())], IPV4),
    "a network": ([from_(f"{PREFIX}.0/28", rule("tcp", 80))], {"tcp 80"}),
    "another address": ([from_(f"{UNUSED}/32", rule())], set()),
    "another network": ([from_(f"{PREFIX}.16/28", rule())], set()),
    "a TCP port over IPv6": ([v6(rule("tcp", 80))], {"tcp6 80"}),
    "UDP over IPv6": ([v6(rule("udp"))], {"udp6 53"}),
    "ICMPv6": ([v6(rule("ipv6-icmp"))], ICMP6),
    "a type of ICMPv6": ([v6({**icmp(128), "protocol": "ipv6-icmp"})], ICMP6),
    "another type of ICMPv6": ([v6({**icmp(129), "protocol": "ipv6-icmp"})], set()),
    "any protocol over IPv6": ([v6(rule())], IPV6),
    "an IPv6 network": ([v6(from_(f"{PREFIX6}/64", rule("tcp")))], {"tcp6 79", "tcp6 80"}),
    "another IPv6 network": ([v6(from_("fd62:2::/64", rule()))], set()),
}
# And from it.
EGRESS: dict[str, tuple[list[Rule], set[str]]] = {
    "no rule": ([], set()),
    "a TCP port": ([rule("tcp", 80)], {"tcp 80"}),
    "a range of TCP ports": ([rule("tcp", 80, 100)], {"tcp 80", "tcp 90", "tcp 100"}),
    "a UDP port": ([rule("udp", 53)], {"udp 53"}),
    "a type of ICMP": ([icmp(13)], {"icmp 13/0"}),
    "a protocol by its number": ([rule(str(BACK))], {"another"}),
    "any protocol to an address": ([from_(f"{OTHER}/32", rule())], IPV4),
    "any protocol to another": ([from_(f"{UNUSED}/32", rule())], set()),
    "any protocol": ([rule()], IPV4),
    "TCP over IPv6": ([v6(rule("tcp"))], {"tcp6 79", "tcp6 80"}),
    "any protocol over IPv6": ([v6(rule())], IPV6),
}


@dataclass
class World:
    """`tested` has the groups `entry`, by which it is looked into from outside, and `group`."""

    cloud: CloudForTests
    network: RoutedNetwork
    groups: dict[str, Any] = field(default_factory=dict)
    tested: Guest = None  # type: ignore[assignment]  # booted once the groups are there
    other: Guest = None  # type: ignore[assignment]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def api(self) -> Any:
        return self.cloud.tenant.network

    def new_group(self, name: str, rules: list[Rule], **more: Any) -> Any:
        """Return a group that has these rules alone."""
        group = self.groups[name] = self.api.create_security_group(name=name, **more)
        for each in group.security_group_rules:
            self.api.delete_security_group_rule(each["id"])
        for each in rules:
            self.add(group, each)
        return group

    def add(self, group: Any, wanted: Rule) -> str:
        values = {"direction": "ingress", "ethertype": "IPv4", **wanted}
        made = self.api.create_security_group_rule(
            security_group_id=group.id, **{k: v for k, v in values.items() if v is not None}
        )
        return str(made.id)

    @contextmanager
    def rules(self, *wanted: Rule, of: str = "group") -> Iterator[None]:
        """Have a group have these rules too, and the hosts know."""
        ids = [self.add(self.groups[of], each) for each in wanted]
        await_told(self.cloud)
        try:
            yield
        finally:
            for each in ids:
                self.api.delete_security_group_rule(each)

    def drop(self, protocol: str) -> None:
        """Take the rules of a protocol from `group`."""
        of_group = {"security_group_id": self.groups["group"].id, "protocol": protocol}
        for each in self.api.security_group_rules(**of_group):
            self.api.delete_security_group_rule(each)
        await_told(self.cloud)

    def passed(self, source: Guest, to: Guest) -> set[str]:
        """Have `source` send all probes, and return those that came to `to`."""
        ends = [Station(each.mac, each.address, each.address6) for each in (source, to)]
        protocol = THERE if to is self.tested else BACK
        sent = probes(ends[0], ends[1], next(self.numbers), protocol)
        # Rules are not about ARP.
        last = frames.arp_question(ends[0], UNUSED)
        taps = {"from": (source.host, source.tap), "to": (to.host, to.tap)}
        with capturing(self.cloud, taps) as captures:
            send(source, [*sent.values(), last])
            for where, capture in captures.items():
                await_frame(capture, last, where)
        assert [name for name, each in sent.items() if not captures["from"].has(each)] == []
        return {name for name, each in sent.items() if captures["to"].has(each)}

    def give(self, guest: Guest, *names: str) -> None:
        groups = [self.groups[name].id for name in names]
        self.api.update_port(guest.port, security_groups=groups)
        await_told(self.cloud)


@pytest.fixture(scope="module")
def world(cloud: CloudForTests) -> Iterator[World]:
    world = World(cloud, RoutedNetwork(cloud, "ruled", f"{PREFIX}.0/24", f"{PREFIX6}/64"))
    outside = f"{load_existing(cloud.cloud.lab_dir).names.external_root_ip}/32"
    entry = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    everything = [
        {"direction": direction, "ethertype": version}
        for direction in ("ingress", "egress")
        for version in ("IPv4", "IPv6")
    ]
    try:
        world.new_group("entry", [from_(outside, entry)])
        world.new_group("group", [])
        world.new_group("all", everything)
        world.new_group("friends", [])
        stateless = [from_(outside, entry), from_(outside, {**rule("tcp"), "direction": "egress"})]
        world.new_group("stateless", [*stateless, rule("tcp", 80)], stateful=False)
        world.network.make()
        world.tested, world.other = world.network.boot(
            dict(zip(("tested", "other"), HOSTS, strict=True)),
            tested=_port(world, TESTED, "entry", "group"),
            other=_port(world, OTHER, "all"),
        )
        for guest in (world.tested, world.other):
            take_along(guest, "/usr/bin/perl")
        yield world
    finally:
        world.network.unmake()
        for group in world.groups.values():
            cloud.tenant.network.delete_security_group(group)
    await_told(cloud)
    check_clean(cloud, HOSTS)


def _port(world: World, address: str, *groups: str) -> dict[str, Any]:
    return {
        "fixed_ips": [
            {"subnet_id": world.network.subnets[0].id, "ip_address": address},
            {"subnet_id": world.network.subnets[1].id},
        ],
        "security_groups": [world.groups[each].id for each in groups],
    }


@pytest.mark.parametrize("name", INGRESS)
def test_rules_for_what_a_guest_is_sent(world: World, name: str) -> None:
    rules, wanted = INGRESS[name]
    with world.rules(*rules):
        assert world.passed(world.other, world.tested) == wanted


@pytest.mark.parametrize("name", EGRESS)
def test_rules_for_what_a_guest_sends(world: World, name: str) -> None:
    rules, wanted = EGRESS[name]
    with world.rules(*({**each, "direction": "egress"} for each in rules)):
        found = world.passed(world.tested, world.other)
        assert found == wanted


def test_a_remote_group_is_its_members_of_the_moment(world: World) -> None:
    friends = {"remote_group_id": world.groups["friends"].id}
    with world.rules(
        {**rule("tcp", 80), **friends},
        v6(friends),
        {**rule("udp", 53), **friends, "direction": "egress"},
    ):
        there, back = {"tcp 80", *IPV6}, {"udp 53"}
        for groups, is_friend in ((("all",), False), (("all", "friends"), True), (("all",), False)):
            world.give(world.other, *groups)
            found = world.passed(world.other, world.tested), world.passed(world.tested, world.other)
            assert found == ((there, back) if is_friend else (set(), set()))


ANSWER = "read said; echo $said and back"


def connects(source: Guest, to: Guest, port: int, *, version: int = 4) -> bool:
    """Whether a TCP connection is made, and carries something both ways."""
    address = to.address if version == 4 else to.address6
    said = source.run(f"echo there | timeout 6 nc -w 5 {address} {port}")
    return said.stdout == b"there and back\n"


@contextmanager
def listening(guest: Guest, port: int, script: str) -> Iterator[None]:
    """Have a guest run a script for who connects to a port."""
    serve = f"nc -ll -p {port} -e sh /run/script-{port} > /dev/null 2>&1"
    guest.says(f"echo '{script}' > /run/script-{port}; {serve} & echo $! > /run/nc-{port}")
    try:
        yield
    finally:
        guest.run(f"kill $(cat /run/nc-{port})")


def test_connections_are_made_by_rules_for_their_beginning_alone(world: World) -> None:
    tested, other = world.tested, world.other
    with listening(tested, 80, ANSWER), listening(other, 80, ANSWER):
        assert not connects(other, tested, 80)
        assert not connects(tested, other, 80)
        with world.rules(rule("tcp", 80), v6(rule("tcp", 80))):
            assert connects(other, tested, 80)
            assert connects(other, tested, 80, version=6)
            assert not connects(tested, other, 80)
        with world.rules({**rule("tcp", 80), "direction": "egress"}):
            assert connects(tested, other, 80)
            assert not connects(other, tested, 80)


def test_a_stateless_group_needs_a_rule_for_the_answers_too(world: World) -> None:
    tested, other = world.tested, world.other
    answers = {**rule("tcp"), "direction": "egress", "remote_ip_prefix": f"{OTHER}/32"}
    world.give(tested, "stateless")
    try:
        with listening(tested, 80, ANSWER):
            assert world.passed(other, tested) == {"tcp 80"}
            assert not connects(other, tested, 80)
            with world.rules(answers, of="stateless"):
                assert connects(other, tested, 80)
    finally:
        world.give(tested, "entry", "group")


def test_a_connection_ends_with_the_rule_that_let_it_in_and_goes_on_when_it_is_back(
    world: World,
) -> None:
    tested, other = world.tested, world.other
    lines = f"i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done | nc {TESTED} 7000"
    taps = {"from": (other.host, other.tap), "to": (tested.host, tested.tap)}

    def seen(capture: Capture) -> int:
        """How many packets of the other's side of the connection."""
        ports = struct.pack("!H", 7000)
        mine = [each for each in capture.frames if frames.source(each) == other.mac]
        return sum(each[12:14] == b"\x08\0" and each[36:38] == ports for each in mine)

    def got() -> int:
        return int(tested.says("wc -l < /run/got"))

    with (
        listening(tested, 7000, "cat > /run/got"),
        world.rules(rule("tcp", 7000)),
        subprocess.Popen(other.ssh(lines), stdin=subprocess.DEVNULL) as session,
    ):
        try:
            wait_until(lambda: got() > 5, what="the connection carries lines", timeout_s=60)
            # Another rule that comes or goes is nothing to it.
            with world.rules(rule("udp", 7000)):
                before = got()
                wait_until(lambda: got() > before, what="it goes on", timeout_s=30)
            with capturing(world.cloud, taps) as captures:
                world.drop("tcp")
                passed, tried = seen(captures["to"]), seen(captures["from"])
                ended = got()
                wait_until(
                    lambda: seen(captures["from"]) > tried, what="it is tried again", timeout_s=60
                )
                assert seen(captures["to"]) == passed
            assert got() == ended
            with world.rules(rule("tcp", 7000)):
                wait_until(lambda: got() > ended, what="it is back", timeout_s=120)
        finally:
            session.kill()
