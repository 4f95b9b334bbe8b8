"""Kill anything at any time: what was accepted ends in what was asked for, or in a clean error."""

import os
import signal

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


def test_a_create_survives_the_death_of_its_worker(cloud: CloudForTests) -> None:
    server = cloud.boot("orphan", wait=False)
    wait_until(
        lambda: _task_state(cloud, server) == "spawning" and _workers(cloud),
        what="the create's play runs",
        timeout_s=30,
        interval_s=0.02,
    )
    for pid in _workers(cloud):
        os.kill(pid, signal.SIGKILL)

    done = cloud.tenant.compute.wait_for_server(server, wait=180)
    assert done.status == "ACTIVE"
    assert cloud.in_guest(done, "hostname").strip() == "orphan"
    assert _domains(cloud, server.id) == 1
    cloud.delete(server)


def test_a_create_survives_a_restart_of_the_whole_controller(cloud: CloudForTests) -> None:
    server = cloud.boot("rebooted", wait=False)
    cloud.cloud.stop_controller(kill=True)
    cloud.cloud.start_controller()

    assert cloud.tenant.compute.wait_for_server(server, wait=180).status == "ACTIVE"
    assert _domains(cloud, server.id) == 1
    cloud.delete(server)


def _task_state(cloud: CloudForTests, server: object) -> str | None:
    return cloud.admin.compute.get_server(server.id).task_state  # type: ignore[attr-defined]


def _workers(cloud: CloudForTests) -> list[int]:
    return [pid for pid, what in cloud.cloud.processes().items() if what == "worker"]


def _domains(cloud: CloudForTests, server_id: str) -> int:
    return sum(
        server_id in cloud.on_host(host, "virsh", "list", "--all", "--uuid").stdout
        for host in ("h1", "h2")
    )
