"""One overlay network with a guest on each of three hosts, of which one is away for a while.

A lab of its own. Who is away is told nothing, and has to know all of it soon after it is back.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from lab import hosts
from lab.naming import fabric_ports, lab_name_of
from lab.record import load_existing
from lab.waiting import wait_until
from tests.fixtures.cloud import ROOT, CloudForTests, made_anew
from tests.fixtures.guests import Guest, RoutedNetwork, await_told, check_clean
from tests.fixtures.killing_workers import reading

pytestmark = [pytest.mark.lab, pytest.mark.slow]

HOSTS = ("h1", "h2", "h3")
LAB_NAME = lab_name_of("h", ROOT)


@pytest.fixture(scope="module")
def three(tiny_image: Path) -> Iterator[CloudForTests]:
    with made_anew(ROOT / "var" / "tests" / "three", tiny_image, LAB_NAME, HOSTS) as made:
        yield made


@pytest.fixture(scope="module")
def network(three: CloudForTests) -> Iterator[RoutedNetwork]:
    network = RoutedNetwork(three, "red", "10.60.1.0/24")
    try:
        network.make()
        network.boot({f"on-{host}": host for host in HOSTS})
        yield network
    finally:
        network.unmake()
    await_told(three)
    check_clean(three, HOSTS)


def all_reach_all(guests: list[Guest]) -> None:
    for one, other in permutations(guests, 2):
        assert one.pings(other.address), (one.name, other.name)
        assert one.connects(other.address), (one.name, other.name)


@contextmanager
def cut_off(cloud: CloudForTests, host: str) -> Iterator[None]:
    """Pull the cable of a host's management network, which carries the tunnels too."""
    names = load_existing(cloud.cloud.lab_dir).names
    port, _ = fabric_ports(host)

    def have(state: str) -> None:
        argv = ["ip", "-n", names.fabric_netns, "link", "set", port, state]
        subprocess.run(argv, check=True)

    have("down")
    try:
        yield
    finally:
        have("up")


def await_service(cloud: CloudForTests, host: str, state: str) -> None:
    def is_so() -> bool:
        (service,) = cloud.admin.compute.services(host=host, binary="nova-compute")
        return bool(service.state == state)

    wait_until(is_so, what=f"host {host} is {state}", timeout_s=180, interval_s=0.5)


def updates(cloud: CloudForTests, host: str) -> dict[str, str]:
    """Return the state of each network_update that the host was, or is, to be told by."""
    query = (
        "select o.id, o.state from operations o join hosts h on h.id = o.host_id "
        "where o.kind = 'network_update' and h.name = ?"
    )
    with reading(cloud) as database:
        return dict(database.execute(query, (host,)).fetchall())


def boot_id(guest: Guest) -> str:
    return guest.says("cat /proc/sys/kernel/random/boot_id")


def forwarded(cloud: CloudForTests, host: str, network: Any) -> str:
    """Return where a host sends the frames of an overlay network."""
    device = "nvx" + network.id.replace("-", "")[:11]
    return cloud.on_host(host, "bridge", "fdb", "show", "dev", device).stdout


def test_guests_of_three_hosts_reach_each_other(network: RoutedNetwork) -> None:
    all_reach_all(network.guests)
    await_told(network.cloud)
    check_clean(network.cloud, HOSTS)


def test_a_member_that_came_while_a_host_was_away_is_reached_from_it_when_it_is_back(
    network: RoutedNetwork,
) -> None:
    cloud = network.cloud
    first, second, away = network.guests
    booted = boot_id(away)
    with cut_off(cloud, away.host):
        (late,) = network.boot({"late": first.host})
        all_reach_all([second, late])
        # It is there, and says so outside; but neither knows the other, nor could reach it.
        assert boot_id(away) == booted
        assert not away.pings(late.address)
        assert not late.pings(away.address)
        await_service(cloud, away.host, "down")
        assert late.mac not in forwarded(cloud, away.host, network.network)
        assert set(updates(cloud, away.host).values()) > {"succeeded"}, "it is not to be told"
    await_service(cloud, away.host, "up")
    await_told(cloud)
    assert late.mac in forwarded(cloud, away.host, network.network)
    all_reach_all([away, late])
    assert boot_id(away) == booted
    check_clean(cloud, HOSTS)


def test_a_rebooted_host_has_its_networks_and_routers_again_by_an_update(
    network: RoutedNetwork,
) -> None:
    cloud = network.cloud
    first, second, third, late = network.guests
    booted, told = boot_id(second), updates(cloud, second.host)
    hosts.kill(cloud.cloud.lab_dir, second.host)
    # Who goes while it is off is not sent to afterwards.
    network.end(late)
    all_reach_all([first, third])
    hosts.start(cloud.cloud.lab_dir, second.host)
    links = cloud.on_host(second.host, "ls", "/sys/class/net").stdout
    assert "nvx" not in links, "a host comes up with nothing of ours"

    wait_until(lambda: boot_id(second) != booted, what="its guest runs again", timeout_s=240)
    cloud.settle(second.server)
    await_told(cloud)
    all_reach_all([first, second, third])
    table = forwarded(cloud, second.host, network.network)
    assert first.mac in table
    assert late.mac not in table
    new = {key: state for key, state in updates(cloud, second.host).items() if key not in told}
    # One by itself for the host's boot, where the member's leave was not told in the same.
    assert 1 <= len(new) <= 2
    assert set(new.values()) == {"succeeded"}
    check_clean(cloud, HOSTS)
