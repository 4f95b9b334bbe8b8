"""The overlay between two lab hosts: how soon it reaches a host more, and what it carries.

Throughput and latency are taken with busybox's nc and ping, which guests have; the same commands
run between the hosts themselves (the bare path), between two namespaces on the overlay's bridges
(the overlay without guests and rules), and between two guests. Guests run without KVM (TCG): there,
the emulated processor and card are most of what is measured. The three take turns.
"""

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from bench import creates
from bench.load import database_of
from bench.networks.guests import PREFIX, World
from bench.networks.simulated import Bench
from bench.report import Report
from controller.db.models import Port
from lab import hosts
from lab.record import load_existing
from plugins.module_utils import names

PORT = 5201
TIMEOUT_S = 120.0
PINGS = 30
NETNS, LEG = "nvbench", "nvbench0"
# Until the receiver has got all and hung up. Both ends of a way count by the same kind of clock.
SEND = (
    "read a _ < /proc/uptime; dd if=/dev/zero bs=64k count={count} 2>/dev/null "
    f"| busybox nc {{address}} {PORT} || exit 1; read b _ < /proc/uptime; echo $a $b"
)
RECEIVE = f"echo ready; exec busybox nc -l -p {PORT} > /dev/null"
PING = f"busybox ping -q -c 2 {{address}} >/dev/null; busybox ping -A -c {PINGS} {{address}}"
NAMESPACE = f"""set -e
ip netns add {NETNS}
ip link add {LEG} type veth peer name eth0 netns {NETNS}
ip link set {LEG} mtu 1450 master {{bridge}} up
ip -n {NETNS} link set eth0 address {{mac}} mtu 1450 up
ip -n {NETNS} addr add {{address}}/24 dev eth0
"""
NO_NAMESPACE = f"ip link del {LEG}; ip netns del {NETNS}; true"

Command = Callable[[str], list[str]]


@dataclass(frozen=True)
class Way:
    """A way from one end to the other, `address` there, by which `count` blocks are sent."""

    name: str
    near: Command
    far: Command
    address: str
    count: int


def measure(world: World, report: Report, rounds: int) -> None:
    """Add throughput and latency of the overlay, beside that of the bare path."""
    rates: dict[str, list[float]] = {}
    delays: dict[str, list[float]] = {}
    with _namespaces(world) as ways:
        for _ in range(rounds):
            for way in ways:
                rates.setdefault(way.name, []).append(_mbit_per_s(way))
                delays.setdefault(way.name, []).append(_ping_ms(way))
    (bare, *others) = (way.name for way in ways)
    for what, unit, found in (("TCP", "Mbit/s", rates), ("ping", "ms", delays)):
        for name in (bare, *others):
            report.add(f"{what}, {name}", unit, found[name])
        for name in others:
            ratios = [a / b for a, b in zip(found[name], found[bare], strict=True)]
            report.add(f"{what}, {name} / bare path", "x", ratios)


def measure_second_host(world: World, blank: Path, report: Report, rounds: int) -> None:
    """Add the seconds until the first host forwards to a second one that a network reaches."""
    first, second = (guest.host for guest in world.guests)
    bench = Bench(world.cloud, blank, network="reaching")
    # The first create on a host also fetches its image.
    for host in (first, second):
        bench.boot(host)
    creates.await_rest(world.cloud)
    bench.empty(second)
    creates.await_rest(world.cloud)
    reached: list[float] = []
    device = names.vxlan_name(bench.network_id)
    for _ in range(rounds):
        with bench.timing("network_update", 1, reached):
            bench.boot(second)
        table = _said(world, first, ["bridge", "fdb", "show", "dev", device])
        missing = [mac for mac in _macs(bench, second) if mac not in table]
        if missing:
            raise SystemExit(f"bench: {first} does not forward to {missing}: {table}")
        bench.empty(second)
        bench.settle()
    bench.empty(first)
    bench.settle()
    about = "two lab hosts"
    report.add(f"network reaches its second host, until the first forwards ({about})", "s", reached)


def _macs(bench: Bench, name: str) -> Sequence[str]:
    servers = bench.caller.get("/compute/v2.1/servers")["servers"]
    ids = [server["id"] for server in servers if server["name"] == name]
    query = select(Port.mac_address).where(
        Port.network_id == bench.network_id, Port.device_id.in_(ids)
    )
    with database_of(bench.cloud) as db, db.read() as session:
        return session.scalars(query).all()


def _said(world: World, host: str, argv: Sequence[str]) -> str:
    return hosts.run(world.cloud.lab_dir, host, argv).stdout


@contextlib.contextmanager
def _namespaces(world: World) -> Iterator[list[Way]]:
    """Give the ways, the bare one first; the namespaces on the hosts go with the block."""
    record = load_existing(world.cloud.lab_dir)
    near, far = (guest.host for guest in world.guests)
    inner = {near: f"{PREFIX}.201", far: f"{PREFIX}.202"}
    try:
        for number, (host, address) in enumerate(inner.items()):
            script = NAMESPACE.format(
                bridge=world.bridge, address=address, mac=f"52:54:00:be:4c:1{number}"
            )
            _said(world, host, ["sh", "-c", script])
        yield [
            Way(
                "bare path between the hosts", _on(world, near), _on(world, far),
                record.names.mgmt_ip(record.host(far).number), 16_000,
            ),
            Way(
                "overlay between namespaces", _on(world, near, NETNS), _on(world, far, NETNS),
                inner[far], 8_000,
            ),
            Way(
                "overlay between guests (TCG)", world.guests[0].ssh, world.guests[1].ssh,
                world.guests[1].inside, 400,
            ),
        ]  # fmt: skip
    finally:
        for host in inner:
            _said(world, host, ["sh", "-c", NO_NAMESPACE])


def _on(world: World, host: str, netns: str = "") -> Command:
    """Return how a command is run on the host, or in a namespace there."""
    inside = ["ip", "netns", "exec", netns] if netns else []

    def command(script: str) -> list[str]:
        return hosts.enter_argv(world.cloud.lab_dir, host, [*inside, "sh", "-c", script])

    return command


def _mbit_per_s(way: Way) -> float:
    with _receiving(way):
        said = _run(way.near(SEND.format(count=way.count, address=way.address)))
    began, ended = map(float, said.split())
    return way.count * 65536 * 8 / 1e6 / (ended - began)


@contextlib.contextmanager
def _receiving(way: Way) -> Iterator[None]:
    receiver = subprocess.Popen(
        way.far(RECEIVE), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert receiver.stdout is not None
        if receiver.stdout.readline() != "ready\n":
            raise SystemExit(f"bench: nobody receives by the {way.name}")
        # It has said so before it listens.
        time.sleep(1.0)
        yield
        receiver.wait(TIMEOUT_S)
    finally:
        receiver.kill()
        receiver.communicate()


def _ping_ms(way: Way) -> float:
    """Return the median of some pings, after two that find the way."""
    said = _run(way.near(PING.format(address=way.address)))
    times = sorted(float(found) for found in re.findall(r"time=([0-9.]+) ms", said))
    if len(times) < PINGS:
        raise SystemExit(f"bench: {len(times)} of {PINGS} pings came back by the {way.name}")
    return times[len(times) // 2]


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"bench: {argv[-1]}: {done.stdout}{done.stderr}")
    return done.stdout
