"""What a delete leaves behind on a host: nothing."""

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


def test_delete_leaves_nothing_on_the_host(cloud: CloudForTests) -> None:
    server = cloud.boot("gone")
    host = cloud.host_of(server)
    port = next(iter(cloud.tenant.network.ports(device_id=server.id)))

    cloud.delete(server)

    assert server.id not in cloud.on_host(host, "virsh", "list", "--all", "--uuid").stdout
    assert server.id not in cloud.on_host(host, "ls", "/var/lib/novella/instances").stdout
    found = cloud.on_host(host, "sh", "-c", "find /var/lib/novella/networks -type f").stdout
    assert port.id not in found
    part = port.id.replace("-", "")[:11]
    assert part not in cloud.on_host(host, "iptables-save").stdout
    assert part not in cloud.on_host(host, "ip", "link").stdout
    assert cloud.tenant.network.find_port(port.id) is None


def test_a_server_deleted_while_it_is_built_is_gone_in_the_end(cloud: CloudForTests) -> None:
    server = cloud.boot("hasty", wait=False)
    cloud.delete(server)

    def nothing_left() -> bool:
        return all(
            server.id not in cloud.on_host(host, "virsh", "list", "--all", "--uuid").stdout
            and server.id not in cloud.on_host(host, "ls", "/var/lib/novella/instances").stdout
            for host in ("h1", "h2")
        )

    wait_until(nothing_left, what="no host has anything of the server", timeout_s=60)
