"""Interfaces of a real guest: plugged in and taken out while it runs, and while it is off."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def server(cloud: CloudForTests) -> Iterator[Any]:
    made = cloud.boot("cards")
    yield made
    cloud.delete(made)


def test_a_security_group_is_added_and_removed_live(cloud: CloudForTests, server: Any) -> None:
    boot_id = cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id")
    address = cloud.address(server)
    group = cloud.tenant.network.create_security_group(name="web")
    cloud.tenant.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp",
        port_range_min=8080, port_range_max=8080,
    )  # fmt: skip
    assert not _lets_through(address, 8080)

    cloud.tenant.compute.add_security_group_to_server(server, group)
    wait_until(lambda: _lets_through(address, 8080), what="the new rule holds", timeout_s=60)
    cloud.tenant.compute.remove_security_group_from_server(server, group)
    wait_until(lambda: not _lets_through(address, 8080), what="it holds no more", timeout_s=60)

    assert cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id") == boot_id
    cloud.tenant.network.delete_security_group(group)


def test_interfaces_come_and_go_live_and_while_the_server_is_off(
    cloud: CloudForTests, server: Any
) -> None:
    host = cloud.host_of(server)
    cloud.in_guest(server, "echo precious > /root/kept; sync")
    boot_id = cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id")
    (first,) = _interfaces(cloud, server)
    # Not the first one's: of two cards in one subnet, a guest answers by whichever came up first.
    network = cloud.tenant.network.create_network(name="inner")
    subnet = cloud.tenant.network.create_subnet(
        network_id=network.id, cidr="192.168.77.0/24", ip_version=4, gateway_ip=None
    )

    live = cloud.tenant.compute.create_server_interface(server, net_id=network.id, tag="backup")
    address = live.fixed_ips[0]["ip_address"]
    wait_until(
        lambda: f"inet {address}/" in cloud.in_guest(server, "ip -4 addr show dev eth1; true"),
        what="the guest has the address of its new card by DHCP",
        timeout_s=60,
    )
    assert cloud.in_guest(server, "cat /sys/class/net/eth1/address").strip() == live.mac_addr
    assert '"backup"' in _metadata(cloud, server)
    assert [each.port_state for each in _interfaces(cloud, server)] == ["ACTIVE", "ACTIVE"]
    assert _on_host(cloud, host, live.port_id) == {"tap", "rules", "dhcp"}
    assert network.id in cloud.on_host(host, "ip", "netns").stdout

    cloud.tenant.compute.delete_server_interface(live.port_id, server=server)
    _settled(cloud, server, [first.port_id])
    assert "eth1" not in cloud.in_guest(server, "ls /sys/class/net")
    assert _on_host(cloud, host, live.port_id) == set()
    assert network.id not in cloud.on_host(host, "ip", "netns").stdout
    # All of it without a restart.
    assert cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id") == boot_id

    cloud.tenant.compute.stop_server(server)
    cloud.settle(server, "SHUTOFF")
    port = cloud.tenant.network.create_port(network_id=network.id)
    cloud.tenant.compute.create_server_interface(server, port_id=port.id)
    wait_until(
        lambda: "rules" in _on_host(cloud, host, port.id), what="its rules are there", timeout_s=60
    )
    cloud.tenant.compute.start_server(server)
    cloud.settle(server)
    address = port.fixed_ips[0]["ip_address"]
    assert f"inet {address}/" in cloud.in_guest(server, "ip -4 addr show dev eth1")
    assert cloud.in_guest(server, "cat /sys/class/net/eth0/address").strip() == first.mac_addr
    assert cloud.in_guest(server, "cat /root/kept").strip() == "precious"

    cloud.tenant.compute.stop_server(server)
    cloud.settle(server, "SHUTOFF")
    cloud.tenant.compute.delete_server_interface(port.id, server=server)
    _settled(cloud, server, [first.port_id])
    assert _on_host(cloud, host, port.id) == set()
    # It was the tenant's own: it is free, and still there.
    assert not cloud.tenant.network.get_port(port.id).device_id
    cloud.tenant.network.delete_port(port.id)
    cloud.tenant.network.delete_subnet(subnet)
    cloud.tenant.network.delete_network(network)


def _lets_through(address: str, port: int) -> bool:
    """Whether the guest is reached, which refuses what nobody listens for; a filter is silent."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    return True


def _interfaces(cloud: CloudForTests, server: Any) -> list[Any]:
    return list(cloud.tenant.compute.server_interfaces(server))


def _settled(cloud: CloudForTests, server: Any, ports: list[str]) -> None:
    wait_until(
        lambda: [each.port_id for each in _interfaces(cloud, server)] == ports,
        what="the interface is detached",
        timeout_s=90,
    )


def _metadata(cloud: CloudForTests, server: Any) -> str:
    url = "http://169.254.169.254/openstack/latest/meta_data.json"
    return cloud.in_guest(server, f"wget -q -O - {url}")


def _on_host(cloud: CloudForTests, host: str, port_id: str) -> set[str]:
    """What the host has of a port."""
    tap = "nvt" + port_id.replace("-", "")[:11]
    looks = {
        "tap": f"ls /sys/class/net | grep -q {tap}",
        "rules": f"iptables-save | grep -q {tap}",
        "dhcp": f"ls /var/lib/novella/networks/*/dhcp-hosts | grep -q {port_id}",
    }
    return {
        what
        for what, look in looks.items()
        if cloud.on_host(host, "sh", "-c", look, check=False).returncode == 0
    }
