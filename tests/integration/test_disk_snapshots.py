"""Snapshots inside a real guest's disk, taken while it runs, and gone back to."""

from typing import Any

import pytest

from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


def test_what_was_written_after_a_snapshot_is_gone_after_the_revert(cloud: CloudForTests) -> None:
    server = cloud.boot("snapped")
    path = f"/servers/{server.id}/novella-snapshots"

    def statuses() -> list[Any]:
        return [each["status"] for each in cloud.tenant.compute.get(path).json()["snapshots"]]

    cloud.in_guest(server, "echo before > /root/mark && sync")
    boot_id = cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id")
    answer = cloud.tenant.compute.post(path, json={"snapshot": {"name": "before"}})
    assert answer.status_code == 202, answer.text
    snapshot = answer.json()["snapshot"]["id"]
    cloud.settle(server)
    assert statuses() == ["available"]
    cloud.in_guest(server, "echo after > /root/mark && sync")
    assert cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id") == boot_id

    cloud.tenant.compute.stop_server(server)
    cloud.settle(server, "SHUTOFF")
    revert = {"novella:revert_snapshot": {"snapshot": snapshot}}
    answer = cloud.tenant.compute.post(f"/servers/{server.id}/action", json=revert)
    assert answer.status_code == 202, answer.text
    cloud.settle(server, "SHUTOFF")
    cloud.tenant.compute.start_server(server)
    cloud.settle(server)
    assert cloud.in_guest(server, "cat /root/mark").strip() == "before"

    # Deleted beneath the guest, which goes on with what it has.
    assert cloud.tenant.compute.delete(f"{path}/{snapshot}").status_code == 202
    cloud.settle(server)
    assert statuses() == []
    disk = f"/var/lib/novella/instances/{server.id}/disk"
    said = cloud.on_host(cloud.host_of(server), "qemu-img", "info", "-U", disk).stdout
    assert "Snapshot list" not in said
    assert cloud.in_guest(server, "cat /root/mark").strip() == "before"
    cloud.delete(server)
