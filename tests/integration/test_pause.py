"""A worker that stands still past its lease: its successor does the work, once."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import ROOT, CloudForTests
from tests.fixtures.workers import stop_between_writes
from tests.integration.test_batches import drop_connections

pytestmark = pytest.mark.lab


def test_a_worker_back_from_a_pause_changes_nothing_more(cloud: CloudForTests) -> None:
    server = cloud.boot("paused", wait=False)
    (first,) = [pid for pid, what in cloud.cloud.processes().items() if what == "worker"]
    wait_until(
        lambda: _is_at_work(cloud, server), what="the create's play is on the host", timeout_s=60,
        interval_s=0.02,
    )  # fmt: skip
    stop_between_writes(cloud, first)
    command = [sys.executable, "-m", "controller.cli", "--config", str(cloud.cloud.config)]
    second = None
    try:
        drop_connections(cloud, cloud.host_of(server))
        second = subprocess.Popen([*command, "worker", "--name", "second"], cwd=ROOT)
        done = cloud.tenant.compute.wait_for_server(server, wait=180)
        before = _all_of(cloud, done)
        os.kill(first, signal.SIGCONT)
        # It is at work again when it has done something of its own.
        other = cloud.boot("after")
        assert _all_of(cloud, done) == before
        cloud.delete(other)
    finally:
        os.kill(first, signal.SIGCONT)
        if second is not None:
            second.terminate()
            second.wait(60)
    cloud.delete(done)


def _is_at_work(cloud: CloudForTests, server: Any) -> bool:
    host = cloud.admin.compute.get_server(server.id).hypervisor_hostname
    record = f"/var/lib/novella/fence/{server.id}.json"
    return bool(host) and cloud.on_host(host, "test", "-e", record, check=False).returncode == 0


def _all_of(cloud: CloudForTests, server: Any) -> list[Any]:
    """Return what the database and the host have of the server."""
    fresh = cloud.admin.compute.get_server(server.id)
    host = cloud.host_of(server)
    paths = [f"fence/{server.id}.json", f"instances/{server.id}/libvirt.xml"]
    stats = [cloud.on_host(host, "stat", "-c", "%Y %i", f"/var/lib/novella/{p}") for p in paths]
    domain = cloud.on_host(host, "virsh", "domid", server.id).stdout
    return [fresh.status, fresh.updated_at, fresh.launched_at, domain, *(s.stdout for s in stats)]
