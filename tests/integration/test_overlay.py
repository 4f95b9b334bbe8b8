"""VXLAN networks between two lab hosts: who reaches whom, and what their plays make of members.

Guests are played by namespaces; see tests/fixtures/emulated_network.py.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from plugins.module_utils import names
from tests.fixtures.emulated_network import Host, Machine, group, wait_until
from tests.fixtures.hand_lab import HOSTS, Lab, LabHost

pytestmark = pytest.mark.lab

GROUP = group(
    {"direction": "ingress", "protocol": "icmp"},
    {"direction": "ingress", "protocol": "tcp", "port_range_min": 80},
    {"direction": "egress", "ethertype": "IPv6"},
    {"direction": "ingress", "ethertype": "IPv6", "protocol": "58"},
)


def tunnel_ip(host: Host) -> str:
    shown = json.loads(host.run("ip", "-j", "-4", "addr", "show", "dev", "eth0"))
    return str(shown[0]["addr_info"][0]["local"])


@dataclass
class Overlay:
    """A VXLAN network on both hosts. All of them have the same addresses."""

    hosts: list[Host]
    segment: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    ports: list[dict[str, Any]] = field(default_factory=list)
    guests: list[Machine] = field(default_factory=list)

    def arguments(self) -> dict[str, Any]:
        """What network_update is told of it, but for its peers."""
        return {
            "id": self.id,
            "mtu": 1450,
            "network_type": "vxlan",
            "segmentation_id": self.segment,
            "members": [port["member"] for port in self.ports],
            "subnets": [
                {
                    "id": self.id,
                    "cidr": "10.42.0.0/24",
                    "gateway_ip": "10.42.0.1",
                    "gateway_served": True,
                    "dhcp_ip": "10.42.0.2",
                }
            ],
        }

    def plug(self, number: int, host: Host) -> Machine:
        """A guest on `host` with its rules; the hosts' networks are not told of it."""
        port = {
            "id": str(uuid.uuid4()),
            "network_id": self.id,
            "mac_address": f"fa:16:3e:{self.segment % 256:02x}:00:{number:02x}",
            "fixed_ips": [
                {"ip_address": f"10.42.0.{number}"},
                {"ip_address": f"2001:db8:42::{number}"},
            ],
            "security_groups": [GROUP["id"]],
        }
        member = {"mac_address": port["mac_address"], "tunnel_ip": tunnel_ip(host)}
        self.ports.append({**port, "member": member})
        host.module("port_filter", {"ports": [port], "security_groups": [GROUP]})
        guest = Machine(host, f"guest-{port['id'][:8]}", names.tap_name(port["id"]))
        guest.plug(port["mac_address"], names.bridge_name(self.id))
        guest.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
        guest.have_address(f"10.42.0.{number}/24")
        guest.run("ip", "addr", "add", f"2001:db8:42::{number}/64", "dev", "eth0", "nodad")
        guest.run("ip", "link", "set", "eth0", "mtu", "1450")
        self.guests.append(guest)
        return guest


class World:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.hosts = [Host(LabHost(lab, name)) for name in HOSTS]
        self.overlays = [Overlay(self.hosts, segment) for segment in (4201, 4202)]

    def update(self, *hosts: Host, check: bool = False, networks: bool = True) -> list[str]:
        """Run network_update on the hosts, as after any change; return what it says."""
        said = []
        for host in hosts or self.hosts:
            own = tunnel_ip(host)
            told = [each.arguments() for each in self.overlays] if networks else []
            for each in told:
                there = {member["tunnel_ip"] for member in each["members"]}
                each["peers"] = sorted(there - {own})
            done = self.lab.playbook(
                "network_update", "-l", host.lab_host.name,
                "-e", json.dumps({"networks": told}), *(["--check", "--diff"] if check else []),
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            said.append(done.stdout)
        return said


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    world = World(lab)
    try:
        world.update()
        for overlay in world.overlays:
            for number, host in enumerate(world.hosts):
                overlay.plug(11 + number, host)
        world.update()
        yield world
    finally:
        for overlay in world.overlays:
            for guest in overlay.guests:
                guest.unplug()
            for port in overlay.ports:
                for host in world.hosts:
                    gone = {"ports": [{"id": port["id"]}], "state": "absent"}
                    host.module("port_filter", gone)
        world.update(networks=False)


def test_guests_on_two_hosts_reach_each_other(world: World) -> None:
    first, second = world.overlays[0].guests
    assert first.reaches("10.42.0.12")
    assert first.reaches("2001:db8:42::12")
    second.listen(80)
    wait_until(lambda: first.connects("10.42.0.12", 80), "TCP across hosts")
    assert not first.connects("10.42.0.12", 81)


def test_networks_with_the_same_addresses_are_apart(world: World) -> None:
    world.overlays[1].guests[1].run("ip", "addr", "add", "10.42.0.99/24", "dev", "eth0")
    seen = world.overlays[0].guests[0]
    assert not seen.reaches("10.42.0.99")
    assert world.overlays[1].guests[0].reaches("10.42.0.12")
    known = seen.run("ip", "neigh", "show", "10.42.0.12")
    assert world.overlays[0].ports[1]["mac_address"] in known


def test_each_host_answers_for_the_gateway_by_itself(world: World) -> None:
    for guest in world.overlays[0].guests:
        assert guest.reaches("10.42.0.1")


def test_a_second_run_changes_nothing(world: World) -> None:
    for said in (*world.update(), *world.update(check=True)):
        assert "changed=0" in said, said


def test_a_member_that_came_while_a_host_was_away_is_reached_after_one_run(world: World) -> None:
    here, there = world.hosts
    overlay = world.overlays[0]
    overlay.plug(21, there)
    # Only the host that has it was told.
    world.update(there)
    assert overlay.ports[-1]["mac_address"] in world.update(here, check=True)[0]
    world.update(here)
    table = here.run("bridge", "fdb", "show", "dev", names.vxlan_name(overlay.id))
    assert f"{overlay.ports[-1]['mac_address']} dst {tunnel_ip(there)}" in table
    assert overlay.guests[0].reaches("10.42.0.21")


def test_vxlan_packets_are_taken_from_peers_alone(world: World) -> None:
    rules = world.hosts[0].run("iptables-save", "-t", "filter")
    assert "-A nv-input -p udp -m udp --dport 4789 -j nv-underlay" in rules
    members = world.hosts[0].run("ipset", "list", names.underlay_set(4))
    assert tunnel_ip(world.hosts[1]) in members
    assert tunnel_ip(world.hosts[0]) not in members
