"""A host with real guests is drained, and put back."""

import time

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests
from tests.integration.test_host_boot import only_host
from tests.integration.test_resize import of_server

__all__ = ["only_host"]

# Each guest boots twice.
pytestmark = [pytest.mark.lab, pytest.mark.slow]
GUESTS = 3


def test_three_guests_leave_their_host_with_disk_and_address(
    cloud: CloudForTests, only_host: str
) -> None:
    servers = [cloud.boot(f"drained-{number}") for number in range(GUESTS)]
    before = {}
    for server in servers:
        cloud.in_guest(server, f"echo {server.name} > /root/kept; sync")
        before[server.id] = _seen(cloud, server)
    for service in cloud.admin.compute.services(binary="nova-compute"):
        cloud.admin.compute.enable_service(service)

    planned = cloud.cloud.novella("host", "drain", only_host, "--plan")
    assert all(server.id in planned for server in servers)
    began = time.monotonic()
    cloud.cloud.novella("host", "drain", only_host, "--reason", "a test")
    wait_until(
        lambda: f"the drain of host {only_host} is done" in _status(cloud, only_host),
        what="the drain is done",
        timeout_s=300,
        interval_s=1,
    )
    print(f"drained {GUESTS} guests in {time.monotonic() - began:.1f} s")  # noqa: T201
    for server in servers:
        cloud.settle(server)
        assert cloud.host_of(server) != only_host
        assert of_server(cloud, only_host, server.id) == []
        assert _seen(cloud, server) == before[server.id]
    said = cloud.cloud.novella("host", "undrain", only_host)
    assert "takes new servers again" in said
    for server in servers:
        cloud.delete(server)


def _status(cloud: CloudForTests, host: str) -> str:
    return cloud.cloud.novella("host", "drain", host, "--status")


def _seen(cloud: CloudForTests, server: object) -> tuple[str, str, str]:
    kept = cloud.in_guest(server, "cat /root/kept")
    return kept, cloud.in_guest(server, "cat /sys/class/net/eth0/address"), cloud.address(server)
