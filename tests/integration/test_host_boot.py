"""The power of a host is cut: when it is back, its guests are too, as they were."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab import hosts
from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


@contextmanager
def only(cloud: CloudForTests, host: str) -> Iterator[None]:
    """Have `host` be the one host that takes servers meanwhile."""
    others = [
        each for each in cloud.admin.compute.services(binary="nova-compute") if each.host != host
    ]
    for service in others:
        cloud.admin.compute.disable_service(service)
    try:
        yield
    finally:
        for service in others:
            cloud.admin.compute.enable_service(service)


@pytest.fixture
def only_host(cloud: CloudForTests) -> Iterator[str]:
    """The one host that takes servers meanwhile."""
    with only(cloud, "h1"):
        yield "h1"


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


@pytest.mark.slow
def test_rescued_and_resized_guests_come_back_as_they_were(cloud: CloudForTests) -> None:
    small = cloud.tenant.compute.find_flavor("m1.small", ignore_missing=False)
    with only(cloud, "h1"):
        resized = {each: cloud.boot(f"to-{each}") for each in ("confirm", "revert")}
    with only(cloud, "h2"):
        rescued = cloud.boot("rescued")
    for server in (rescued, *resized.values()):
        cloud.in_guest(server, f"echo {server.name} > /root/kept; sync")
    cloud.tenant.compute.rescue_server(rescued, admin_pass="s3cret")
    for server in resized.values():
        cloud.tenant.compute.resize_server(server.id, small)
    cloud.settle(rescued, "RESCUE")
    cloud.in_guest(rescued, "test ! -e /root/kept; echo mine > /root/of-rescue; sync")
    for server in resized.values():
        cloud.settle(server, "VERIFY_RESIZE")
        assert "kept" in cloud.in_guest(server, "ls /root")
    servers = (rescued, *resized.values())
    assert {cloud.host_of(each) for each in servers} == {"h2"}
    macs = [_mac(cloud, server) for server in servers]

    hosts.kill(cloud.cloud.lab_dir, "h2")
    hosts.start(cloud.cloud.lab_dir, "h2")
    for server in servers:
        wait_until(
            lambda server=server: _starts(cloud, server, "start") > 0,
            what=f"{server.name} is started again",
            timeout_s=120,
        )
    cloud.settle(rescued, "RESCUE")
    # The disk that it was rescued with, not another one of the same image.
    assert cloud.in_guest(rescued, "cat /root/of-rescue") == "mine\n"
    for server in resized.values():
        cloud.settle(server, "VERIFY_RESIZE")
        kept = cloud.in_guest(server, "cat /root/kept /sys/block/vda/size")
        assert kept.split("\n")[:2] == [server.name, str(5 << 21)]
    assert [_mac(cloud, server) for server in servers] == macs

    cloud.tenant.compute.unrescue_server(rescued)
    cloud.tenant.compute.confirm_server_resize(resized["confirm"].id)
    cloud.tenant.compute.revert_server_resize(resized["revert"].id)
    for server, host, size_gb in zip(servers, ("h2", "h2", "h1"), (1, 5, 1), strict=True):
        cloud.settle(server)
        assert cloud.host_of(server) == host
        kept = cloud.in_guest(server, "cat /root/kept /sys/block/vda/size")
        assert kept.split("\n")[:2] == [server.name, str(size_gb << 21)]
    for server in servers:
        cloud.delete(server)


def _mac(cloud: CloudForTests, server: Any) -> str:
    return cloud.in_guest(server, "cat /sys/class/net/eth0/address")


def _seen(cloud: CloudForTests, server: Any) -> dict[str, Any]:
    """What must be the same before and after."""
    return {
        "content": cloud.in_guest(server, "cat /root/kept"),
        "mac": _mac(cloud, server),
        "addresses": cloud.tenant.compute.get_server(server.id).addresses,
        "metadata": cloud.in_guest(
            server, "wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json"
        ),
    }


def _boot_id(cloud: CloudForTests, server: Any) -> str:
    return cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id")


def _starts(cloud: CloudForTests, server: Any, action: str = "reboot") -> int:
    done = cloud.admin.compute.server_actions(server)
    return sum(each.action == action for each in done)
