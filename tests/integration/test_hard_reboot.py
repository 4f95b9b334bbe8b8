"""A hard reboot puts right whatever was broken on the host, and keeps what is the tenant's."""

import pytest

from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


def test_hard_reboot_repairs_all_at_once_and_keeps_disk_mac_and_address(
    cloud: CloudForTests,
) -> None:
    server = cloud.boot("broken")
    host = cloud.host_of(server)
    cloud.in_guest(server, "echo precious > /root/kept; sync")
    before = cloud.tenant.compute.get_server(server.id).addresses
    folder = f"/var/lib/novella/instances/{server.id}"
    tap = _tap(cloud, host, server.id)

    cloud.on_host(host, "virsh", "destroy", server.id)
    cloud.on_host(host, "virsh", "undefine", server.id)
    cloud.on_host(host, "rm", f"{folder}/libvirt.xml")
    cloud.on_host(host, "sh", "-c", "rm -f /var/lib/novella/instances/_base/[0-9a-f]*")
    cloud.on_host(host, "ip", "link", "del", tap, check=False)
    # A host whose firewall somebody flushed: our chains are gone, and the bridge is open.
    cloud.on_host(host, "iptables", "-F")
    cloud.on_host(host, "iptables", "-X")
    cloud.on_host(host, "ebtables-nft", "-F")
    cloud.on_host(host, "sh", "-c", "ipset destroy; true")
    # Its networks: services, addresses and metadata, namespaces and bridges.
    networks = "/var/lib/novella/networks"
    cloud.on_host(host, "sh", "-c", f"rm -f {networks}/*/dhcp-hosts/* {networks}/*/metadata/*.json")
    for namespace in cloud.on_host(host, "ip", "netns").stdout.split():
        if namespace.startswith("nvn-"):
            cloud.on_host(host, "ip", "netns", "del", namespace)
    cloud.on_host(host, "rm", "-f", f"{folder}/domain.info")

    cloud.tenant.compute.reboot_server(server, "HARD")
    cloud.settle(server)

    assert cloud.in_guest(server, "cat /root/kept").strip() == "precious"
    assert cloud.tenant.compute.get_server(server.id).addresses == before
    rules = cloud.on_host(host, "iptables-save").stdout
    assert tap in rules
    cloud.delete(server)


def test_a_soft_reboot_is_a_clean_one(cloud: CloudForTests) -> None:
    server = cloud.boot("soft")
    first = cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id")
    cloud.tenant.compute.reboot_server(server, "SOFT")
    cloud.settle(server)
    assert cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id") != first
    cloud.delete(server)


def _tap(cloud: CloudForTests, host: str, server_id: str) -> str:
    listed = cloud.on_host(host, "virsh", "domiflist", server_id).stdout
    return listed.splitlines()[2].split()[0]
