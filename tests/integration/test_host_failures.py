"""Hosts that fail during a create: the next one takes the server, and nothing is left behind."""

from datetime import UTC, datetime, timedelta

import pytest

from lab import hosts
from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


def test_a_full_disk_sends_the_server_to_the_next_host(cloud: CloudForTests) -> None:
    """The host is full of something that placement knows nothing of."""
    server = cloud.boot("probe")
    full = cloud.host_of(server)
    cloud.delete(server)
    instances = "/var/lib/novella/instances"
    cloud.on_host(full, "mount", "-t", "tmpfs", "-o", "size=64k", "full", instances)
    try:
        moved = cloud.boot("moved")
        assert cloud.host_of(moved) != full
        assert moved.id not in cloud.on_host(full, "ls", instances).stdout
        assert moved.id not in cloud.on_host(full, "virsh", "list", "--all", "--uuid").stdout
        cloud.delete(moved)
    finally:
        cloud.on_host(full, "umount", instances)
    large_again = datetime.now(UTC).replace(tzinfo=None)

    def is_seen_large() -> bool:
        # What a host has is read with each heartbeat. One that is under way may still have met the
        # small disk; it has ended long before the one after it.
        services = cloud.admin.compute.get("/os-services?binary=nova-compute").json()["services"]
        (seen,) = [each["updated_at"] for each in services if each["host"] == full]
        return datetime.fromisoformat(seen) > large_again + timedelta(seconds=5)

    wait_until(is_seen_large, what="the host's disk is seen to be large again", timeout_s=90)


def test_a_host_switched_off_during_a_create_is_replaced_and_cleaned_when_it_is_back(
    cloud: CloudForTests,
) -> None:
    server = cloud.boot("powerless", wait=False)
    wait_until(
        lambda: cloud.admin.compute.get_server(server.id).hypervisor_hostname is not None,
        what="a host is chosen",
        timeout_s=30,
        interval_s=0.02,
    )
    chosen = cloud.host_of(server)
    hosts.kill(cloud.cloud.lab_dir, chosen)
    try:
        done = cloud.tenant.compute.wait_for_server(server, wait=240)
        assert cloud.host_of(done) != chosen
    finally:
        hosts.start(cloud.cloud.lab_dir, chosen)

    def cleaned() -> bool:
        folder = cloud.on_host(chosen, "ls", "/var/lib/novella/instances", check=False).stdout
        domains = cloud.on_host(chosen, "virsh", "list", "--all", "--uuid", check=False).stdout
        return server.id not in folder + domains

    wait_until(cleaned, what=f"{chosen} has nothing of the server", timeout_s=120, interval_s=1)
    cloud.delete(server)
