"""A host's power is cut for good: its server is made anew elsewhere, and the host cleaned later."""

import pytest

from lab import hosts
from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests
from tests.integration.test_dry_runs import tried
from tests.integration.test_resize import of_server

# Two boots of a guest, and one of a host that has to be noticed.
pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_a_server_of_a_dead_host_comes_back_elsewhere_and_the_host_is_cleaned(
    cloud: CloudForTests,
) -> None:
    server = cloud.boot("to-evacuate")
    source = cloud.host_of(server)
    try:
        cloud.in_guest(server, "echo lost > /root/written; sync")
        address = cloud.address(server)
        mac = cloud.in_guest(server, "cat /sys/class/net/eth0/address")

        hosts.kill(cloud.cloud.lab_dir, source)
        _force_down(cloud, source, down=True)
        refused = cloud.openstack_raw("server", "evacuate", server.id, login="admin")
        assert refused.returncode != 0
        assert f"novella host fenced {source}" in refused.stderr
        cloud.cloud.novella("host", "fenced", source, "--by", "the tests", "--reason", "killed")
        (would,) = tried(cloud, "POST", f"/servers/{server.id}/action", {"evacuate": {}}, "2.94")[
            "dry_run"
        ]["would"]
        (play,) = would["plays"]
        assert play["host"] == would["host"] != source
        assert f"{server.id}: Make the root disk on the image's base ==\n+" in play["diff"]
        assert of_server(cloud, would["host"], server.id) == []
        # From 2.95 on it would be off afterwards.
        old = ("--os-compute-api-version", "2.94")
        done = cloud.openstack_raw(*old, "server", "evacuate", server.id, login="admin")
        assert done.returncode == 0, done.stderr

        cloud.settle(server)
        dest = cloud.host_of(server)
        assert dest != source
        assert cloud.address(server) == address
        assert cloud.in_guest(server, "cat /sys/class/net/eth0/address") == mac
        # A new disk of the image, as there is no shared storage.
        assert cloud.in_guest(server, "cat /root/written || echo new") == "new\n"
    finally:
        hosts.start(cloud.cloud.lab_dir, source)
        _force_down(cloud, source, down=False)
    wait_until(
        lambda: of_server(cloud, source, server.id) == [],
        what=f"{source} has nothing left of the server",
        timeout_s=120,
        interval_s=1,
    )
    wait_until(
        lambda: _statuses(cloud, server.id) == ["completed"],
        what="the fence is lifted",
        timeout_s=60,
        interval_s=1,
    )
    cloud.settle(server)
    assert cloud.in_guest(server, "echo still here") == "still here\n"
    cloud.delete(server)
    for host in (source, dest):
        assert of_server(cloud, host, server.id) == []


def _force_down(cloud: CloudForTests, host: str, *, down: bool) -> None:
    (service,) = cloud.admin.compute.services(host=host, binary="nova-compute")
    cloud.admin.compute.update_service_forced_down(service, forced=down)


def _statuses(cloud: CloudForTests, server_id: str) -> list[str]:
    found = cloud.admin.compute.migrations(instance_uuid=server_id)
    return [each.status for each in found]
