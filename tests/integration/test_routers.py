"""Routers on two hosts: between networks across hosts, out by translation, in by floating IPs.

Guests are played by namespaces (tests/fixtures/emulated_network.py), the world outside by the lab's
fabric. Everything is put there by network_update, as the controller runs it.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from plugins.module_utils import names, port_rules6
from tests.fixtures.emulated_network import Host, Machine, group, wait_until
from tests.fixtures.hand_lab import HOSTS, Lab, LabHost

pytestmark = pytest.mark.lab

ICMP = {"direction": "ingress", "protocol": "icmp"}
ECHO = {"direction": "ingress", "protocol": "tcp", "port_range_min": 5000}
IPV6 = (
    {"direction": "egress", "ethertype": "IPv6"},
    {"direction": "ingress", "ethertype": "IPv6", "protocol": "58"},
)
# The operator's own, in front of ours and behind.
OPERATORS = "-A FORWARD -s 192.0.2.99/32 -j DROP"
SERVER = """
import socket, threading
listening = socket.create_server(("", 5000))
def echo(peer):
    while data := peer.recv(99):
        peer.sendall(data)
while True:
    threading.Thread(target=echo, args=(listening.accept()[0],), daemon=True).start()
"""
# Says once in a while whether its one connection still answers.
CLIENT = """
import socket, sys, time
peer = socket.create_connection((sys.argv[1], 5000), 5)
peer.settimeout(1)
while True:
    try:
        peer.sendall(b"x")
        print("alive" if peer.recv(99) else "closed", flush=True)
    except OSError:
        print("dead", flush=True)
    time.sleep(0.3)
"""
# Says to all that its sender is a router for half an hour.
ADVERTISEMENT = """
import socket, struct
said = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
said.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
index = socket.if_nametoindex("eth0")
said.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))
"""


def link_local(mac: str) -> str:
    return port_rules6.link_local(mac).partition("/")[0]


class Guest(Machine):
    """A guest with an address in a network, reached and reaching by its router."""

    def __init__(self, host: Host, number: int, network: Routed, address: str) -> None:
        self.port_id, self.address, self.network = str(uuid.uuid4()), address, network
        self.mac = f"fa:16:3e:77:{network.number:02x}:{number:02x}"
        # That which it makes itself of its MAC and the prefix that it hears of.
        own = int(ipaddress.ip_address(link_local(self.mac))) & (2**64 - 1)
        self.address6 = str(ipaddress.ip_network(network.cidr6)[own])
        super().__init__(host, f"guest-{self.port_id[:8]}", names.tap_name(self.port_id))

    def start(self, *rules: dict[str, Any]) -> None:
        self.have_rules(*rules)
        self.plug(self.mac, names.bridge_name(self.network.id))
        self.have_address(f"{self.address}/24")
        if self.network.kind == "vxlan":
            self.run("ip", "link", "set", "eth0", "mtu", "1450")
        self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
        self.run("ip", "route", "add", "default", "via", self.network.gateway)

    def have_rules(self, *rules: dict[str, Any]) -> None:
        some = group(*rules, *IPV6)
        port = {
            "id": self.port_id,
            "network_id": self.network.id,
            "mac_address": self.mac,
            "fixed_ips": [{"ip_address": self.address}, {"ip_address": self.address6}],
            "security_groups": [some["id"]],
        }
        self.host.module("port_filter", {"ports": [port], "security_groups": [some]})

    def default_routes(self) -> list[dict[str, Any]]:
        """Return its IPv6 routes to everywhere."""
        return list(json.loads(self.run("ip", "-6", "-j", "route", "show", "default") or "[]"))

    def in_background(self, script: str, *arguments: str) -> str:
        """Start a program; return the file that it writes to."""
        said = f"/run/novella-test-{uuid.uuid4().hex[:8]}"
        words = " ".join(arguments)
        command = f"nohup python3 -c '{script}' {words} >{said} 2>&1 & echo $!"
        self.background.append(self.run("sh", "-c", command).strip())
        return said

    def last_line(self, said: str) -> str:
        return self.host.run("tail", "-n", "1", said).strip()

    def stop(self) -> None:
        self.unplug()
        gone = {"ports": [{"id": self.port_id}], "state": "absent"}
        self.host.module("port_filter", gone)


class Routed:
    """A network as plays are told of it."""

    def __init__(self, number: int, prefix: str, mode: str, kind: str = "vxlan") -> None:
        self.number, self.prefix, self.mode, self.kind = number, prefix, mode, kind
        self.prefix6 = f"2001:db8:77:{prefix[-1]}"
        self.cidr6 = f"{self.prefix6}::/64"
        self.mac = f"fa:16:3e:78:00:{number:02x}"
        self.id, self.port_id = str(uuid.uuid4()), str(uuid.uuid4())
        self.gateway = f"{prefix}.1"
        self.guests: list[Guest] = []

    def told(self, tunnels: dict[str, str], is_routed: bool) -> dict[str, Any]:
        members = [
            {
                "mac_address": guest.mac,
                "ip_addresses": [guest.address, guest.address6],
                "tunnel_ip": tunnels[guest.host.lab_host.name],
            }
            for guest in self.guests
        ]
        subnet = {
            "id": str(uuid.uuid5(uuid.UUID(self.id), "subnet")),
            "cidr": f"{self.prefix}.0/24",
            "gateway_ip": self.gateway,
        }
        subnet6 = {
            "id": str(uuid.uuid5(uuid.UUID(self.id), "subnet6")),
            "ip_version": 6,
            "cidr": self.cidr6,
            "gateway_ip": f"{self.prefix6}::1",
            "dhcp_ip": f"{self.prefix6}::2",
            "ipv6_ra_mode": self.mode,
            "ipv6_address_mode": self.mode,
            "routed": is_routed,
        }
        return {
            "id": self.id,
            "mtu": 1450,
            "network_type": self.kind,
            **({"segmentation_id": 7000 + self.number} if self.kind == "vxlan" else {}),
            "members": members,
            "subnets": [subnet, subnet6],
        }


class World:
    """Two networks over two hosts behind a router, and a third, with the first one's addresses."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.hosts = {name: Host(LabHost(lab, name)) for name in HOSTS}
        self.tunnels = {
            name: host.run("sh", "-c", "ip -4 -o addr show eth0 | awk '{print $4}'").split("/")[0]
            for name, host in self.hosts.items()
        }
        self.external_id = str(uuid.uuid4())
        first, second = (self.hosts[name] for name in HOSTS)
        self.red = Routed(1, "10.77.1", "slaac")
        self.blue = Routed(2, "10.77.2", "dhcpv6-stateless")
        self.twin = Routed(3, "10.77.1", "dhcpv6-stateful", "local")
        self.red_1 = self._guest(first, self.red, 11)
        self.red_2 = self._guest(second, self.red, 12)
        self.blue_1 = self._guest(first, self.blue, 21)
        self.blue_2 = self._guest(second, self.blue, 22)
        self.twin_1 = self._guest(first, self.twin, 11)
        self.router_id, self.twin_router_id = str(uuid.uuid4()), str(uuid.uuid4())
        self.floating: dict[str, Guest] = {}
        self.is_up = True

    def _guest(self, host: Host, network: Routed, number: int) -> Guest:
        guest = Guest(host, number, network, f"{network.prefix}.{number}")
        network.guests.append(guest)
        return guest

    @property
    def guests(self) -> list[Guest]:
        return [*self.red.guests, *self.blue.guests, *self.twin.guests]

    def outside(self, number: int) -> str:
        return f"{self.lab.external_prefix}.{number}"

    def arguments(self, name: str) -> dict[str, Any]:
        """Return what network_update is told for a host."""
        networks = [self.red, self.blue, *([self.twin] if name == HOSTS[0] else [])]
        others = [tunnel for host, tunnel in self.tunnels.items() if host != name]
        told = {
            each.id: {**each.told(self.tunnels, self.is_up), "peers": others} for each in networks
        }
        routers = [self._router(self.router_id, name, [told[self.red.id], told[self.blue.id]])]
        if name == HOSTS[0]:
            routers.append(self._router(self.twin_router_id, name, [told[self.twin.id]]))
        return {"networks": [*told.values()], "routers": routers}

    def _router(self, router_id: str, name: str, networks: list[dict[str, Any]]) -> dict[str, Any]:
        number = HOSTS.index(name) + 1
        cidr = f"{self.lab.external_prefix}.0/24"
        own = [{"ip_address": self.outside(100 + number), "cidr": cidr}]
        legs = []
        for network in networks:
            routed = self._routed(network["id"])
            addresses = [
                {"ip_address": subnet["gateway_ip"], "cidr": subnet["cidr"]}
                for subnet in network["subnets"]
            ]
            leg = {"port_id": routed.port_id, "mac_address": routed.mac, "ip_addresses": addresses}
            legs.append({**leg, "network": network})
        external = {"id": self.external_id, "network_type": "flat", "physical_network": "physnet1"}
        port = {"port_id": self.external_id, "mac_address": f"fa:16:3e:79:00:{number:02x}"}
        return {
            "id": router_id,
            "admin_state_up": self.is_up,
            "interfaces": legs,
            "routes": [],
            "gateway": {
                "network": external,
                "ip_addresses": [{"ip_address": self.outside(150), "cidr": cidr}],
                "gateway_ips": [self.outside(1)],
                "enable_snat": True,
                "host_port": {**port, "ip_addresses": own},
            },
            "floating_ips": [
                {
                    "id": str(uuid.uuid4()),
                    "floating_ip_address": floating,
                    "fixed_ip_address": guest.address,
                    "tunnel_ip": self.tunnels[guest.host.lab_host.name],
                }
                for floating, guest in self.floating.items()
                if router_id == self.router_id
            ],
        }

    def _routed(self, network_id: str) -> Routed:
        return next(each for each in (self.red, self.blue, self.twin) if each.id == network_id)

    def update(self, *options: str, empty: bool = False) -> list[subprocess.CompletedProcess[str]]:
        """Run network_update for each host; return what the plays said."""
        done = []
        for name in HOSTS:
            told = {"networks": [], "routers": []} if empty else self.arguments(name)
            extra = json.dumps({"target": name, **told})
            done.append(self.lab.playbook("network_update", "-e", extra, *options))
            assert done[-1].returncode == 0, done[-1].stdout + done[-1].stderr
        return done

    def from_outside(self, *argv: str) -> subprocess.CompletedProcess[str]:
        words = ["ip", "netns", "exec", self.lab.fabric_netns, *argv]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    def outside_reaches(self, address: str) -> bool:
        return self.from_outside("ping", "-c", "2", "-W", "1", address).returncode == 0


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    world = World(lab)
    for host in world.hosts.values():
        # These stay, empty, on a host that has had any network.
        host.run("mkdir", "-p", "/run/netns", "/run/novella/services")
    before = {name: host.everything() for name, host in world.hosts.items()}
    for host in world.hosts.values():
        host.run("iptables", *OPERATORS.split())
    try:
        world.update()
        for guest in world.guests:
            guest.start(ICMP, ECHO)
        yield world
        for host in world.hosts.values():
            assert OPERATORS in host.run("iptables-save")
    finally:
        for guest in world.guests:
            guest.stop()
        world.update(empty=True)
        for host in world.hosts.values():
            host.run("iptables", *OPERATORS.replace("-A", "-D").split())
            host.run("sh", "-c", "rm -f /run/novella-test-*")
            host.clean()
    # Of the routers and networks nothing is left.
    for name, host in world.hosts.items():
        lines = set(host.everything().splitlines()) ^ set(before[name].splitlines())
        # From whom VXLAN packets are taken stays, for the next network.
        assert {line for line in lines if "underlay" not in line} == set()


def test_guests_reach_each_other_between_networks_and_hosts(world: World) -> None:
    for one in (world.red_1, world.red_2):
        for other in (world.blue_1, world.blue_2, world.red_1, world.red_2):
            if one is not other:
                assert one.reaches(other.address), (one.name, other.address)
    assert world.blue_2.reaches(world.red_1.address)


def test_guests_learn_their_way_out_by_advertisements(world: World) -> None:
    for guest in world.guests:
        wait_until(guest.default_routes, f"a default route of {guest.name}")
        (route,) = guest.default_routes()
        assert (route["gateway"], route["protocol"]) == (link_local(guest.network.mac), "ra")
    for guest in (world.red_1, world.red_2, world.blue_1, world.blue_2):
        wait_until(
            lambda g=guest: (
                f" {g.address6}/64 " in g.run("ip", "-6", "addr", "show", "dev", "eth0")
            ),
            f"the address of {guest.name}",
        )
    for one, other in (
        (world.red_1, world.blue_2),
        (world.red_2, world.blue_1),
        (world.blue_2, world.red_1),
        (world.blue_1, world.red_1),
        (world.red_1, world.red_2),
    ):
        wait_until(lambda o=one, p=other: o.reaches(p.address6), f"{one.name} to {other.name}")
    # Where addresses come from DHCP, the prefix is not for making one's own; the MTU is told.
    assert "scope global" not in world.twin_1.run("ip", "-6", "addr", "show", "dev", "eth0")
    assert world.twin_1.run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu").strip() == "1450"


def test_a_guests_own_advertisement_reaches_nobody(world: World) -> None:
    world.red_1.run("python3", "-c", ADVERTISEMENT)
    time.sleep(1)
    (route,) = world.red_2.default_routes()
    assert route["gateway"] == link_local(world.red.mac)


def test_what_advertises_a_router_is_heard_on_its_host_alone_and_put_right(world: World) -> None:
    name = names.advertisement_service(world.router_id, world.red.port_id)
    service = f"/run/service/novella-{name}"
    first, second = (world.hosts[name] for name in HOSTS)
    second.run("s6-svc", "-wD", "-d", service)
    world.red_2.run("ip", "-6", "route", "del", "default")
    # As at every start, it speaks to all of its network soon.
    first.run("s6-svc", "-wr", "-r", service)
    world.red_1.run("ip", "-6", "route", "del", "default")
    wait_until(world.red_1.default_routes, "an advertisement of the first host", 30)
    time.sleep(1)
    assert world.red_2.default_routes() == []
    shown = world.update("--check", "--diff")[1].stdout
    assert "changed=0" not in shown
    world.update()
    wait_until(world.red_2.default_routes, "an advertisement of the second host", 30)


def test_a_gateways_arp_stays_on_its_host(world: World) -> None:
    for guest in (world.red_1, world.red_2):
        guest.run("ip", "neigh", "flush", "dev", "eth0")
        assert guest.reaches(world.red.gateway)
    for name, guest in ((HOSTS[0], world.red_1), (HOSTS[1], world.red_2)):
        host, bridge = world.hosts[name], names.bridge_name(world.red.id)
        learned = host.run("bridge", "fdb", "show", "br", bridge)
        (line,) = [line for line in learned.splitlines() if "fa:16:3e:78:00:01" in line]
        assert names.leg_name(world.red.port_id) in line
        assert "sticky" in line
        assert guest.run("ip", "neigh").count("fa:16:3e:78:00:01") == 1


def test_guests_get_out_by_translation_with_the_same_addresses_too(world: World) -> None:
    world.from_outside("ip", "addr", "add", "198.51.100.1/32", "dev", "lo")
    try:
        for guest in world.guests:
            assert guest.reaches("198.51.100.1"), guest.name
    finally:
        world.from_outside("ip", "addr", "del", "198.51.100.1/32", "dev", "lo")
    # red_1 and twin_1 have one address, on one host, and are not the same.
    assert not world.twin_1.reaches(world.blue_1.address)


def test_tenants_reach_no_management_network_through_a_router(world: World) -> None:
    for guest in (world.red_1, world.red_2):
        for tunnel in world.tunnels.values():
            assert not guest.reaches(tunnel)
        assert not guest.connects(world.tunnels[HOSTS[0]], 22)
        # The fabric itself, which is the controller's network and the gateway's machine.
        assert not guest.reaches(world.tunnels[HOSTS[0]].rpartition(".")[0] + ".254")


def test_a_floating_ip_is_answered_where_its_server_is_and_moves(world: World) -> None:
    address = world.outside(201)
    world.floating = {address: world.red_1}
    world.update()
    assert world.outside_reaches(address)
    for guest in (world.red_1, world.red_2, world.blue_2, world.twin_1):
        assert guest.reaches(address), guest.name
    mac = world.from_outside("ip", "neigh", "show", address).stdout
    assert "fa:16:3e:79:00:01" in mac
    # To the other host: what answers has another MAC, and says so by itself.
    world.floating = {address: world.blue_2}
    world.update()
    assert world.from_outside("ping", "-c", "1", "-W", "1", address).returncode == 0
    assert "fa:16:3e:79:00:02" in world.from_outside("ip", "neigh", "show", address).stdout
    world.floating = {}
    world.update()
    assert not world.outside_reaches(address)


def test_a_connection_ends_with_the_rule_that_let_it_in(world: World) -> None:
    server = world.blue_2
    server.in_background(SERVER)
    wait_until(lambda: ":5000 " in server.run("ss", "-Htln"), "the server listens")
    clients = [world.red_1, world.red_2, world.blue_1]
    said = {client.name: client.in_background(CLIENT, server.address) for client in clients}
    for client in clients:
        wait_until(lambda c=client: c.last_line(said[c.name]) == "alive", "a connection")
    server.have_rules(ICMP)
    for client in clients:
        wait_until(lambda c=client: c.last_line(said[c.name]) == "dead", "its end")
    # The server's own connections outwards go on.
    assert server.reaches(world.red_1.address)
    server.have_rules(ICMP, ECHO)


def test_each_network_is_tracked_in_a_zone_of_its_own(world: World) -> None:
    saved = world.hosts[HOSTS[0]].run("iptables-save", "-t", "raw")
    zones = [line.split()[-1] for line in saved.splitlines() if "--zone" in line]
    assert len(zones) == len(set(zones)) >= 3


def test_again_changes_nothing_and_check_mode_says_so(world: World) -> None:
    for options in ((), ("--check", "--diff")):
        for done in world.update(*options):
            assert "changed=0" in done.stdout, done.stdout


def test_what_was_changed_by_hand_is_shown_and_put_right(world: World) -> None:
    host = world.hosts[HOSTS[0]]
    netns = names.router_namespace_name(world.router_id)
    host.run("ip", "netns", "exec", netns, "sysctl", "-qw", "net.ipv4.ip_forward=0")
    host.run("ip", "-n", netns, "neigh", "del", world.blue_2.address,
             "dev", names.leg_inside(world.blue.port_id))  # fmt: skip
    shown = world.update("--check", "--diff")[0].stdout
    assert "net.ipv4.ip_forward = 0" in shown
    assert f"neighbour {world.blue_2.address}" in shown
    assert not world.red_1.reaches(world.blue_2.address)
    world.update()
    assert world.red_1.reaches(world.blue_2.address)


def test_a_router_that_is_down_routes_no_more(world: World) -> None:
    world.is_up = False
    world.update()
    # On one host alone, the other's would do it: a gateway's MAC is the same everywhere.
    assert not world.red_1.reaches(world.blue_1.address)
    assert world.red_1.reaches(world.red_2.address)
    for host in world.hosts.values():
        assert "nvr-" not in host.run("ls", "/run/netns")
    world.is_up = True
    world.update()
    assert world.red_1.reaches(world.blue_1.address)
