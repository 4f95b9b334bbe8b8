"""A batch on a real host: results come one by one, and outlive the connection that brings them."""

from typing import Any

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab

COUNT = 4


def test_a_batch_is_active_one_by_one_though_its_connection_is_lost(cloud: CloudForTests) -> None:
    image = cloud.admin.image.find_image("tiny", ignore_missing=False)
    flavor = cloud.admin.compute.find_flavor("m1.nano", ignore_missing=False)
    network = cloud.admin.network.find_network("public", ignore_missing=False)
    cloud.admin.compute.create_server(
        name="batch", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}],
        min_count=COUNT, max_count=COUNT, availability_zone="nova:h1",
    )  # fmt: skip

    def statuses() -> list[str]:
        return sorted(server.status for server in _batch(cloud))

    seen: list[str] = []

    def first_is_active() -> bool:
        seen[:] = statuses()
        return "ACTIVE" in seen

    wait_until(first_is_active, what="the first is ACTIVE", timeout_s=120, interval_s=0.05)
    assert "BUILD" in seen, "the first was told of only when the last was done"
    assert drop_connections(cloud, "h1") > 0

    wait_until(lambda: "BUILD" not in statuses(), what="none is being built", timeout_s=120)
    assert statuses() == ["ACTIVE"] * COUNT
    servers = _batch(cloud)
    assert {server.hypervisor_hostname for server in servers} == {"h1"}
    domains = cloud.on_host("h1", "virsh", "list", "--uuid").stdout.split()
    assert all(domains.count(server.id) == 1 for server in servers)
    for server in servers:
        cloud.admin.compute.delete_server(server)
    wait_until(lambda: not _batch(cloud), what="all are gone", timeout_s=120)


def _batch(cloud: CloudForTests) -> list[Any]:
    return [each for each in cloud.admin.compute.servers() if each.name.startswith("batch-")]


def drop_connections(cloud: CloudForTests, host: str) -> int:
    """Cut every SSH connection to the host, as a fault of the network would; return how many."""
    listed = cloud.on_host(host, "ps", "-eo", "pid=,args=").stdout.splitlines()
    sessions = [line.split()[0] for line in listed if " sshd: root@" in line]
    cloud.on_host(host, "kill", "-KILL", *sessions)
    return len(sessions)
