"""The power of a host is cut: when it is back, its guests are too, as they were."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab import hosts
from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


@pytest.fixture
def only_host(cloud: CloudForTests) -> Iterator[str]:
    """The one host that takes servers meanwhile."""
    others = [
        each for each in cloud.admin.compute.services(binary="nova-compute") if each.host != "h1"
    ]
    for service in others:
        cloud.admin.compute.disable_service(service)
    yield "h1"
    for service in others:
        cloud.admin.compute.enable_service(service)


def test_guests_come_back_after_their_hosts_power_was_cut(
    cloud: CloudForTests, only_host: str
) -> None:
    servers = [cloud.boot(name) for name in ("left", "right")]
    off = cloud.boot("off")
    for server in servers:
        cloud.in_guest(server, f"echo {server.name} > /root/kept; sync")
    cloud.tenant.compute.stop_server(off)
    cloud.settle(off, "SHUTOFF")
    before = [_seen(cloud, server) for server in servers]
    boots = [_boot_id(cloud, server) for server in servers]
    assert {cloud.host_of(each) for each in (*servers, off)} == {only_host}

    hosts.kill(cloud.cloud.lab_dir, only_host)
    hosts.start(cloud.cloud.lab_dir, only_host)
    running = cloud.on_host(only_host, "virsh", "list", "--uuid").stdout.split()
    assert running == [], "libvirt starts nothing by itself"

    for server in servers:
        wait_until(
            lambda server=server: _starts(cloud, server) > 0,
            what=f"{server.name} is started again",
            timeout_s=120,
        )
        cloud.settle(server)
    assert [_seen(cloud, server) for server in servers] == before
    assert all(_boot_id(cloud, server) != boot for server, boot in zip(servers, boots, strict=True))
    assert cloud.tenant.compute.get_server(off.id).status == "SHUTOFF"
    assert off.id not in cloud.on_host(only_host, "virsh", "list", "--uuid").stdout
    for server in (*servers, off):
        cloud.delete(server)


def _seen(cloud: CloudForTests, server: Any) -> dict[str, Any]:
    """What must be the same before and after."""
    return {
        "content": cloud.in_guest(server, "cat /root/kept"),
        "mac": cloud.in_guest(server, "cat /sys/class/net/eth0/address"),
        "addresses": cloud.tenant.compute.get_server(server.id).addresses,
        "metadata": cloud.in_guest(
            server, "wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json"
        ),
    }


def _boot_id(cloud: CloudForTests, server: Any) -> str:
    return cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id")


def _starts(cloud: CloudForTests, server: Any) -> int:
    done = cloud.admin.compute.server_actions(server)
    return sum(each.action == "reboot" for each in done)
