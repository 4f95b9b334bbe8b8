"""Networks and ports on a real host, with guests played by namespaces.

A guest is a namespace behind a veth that bears the name of its port's tap, and the physical network
one behind the bridge's uplink: packets take the same way as a real guest's, without its boot.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import names

pytestmark = pytest.mark.lab

Step = tuple[str, dict[str, Any]]

STATE_PATH = "/var/lib/novella"
METADATA = "http://169.254.169.254"
DHCP_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr flush dev eth0
ip addr add "$ip/$mask" dev eth0
set -- $staticroutes
while [ $# -ge 2 ]; do ip route add "$1" via "$2"; shift 2; done
echo "ip=$ip mtu=$mtu router=$router dns=$dns hostname=$hostname server=$serverid"
"""


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 15) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


@dataclass
class Machine:
    """A namespace on the host that plays a guest or a machine of the physical network."""

    host: Any
    name: str
    interface: str
    background: list[str] = field(default_factory=list)

    def plug(self, mac: str, bridge: str | None = None) -> None:
        self.host.run("ip", "netns", "add", self.name)
        peer = ["peer", "name", "eth0", "netns", self.name]
        self.host.run("ip", "link", "add", self.interface, "type", "veth", *peer)
        self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        self.run("ip", "link", "set", "eth0", "address", mac)
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "link", "set", "lo", "up")
        if bridge:
            self.host.run("ip", "link", "set", self.interface, "master", bridge)
        self.host.run("ip", "link", "set", self.interface, "up")

    def try_run(self, *argv: str) -> Any:
        return self.host.try_run("ip", "netns", "exec", self.name, *argv)

    def run(self, *argv: str) -> str:
        return self.host.run("ip", "netns", "exec", self.name, *argv)

    def have_address(self, address: str, gateway: str | None = None) -> None:
        self.run("ip", "addr", "flush", "dev", "eth0")
        self.run("ip", "addr", "add", address, "dev", "eth0")
        if gateway:
            self.run("ip", "route", "add", "169.254.169.254/32", "via", gateway)

    def reaches(self, address: str) -> bool:
        return self.try_run("busybox", "ping", "-c", "2", "-W", "1", address).returncode == 0

    def listen(self, port: int) -> None:
        """Answer `hello` on a TCP port until the machine is unplugged."""
        command = f"nohup busybox nc -ll -p {port} -e echo hello >/dev/null 2>&1 & echo $!"
        self.background.append(self.run("sh", "-c", command).strip())

    def connects(self, address: str, port: int) -> bool:
        argv = ["timeout", "2", "busybox", "nc", "-w", "1", address, str(port)]
        return "hello" in self.try_run(*argv).stdout

    def dhcp(self) -> dict[str, str] | None:
        """Ask DHCP and use the answer; return its options, None without one."""
        argv = ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "4", "-T", "1"]
        options = [word for option in ("121", "mtu", "hostname") for word in ("-O", option)]
        done = self.try_run(*argv, *options, "-s", self.host.dhcp_script)
        lines = [line for line in done.stdout.splitlines() if line.startswith("ip=")]
        return dict(word.split("=", 1) for word in lines[-1].split()) if lines else None

    def get(self, path: str, *options: str) -> tuple[int, str]:
        argv = ["curl", "-s", "-m", "5", "-w", "\n%{http_code}", *options, METADATA + path]
        body, _, code = self.try_run(*argv).stdout.rpartition("\n")
        return int(code or 0), body

    def unplug(self) -> None:
        for pid in self.background:
            self.host.try_run("kill", pid)
        self.host.try_run("ip", "link", "del", self.interface)
        self.host.try_run("ip", "netns", "del", self.name)


class Host:
    """The lab host, with refusals turned into failures."""

    def __init__(self, lab_host: Any) -> None:
        self.lab_host = lab_host
        self.dhcp_script = f"/run/novella-test-{uuid.uuid4().hex[:8]}.sh"
        # Steps run as a server's would: its fence and journal go when the tests end.
        self.item_id = str(uuid.uuid4())

    def try_run(self, *argv: str) -> Any:
        return self.lab_host.ssh(list(argv))

    def run(self, *argv: str) -> str:
        done = self.try_run(*argv)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def module(self, name: str, args: dict[str, Any], check: bool = False) -> dict[str, Any]:
        result = self.lab_host.ansible(name, args, check=check)
        assert not result.get("failed"), result
        return dict(result)

    def steps(self, steps: list[Step]) -> list[dict[str, Any]]:
        """Run several modules in one remote execution, as the playbooks do."""
        tasks = [{"name": name, f"novella.cloud.{name}": args} for name, args in steps]
        # JSON is YAML.
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump(tasks, file)
            file.flush()
            result = self.module("apply", {"steps": file.name, "items": [{"id": self.item_id}]})
        return list(result["results"][0]["steps"])

    def clean(self) -> None:
        self.run("rm", "-f", self.dhcp_script)
        self.run("find", STATE_PATH, "-name", f"*{self.item_id}*", "-delete")

    def everything(self) -> str:
        """All that the network modules may leave on a host."""
        parts = [
            self.run("sh", "-c", "ip -o link | sed 's/^[0-9]*: //; s/ state .*//' | sort"),
            self.run("sh", "-c", "ls /run/netns /run/service /run/novella/services 2>&1 | sort"),
            self.run("sh", "-c", f"find {STATE_PATH}/networks /run/novella/bridges 2>&1 | sort"),
            self.run("sh", "-c", "iptables-save; ip6tables-save; ebtables-nft-save; ipset save"),
            self.run("sh", "-c", "ps axo args | grep -E '[d]nsmasq|[m]etadata_server' || true"),
        ]
        lines = "\n".join(parts).splitlines()
        return "\n".join(line for line in lines if not line.startswith("#"))


class Network:
    """A flat network whose physical side is the namespace `lan`, with 10.99.7.1 as its router."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.id = str(uuid.uuid4())
        self.subnet = {
            "id": str(uuid.uuid4()),
            "cidr": "10.99.7.0/24",
            "gateway_ip": "10.99.7.1",
            "dhcp_ip": "10.99.7.2",
            "gateway_served": False,
            "dns_nameservers": ["192.0.2.53"],
            "host_routes": [],
        }
        self.bridge = names.bridge_name(self.id)
        short = uuid.uuid4().hex[:8]
        self.lan = Machine(host, f"lan-{short}", f"up{short}")
        self.lan.plug("02:00:00:99:07:01")
        self.lan.have_address("10.99.7.1/24")
        self.machines = [self.lan]

    def steps(self) -> list[Step]:
        bridge = {"name": self.bridge, "interface": self.lan.interface}
        namespace = {"network_id": self.id, "subnets": [self.subnet]}
        return [("linux_bridge", bridge), ("network_namespace", namespace)]

    def removal(self, only_if_unused: bool = False) -> list[Step]:
        absent = {"state": "absent", "only_if_unused": only_if_unused}
        return [
            ("network_namespace", {"network_id": self.id, **absent}),
            ("linux_bridge", {"name": self.bridge, **absent}),
        ]

    def guest(self, port: dict[str, Any]) -> Machine:
        machine = Machine(self.host, f"guest-{port['id'][:8]}", names.tap_name(port["id"]))
        machine.plug(port["mac_address"], self.bridge)
        self.machines.append(machine)
        return machine

    def port(self, number: int, groups: list[str]) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid4()),
            "network_id": self.id,
            "mac_address": f"fa:16:3e:99:07:{number:02x}",
            "fixed_ips": [{"subnet_id": self.subnet["id"], "ip_address": f"10.99.7.{number}"}],
            "port_security_enabled": True,
            "allowed_address_pairs": [],
            "security_groups": groups,
        }

    def serve(self, port: dict[str, Any], hostname: str) -> list[Step]:
        """The steps that give a port its address and its metadata."""
        ips = [fixed["ip_address"] for fixed in port["fixed_ips"]]
        server = {
            "id": str(uuid.uuid4()),
            "name": hostname,
            "hostname": hostname,
            "project_id": "p",
            "networks": [],
            "ports": [port],
            "guest": {"public_keys": {"mine": "ssh-ed25519 AAAA"}, "meta": {"role": hostname}},
        }
        own = {"network_id": self.id, "port_id": port["id"]}
        address = {"mac_address": port["mac_address"], "ip_addresses": ips, "hostname": hostname}
        metadata = {"server": server, "network_id": self.id, "ips": ips}
        secrets = {"user_data": "IyEvYmluL3NoCg=="}
        return [
            ("dhcp_host", {**own, **address}),
            ("guest_metadata", {**metadata, "secrets": secrets}),
        ]

    def unserving(self, port: dict[str, Any]) -> list[Step]:
        ips = [fixed["ip_address"] for fixed in port["fixed_ips"]]
        own = {"network_id": self.id, "port_id": port["id"], "state": "absent"}
        metadata = {"network_id": self.id, "ips": ips, "state": "absent"}
        return [
            ("port_filter", {"ports": [{"id": port["id"]}], "state": "absent"}),
            ("dhcp_host", own),
            ("guest_metadata", metadata),
        ]


def group(*rules: dict[str, Any]) -> dict[str, Any]:
    every = {"direction": "egress", "ethertype": "IPv4"}
    return {"id": str(uuid.uuid4()), "rules": [every, *({"ethertype": "IPv4", **r} for r in rules)]}


@dataclass
class World:
    """A network with two guests: `web`, whose groups let SSH in, and `db`, which lets web in."""

    host: Host
    network: Network
    filter: dict[str, Any]
    web_port: dict[str, Any]
    db_port: dict[str, Any]
    web: Machine
    db: Machine


@pytest.fixture(scope="module")
def host(lab_host: Any) -> Iterator[Host]:
    host = Host(lab_host)
    server = {"src": "roles/compute_host/files/metadata_server.py", "mode": "0755"}
    host.run("mkdir", "-p", "/usr/local/lib/novella")
    host.module("copy", {**server, "dest": "/usr/local/lib/novella/metadata_server.py"})
    host.module("copy", {"content": DHCP_SCRIPT, "dest": host.dhcp_script, "mode": "0755"})
    host.module("port_filter", {"base": True})
    yield host
    host.clean()


@pytest.fixture(scope="module")
def world(host: Host) -> Iterator[World]:
    network = Network(host)
    web_group = group({"direction": "ingress", "protocol": "tcp", "port_range_min": 22})
    db_group = group({"direction": "ingress", "remote_group_id": web_group["id"]})
    web_port = network.port(100, [web_group["id"]])
    db_port = network.port(101, [db_group["id"]])
    rules = {
        "ports": [web_port, db_port],
        "security_groups": [web_group, db_group],
        "remote_group_members": {web_group["id"]: ["10.99.7.100"]},
    }
    try:
        served = [*network.serve(web_port, "web"), *network.serve(db_port, "db")]
        # The rules first: the taps are not there yet.
        host.steps([*network.steps(), *served, ("port_filter", rules)])
        web, db = network.guest(web_port), network.guest(db_port)
        assert web.dhcp()
        assert db.dhcp()
        yield World(host, network, rules, web_port, db_port, web, db)
    finally:
        for machine in network.machines:
            machine.unplug()
        unserving = [*network.unserving(web_port), *network.unserving(db_port)]
        host.steps([*unserving, *network.removal()])


def test_dhcp_gives_address_mtu_routes_and_name(world: World) -> None:
    options = world.web.dhcp()
    assert options == {
        "ip": "10.99.7.100",
        "mtu": "1500",
        "router": "10.99.7.1",
        "dns": "192.0.2.53",
        "hostname": "web",
        "server": "10.99.7.2",
    }
    routes = world.web.run("ip", "route")
    assert "169.254.169.254 via 10.99.7.2" in routes
    assert "default via 10.99.7.1" in routes


def test_a_mac_without_a_reservation_gets_no_address(world: World) -> None:
    port = world.network.port(150, [])
    world.host.module("port_filter", {"ports": [{**port, "port_security_enabled": False}]})
    try:
        assert world.network.guest(port).dhcp() is None
    finally:
        world.host.module("port_filter", {"ports": [{"id": port["id"]}], "state": "absent"})


def test_metadata_is_told_apart_by_source_address(world: World) -> None:
    for guest, name in ((world.web, "web"), (world.db, "db")):
        status, body = guest.get("/openstack/latest/meta_data.json")
        assert (status, json.loads(body)["hostname"]) == (200, name)
        status, address = guest.get("/latest/meta-data/local-ipv4")
        assert address in guest.run("ip", "-4", "addr", "show", "dev", "eth0")


def test_metadata_listings_are_as_openstack_and_ec2_have_them(world: World) -> None:
    assert "latest" in world.web.get("/openstack/")[1].splitlines()
    assert "meta_data.json" in world.web.get("/openstack/latest")[1].splitlines()
    assert "public-keys/" in world.web.get("/latest/meta-data/")[1].splitlines()
    assert world.web.get("/latest/meta-data/public-keys/") == (200, "0=mine")
    assert world.web.get("/latest/user-data") == (200, "#!/bin/sh\n")


def test_metadata_trusts_no_header_and_takes_no_other_method(world: World) -> None:
    other = ("-H", "X-Forwarded-For: 10.99.7.101", "-H", "X-Instance-ID: x")
    assert '"web"' in world.web.get("/openstack/latest/meta_data.json", *other)[1]
    assert world.web.get("/latest/api/token", "-X", "PUT")[0] == 405
    assert world.web.get("/openstack/latest/../../../etc/passwd", "--path-as-is")[0] == 404
    assert world.web.get("/latest/" + "a" * 9000)[0] == 431


def test_ingress_is_closed_unless_a_rule_allows_it(world: World) -> None:
    for port in (22, 80):
        world.web.listen(port)
        world.db.listen(port)
    lan = world.network.lan
    wait_until(lambda: lan.connects("10.99.7.100", 22), "SSH to web")
    assert not lan.connects("10.99.7.100", 80)
    assert not lan.reaches("10.99.7.100")
    assert not lan.connects("10.99.7.101", 22)


def test_a_remote_group_lets_its_members_in(world: World) -> None:
    world.db.listen(5432)
    wait_until(lambda: world.web.connects("10.99.7.101", 5432), "web to db")
    assert not world.db.connects("10.99.7.100", 80)


def test_egress_works_and_its_replies_come_back(world: World) -> None:
    world.network.lan.listen(443)
    wait_until(lambda: world.db.connects("10.99.7.1", 443), "db to the network outside")
    assert world.web.reaches("10.99.7.1")


def test_a_spoofed_address_or_mac_is_dropped(world: World) -> None:
    assert world.web.reaches("10.99.7.1")
    world.web.run("ip", "addr", "add", "10.99.7.200/24", "dev", "eth0")
    ping = ["busybox", "ping", "-c", "2", "-W", "1"]
    spoofed = world.web.try_run(*ping, "-I", "10.99.7.200", "10.99.7.1")
    world.web.run("ip", "addr", "del", "10.99.7.200/24", "dev", "eth0")
    assert spoofed.returncode != 0
    assert "10.99.7.200" not in world.network.lan.run("ip", "neigh")
    world.web.run("ip", "link", "set", "eth0", "address", "fa:16:3e:99:07:ff")
    assert not world.web.reaches("10.99.7.1")
    # Not even learned: a guest must not draw another's frames to itself.
    learned = world.host.run("bridge", "fdb", "show", "br", world.network.bridge)
    assert "fa:16:3e:99:07:ff" not in learned
    world.web.run("ip", "link", "set", "eth0", "address", world.web_port["mac_address"])
    world.web.dhcp()
    assert world.web.reaches("10.99.7.1")


def test_a_tap_that_no_port_owns_passes_nothing(world: World) -> None:
    stranger = world.network.guest(world.network.port(160, []))
    stranger.have_address("10.99.7.160/24", gateway="10.99.7.2")
    assert not stranger.reaches("10.99.7.1")
    assert not stranger.reaches("10.99.7.2")
    assert stranger.get("/openstack/")[0] == 0


def test_each_host_serves_its_own_guests_alone(world: World) -> None:
    lan = world.network.lan
    assert not lan.reaches("10.99.7.2")
    assert lan.dhcp() is None
    lan.have_address("10.99.7.1/24", gateway="10.99.7.2")
    assert lan.get("/openstack/")[0] == 0
    # Somebody outside who takes our addresses gets nothing from our guests.
    lan.run("ip", "addr", "add", "10.99.7.2/24", "dev", "eth0")
    lan.run("ip", "addr", "add", "169.254.169.254/32", "dev", "eth0")
    try:
        assert world.db.get("/openstack/latest/meta_data.json")[0] == 200
        seen = world.db.run("ip", "neigh", "show", "10.99.7.2")
        assert "02:00:00:99:07:01" not in seen
    finally:
        lan.have_address("10.99.7.1/24")


def test_the_host_has_no_part_in_the_network(world: World) -> None:
    shown = json.loads(world.host.run("ip", "-j", "addr", "show", "dev", world.network.bridge))
    assert shown[0]["addr_info"] == []
    veth = names.veth_name(world.network.id)
    assert json.loads(world.host.run("ip", "-j", "addr", "show", "dev", veth))[0]["addr_info"] == []
    # A guest that sends to the bridge's own MAC reaches none of the host's other addresses.
    management = json.loads(world.host.run("ip", "-j", "-4", "addr", "show", "dev", "eth0"))
    address, bridge_mac = management[0]["addr_info"][0]["local"], shown[0]["address"]
    world.web.run("ip", "route", "add", f"{address}/32", "dev", "eth0")
    world.web.run("ip", "neigh", "replace", address, "lladdr", bridge_mac, "dev", "eth0")
    assert not world.web.reaches(address)
    world.web.run("ip", "neigh", "del", address, "dev", "eth0")
    assert not world.web.reaches(address)


def test_an_open_port_passes_everything_and_can_be_closed_again(world: World) -> None:
    opened = {**world.db_port, "port_security_enabled": False}
    assert world.host.module("port_filter", {**world.filter, "ports": [opened]})["changed"]
    assert world.network.lan.reaches("10.99.7.101")
    assert world.host.module("port_filter", world.filter)["changed"]
    assert not world.network.lan.reaches("10.99.7.101")


def test_a_second_run_changes_nothing(world: World) -> None:
    one_port = {**world.filter, "ports": [world.web_port]}
    again = [*world.network.steps(), ("port_filter", world.filter), ("port_filter", one_port)]
    assert [step["changed"] for step in world.host.steps(again)] == [False] * 4


def test_services_that_die_come_back(world: World) -> None:
    for service in (names.dhcp_service, names.metadata_service):
        name = service(world.network.id)
        folder = f"/run/service/novella-{name}"
        world.host.run("s6-svc", "-k", folder)
    wait_until(lambda: world.web.get("/openstack/")[0] == 200, "metadata again")
    wait_until(world.web.dhcp, "DHCP again")


def test_only_if_unused_keeps_a_network_with_ports(world: World) -> None:
    steps = world.host.steps(world.network.removal(only_if_unused=True))
    assert [step["changed"] for step in steps] == [False, False]


def test_what_a_host_lost_comes_back(world: World) -> None:
    """As after a boot, but with the old namespace's processes still there."""
    namespace = names.namespace_name(world.network.id)
    world.host.run("ip", "netns", "del", namespace)
    world.host.run("ip", "link", "del", names.veth_name(world.network.id))
    for port in (world.web_port, world.db_port):
        world.host.run("iptables", "-F", names.port_ingress_chain(port["id"]))
    assert world.web.get("/openstack/")[0] == 0
    lost = [*world.network.steps(), ("port_filter", world.filter)]
    assert [step["changed"] for step in world.host.steps(lost)] == [False, True, True]
    wait_until(world.web.dhcp, "DHCP again")
    assert world.web.get("/openstack/")[0] == 200
    assert not world.network.lan.reaches("10.99.7.101")


def test_an_address_goes_to_its_next_owner_at_once(world: World) -> None:
    first, second = world.network.port(120, []), world.network.port(121, [])
    second["fixed_ips"] = first["fixed_ips"]
    for port in (first, second):
        reservation = world.network.serve(port, "next")[0]
        world.host.steps([reservation, ("port_filter", {"ports": [port]})])
        guest = world.network.guest(port)
        try:
            options = guest.dhcp()
            assert options
            assert options["ip"] == "10.99.7.120"
        finally:
            guest.unplug()
            world.host.steps(world.network.unserving(port))


def test_check_mode_says_what_would_change_and_changes_nothing(host: Host) -> None:
    network = Network(host)
    try:
        before = host.everything()
        port = network.port(100, [])
        steps = [*network.steps(), *network.serve(port, "web"), ("port_filter", {"ports": [port]})]
        for module, args in steps:
            assert host.module(module, args, check=True)["changed"] is True, module
        assert host.everything() == before
    finally:
        network.lan.unplug()


def test_a_network_that_a_port_was_recorded_for_is_kept(host: Host) -> None:
    network = Network(host)
    port_id = str(uuid.uuid4())
    recorded = [(module, {**args, "port_ids": [port_id]}) for module, args in network.steps()]
    removal = network.removal(only_if_unused=True)
    own_removal = [(module, {**args, "port_ids": [port_id]}) for module, args in removal]
    try:
        steps = host.steps([*recorded, *removal, *own_removal])
        assert [step["changed"] for step in steps] == [True, True, False, False, True, True]
    finally:
        network.lan.unplug()


def test_a_removed_network_leaves_nothing(host: Host) -> None:
    before = host.everything()
    network = Network(host)
    try:
        remote = group()
        used = group({"direction": "ingress", "remote_group_id": remote["id"]})
        port = network.port(100, [used["id"]])
        rules = {"ports": [port], "security_groups": [used, remote]}
        host.steps([*network.steps(), *network.serve(port, "web"), ("port_filter", rules)])
        guest = network.guest(port)
        assert guest.dhcp()
        assert guest.get("/openstack/")[0] == 200
        guest.unplug()
        removal = [*network.unserving(port), *network.removal(only_if_unused=True)]
        assert [step["changed"] for step in host.steps(removal)] == [True] * 5
        assert [step["changed"] for step in host.steps(removal)] == [False] * 5
    finally:
        for machine in network.machines:
            machine.unplug()
    assert host.everything() == before
