"""Routed overlay networks with real guests on two hosts, all of it by the API.

Two networks behind one router, and behind another router a network with the first one's addresses.
"Outside" is this machine, which has a leg in the lab's external network.
"""

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import contents
from lab.record import load_existing
from lab.waiting import wait_until
from tests.fixtures.cloud import BOOT_TIMEOUT_S, HOSTS, CloudForTests
from tests.fixtures.guests import await_told, check_clean, only
from tests.fixtures.killing_workers import Case, killing, wait_for_end
from tests.integration.test_live_migration import migrate, record

pytestmark = [pytest.mark.lab, pytest.mark.slow]

RED, BLUE = "10.50.1", "10.50.2"
METADATA = "http://169.254.169.254/openstack/latest/meta_data.json"
AGENT_GATEWAY = "network:floatingip_agent_gateway"
# A run can be over before the kill takes hold; then it is done once more.
TRIES = 5
# Lines that tell whether a connection still stands, and whether one was lost on the way.
COUNTER = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done"


class World:
    """`red` on h1 and `blue` on h2 with a router; `twin` on h1 with red's addresses and its own.

    Of the servers red_1 and twin_1 have floating IPs; the others are reached by way of red_1, or by
    the one that they are lent.
    """

    def __init__(self, cloud: CloudForTests) -> None:
        self.cloud, self.network = cloud, cloud.tenant.network
        self.external = self.network.find_network(contents.PUBLIC_NETWORK, ignore_missing=False)
        self.names = load_existing(cloud.cloud.lab_dir).names
        self.networks: dict[str, Any] = {}
        self.subnets: dict[str, Any] = {}
        self.routers: dict[str, Any] = {}
        self.servers: dict[str, Any] = {}
        self.floating: dict[str, Any] = {}

    def make(self) -> None:
        for name, prefix in (("red", RED), ("blue", BLUE), ("twin", RED)):
            self.networks[name] = self.network.create_network(name=name)
            self.subnets[name] = self.network.create_subnet(
                network_id=self.networks[name].id, cidr=f"{prefix}.0/24", ip_version=4
            )
        for router, names in (("main", ("red", "blue")), ("other", ("twin",))):
            self.routers[router] = self.network.create_router(
                name=router, external_gateway_info={"network_id": self.external.id}
            )
            for name in names:
                self.network.add_interface_to_router(
                    self.routers[router], subnet_id=self.subnets[name].id
                )
        self.boot_on("h1", {"red_1": ("red", f"{RED}.11"), "twin_1": ("twin", f"{RED}.11")})
        self.boot_on("h2", {"red_2": ("red", f"{RED}.12"), "blue_2": ("blue", f"{BLUE}.22")})
        for name in ("red_1", "twin_1"):
            self.floating[name] = self.network.create_ip(
                floating_network_id=self.external.id, port_id=self.port(name).id
            )

    def boot_on(self, host: str, wanted: dict[str, tuple[str, str]]) -> None:
        with only(self.cloud, host):
            for name, (network, address) in wanted.items():
                on = {"uuid": self.networks[network].id, "fixed_ip": address}
                self.servers[name] = self.cloud.boot(name.replace("_", "-"), networks=[on])
        for name in wanted:
            assert self.cloud.host_of(self.servers[name]) == host

    def port(self, name: str) -> Any:
        (port,) = self.network.ports(device_id=self.servers[name].id)
        return port

    def outside_address(self, name: str) -> str:
        return str(self.floating[name].floating_ip_address)

    def ssh(self, name: str, command: str) -> list[str]:
        """Return the command line that runs `command` in a guest, from outside."""
        options = [
            "-i", str(self.cloud.key), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5",
            # A floating IP that moves leaves connections behind that nobody ends.
            "-o", "ServerAliveInterval=5",
        ]  # fmt: skip
        if name in self.floating:
            return ["ssh", *options, f"root@{self.outside_address(name)}", command]
        way = f"ssh {' '.join(options)} -W %h:%p root@{self.outside_address('red_1')}"
        address = self.port(name).fixed_ips[0]["ip_address"]
        return ["ssh", *options, "-o", f"ProxyCommand={way}", f"root@{address}", command]

    def run(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.ssh(name, command), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    def in_guest(self, name: str, command: str) -> str:
        """Return what `command` prints in a guest, waiting until it answers and succeeds."""
        said: list[subprocess.CompletedProcess[str]] = []

        def succeeded() -> bool:
            said[:] = [self.run(name, command)]
            return said[0].returncode == 0

        what = f"{name} answers: {command}"
        wait_until(succeeded, what=what, timeout_s=BOOT_TIMEOUT_S, interval_s=0.5)
        return said[0].stdout

    def pings(self, name: str, address: str) -> bool:
        return self.run(name, f"ping -c 2 -W 2 {address}").returncode == 0

    def connects(self, name: str, address: str, port: int = 22) -> bool:
        """Whether TCP carries something both ways: an SSH server's first words are awaited."""
        said = self.run(name, f"sleep 2 | timeout 8 nc -w 4 {address} {port} | head -c 4")
        return said.stdout.startswith("SSH-")

    def who(self, name: str) -> str:
        """Return the id that the guest's metadata service tells it that it has."""
        told = self.in_guest(name, f"timeout 10 wget -q -O - {METADATA}")
        return str(json.loads(told)["uuid"])

    def unmake(self) -> None:
        """Delete all of it, whatever of it was made."""
        for floating in self.floating.values():
            self.network.delete_ip(floating)
        for server in self.servers.values():
            self.cloud.delete(server)
        for router in self.routers.values():
            owned = {"device_id": router.id, "device_owner": "network:router_interface"}
            for port in self.network.ports(**owned):
                self.network.remove_interface_from_router(router, port_id=port.id)
            self.network.delete_router(router)
        for network in self.networks.values():
            self.network.delete_network(network)


@pytest.fixture(scope="module")
def world(cloud: CloudForTests) -> Iterator[World]:
    world = World(cloud)
    try:
        world.make()
        yield world
    finally:
        world.unmake()
    await_told(world.cloud)
    for host in HOSTS:
        assert left_of_routing(cloud, host) == []
    owned = {"device_owner": AGENT_GATEWAY}
    assert list(cloud.admin.network.ports(**owned)) == []
    check_clean(cloud, HOSTS)


def left_of_routing(cloud: CloudForTests, host: str) -> list[str]:
    """Return what a host has of routers and overlays: namespaces, devices and rules."""
    look = "ls /run/netns; ls /sys/class/net; ebtables-save | grep -o 'nv-r-[0-9a-f]*'; true"
    said = cloud.on_host(host, "sh", "-c", look).stdout.split()
    return [each for each in said if each.startswith(("nvr", "nve", "nvx", "nv-r-", "rt"))]


def test_guests_are_told_by_their_own_metadata_service_who_they_are(world: World) -> None:
    # Two of them have the same address on the same host.
    for name, server in world.servers.items():
        assert world.who(name) == server.id


def test_guests_reach_each_other_across_hosts_on_one_network_and_between_two(world: World) -> None:
    red_1, red_2, blue_2 = f"{RED}.11", f"{RED}.12", f"{BLUE}.22"
    for name, others in (
        ("red_1", (red_2, blue_2)),
        ("red_2", (red_1, blue_2)),
        ("blue_2", (red_1, red_2)),
    ):
        for address in others:
            assert world.pings(name, address), (name, address)
            assert world.connects(name, address), (name, address)


def test_networks_with_the_same_addresses_are_apart(world: World) -> None:
    assert world.who("twin_1") == world.servers["twin_1"].id
    for address in (f"{RED}.12", f"{BLUE}.22"):
        assert not world.pings("twin_1", address)
        assert not world.connects("twin_1", address)
    # Its gateway, which has the same address as the other network's, is there all the same.
    assert world.pings("twin_1", f"{RED}.1")


@contextlib.contextmanager
def listening(address: str) -> Iterator[tuple[int, list[str]]]:
    """Listen on this machine: (port, the addresses that connected); says SSH- to each."""
    came: list[str] = []
    with socket.create_server((address, 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, (source, _) = server.accept()
                    with peer:
                        came.append(source)
                        peer.sendall(b"SSH-\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_guests_get_out_with_their_hosts_address_or_their_floating_ip(world: World) -> None:
    owned = {"device_owner": AGENT_GATEWAY, "network_id": world.external.id}
    gateways = {
        port.fixed_ips[0]["ip_address"] for port in world.cloud.admin.network.ports(**owned)
    }
    assert len(gateways) == len(HOSTS)
    outside = world.names.external_root_ip
    with listening(outside) as (port, came):
        for name in world.servers:
            assert world.pings(name, world.names.external_gateway), name
            came.clear()
            assert world.connects(name, outside, port), name
            (source,) = came
            if name in world.floating:
                assert source == world.outside_address(name)
            else:
                assert source in gateways


def test_guests_do_not_reach_the_management_network(world: World) -> None:
    for name in ("red_1", "blue_2"):
        for address in (world.names.mgmt_ip(11), world.names.mgmt_root_ip):
            assert not world.pings(name, address), (name, address)
    assert not world.connects("red_1", world.names.mgmt_ip(11))


def test_a_floating_ip_goes_to_another_server_on_another_host_and_back(world: World) -> None:
    floating = world.floating.pop("red_1")
    for name in ("blue_2", "red_1"):
        world.network.update_ip(floating, port_id=world.port(name).id)
        world.floating[name] = floating
        server_id = world.servers[name].id
        deadline = time.monotonic() + 120
        while server_id not in world.run(name, f"timeout 10 wget -q -O - {METADATA}").stdout:
            assert time.monotonic() < deadline, f"the floating IP is not {name}'s"
        wait_until(
            lambda: world.network.get_ip(floating.id).status == "ACTIVE",
            what="the floating IP is ACTIVE", timeout_s=120,
        )  # fmt: skip
        if name != "red_1":
            del world.floating[name]


def test_a_worker_killed_while_it_tells_a_host_has_a_successor(world: World) -> None:
    floating = world.network.create_ip(floating_network_id=world.external.id)
    for _ in range(TRIES):
        with killing(world.cloud, Case("network_update", 0)) as kill:
            world.network.update_ip(floating, port_id=world.port("blue_2").id)
        assert wait_for_end(world.cloud, kill.operation_id).state == "succeeded"
        world.floating["blue_2"] = floating
        assert world.who("blue_2") == world.servers["blue_2"].id
        del world.floating["blue_2"]
        world.network.update_ip(floating, port_id=None)
        await_told(world.cloud)
        if kill.hit:
            break
    else:
        pytest.fail(f"{TRIES} times it was over before the kill took hold")
    world.network.delete_ip(floating)


def test_hosts_are_as_the_database_says(world: World) -> None:
    await_told(world.cloud)
    check_clean(world.cloud, HOSTS, [server.id for server in world.servers.values()])


def test_a_connection_through_a_floating_ip_lives_on_while_its_server_migrates(
    world: World,
) -> None:
    server = world.servers["red_1"]
    world.in_guest("red_1", "true")
    with subprocess.Popen(
        world.ssh("red_1", COUNTER), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as session:
        lines: list[int] = []
        assert session.stdout is not None

        def read() -> None:
            lines.extend(int(line) for line in session.stdout or ())

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            wait_until(lambda: len(lines) > 5, what="the connection stands", timeout_s=30)
            migrate(world.cloud, server, "h2")
            world.cloud.settle(server)
            assert record(world.cloud, server)["status"] == "completed"
            assert world.cloud.host_of(server) == "h2"
            moved = len(lines)
            wait_until(
                lambda: len(lines) > moved + 10, what="the connection lives on", timeout_s=30
            )
            assert session.poll() is None
        finally:
            session.kill()
            thread.join(10)
        assert lines == list(range(1, len(lines) + 1))
    # And new ones, from outside, between networks and on one.
    assert world.who("red_1") == server.id
    assert world.connects("blue_2", f"{RED}.11")
    assert world.pings("red_1", f"{RED}.12")


def test_the_host_that_it_left_has_nothing_of_its_router(world: World) -> None:
    await_told(world.cloud)
    main = world.routers["main"].id
    assert main not in world.cloud.on_host("h1", "ip", "netns").stdout
    assert main in world.cloud.on_host("h2", "ip", "netns").stdout
    assert world.routers["other"].id in world.cloud.on_host("h1", "ip", "netns").stdout
    check_clean(world.cloud, HOSTS, [server.id for server in world.servers.values()])
