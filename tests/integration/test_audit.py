"""`novella audit` on a real cloud: all agree, what was broken is named, leftovers are reaped."""

import json
import subprocess
import time
from typing import Any

import pytest

from controller.conductor.reconcilers import host_leftovers
from controller.db.base import utcnow
from controller.db.session import Database
from controller.runner.ansible import AnsibleExecutor
from controller.settings import load
from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab

INSTANCES = "/var/lib/novella/instances"


def audit(cloud: CloudForTests) -> tuple[int, dict[str, Any]]:
    """Return the exit status of `novella audit --json`, and what it said."""
    done = subprocess.run(
        [*cloud.cloud.command, "audit", "--json"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_an_audit_sees_what_was_broken_and_what_a_deleted_server_left_is_reaped(
    cloud: CloudForTests,
) -> None:
    server = cloud.boot("audited")
    status, said = audit(cloud)
    assert (status, said["findings"]) == (0, [])

    host = cloud.host_of(server)
    port = next(iter(cloud.tenant.network.ports(device_id=server.id)))
    networks = f"/var/lib/novella/networks/{port.network_id}"
    short = port.id.replace("-", "")[:11]
    cloud.on_host(host, "rm", f"{networks}/dhcp-hosts/{port.id}")
    cloud.on_host(host, "sh", "-c", f"rm {networks}/metadata/{cloud.address(server)}.json")
    cloud.on_host(host, "iptables", "-F", f"nv-i-{short}")
    cloud.on_host(host, "rm", f"{INSTANCES}/{server.id}/libvirt.xml")
    status, said = audit(cloud)
    kinds = {finding["kind"] for finding in said["findings"]}
    assert (status, kinds) == (
        1, {"dhcp_missing", "metadata_missing", "rules_differ", "definition_missing"},
    )  # fmt: skip

    # The way out that it names.
    cloud.tenant.compute.reboot_server(server, "HARD")
    cloud.settle(server)
    assert audit(cloud)[0] == 0

    cloud.delete(server)
    cloud.on_host(host, "mkdir", f"{INSTANCES}/{server.id}")
    cloud.on_host(host, "touch", f"{INSTANCES}/{server.id}/disk")
    status, said = audit(cloud)
    assert [finding["kind"] for finding in said["findings"]] == ["leftover"]
    reap(cloud)
    wait_until(
        lambda: server.id not in cloud.on_host(host, "ls", INSTANCES).stdout,
        what="the leftover is set aside",
        timeout_s=60,
        interval_s=0.5,
    )
    assert server.id in cloud.on_host(host, "ls", f"{INSTANCES}/_quarantine").stdout
    cloud.on_host(host, "rm", "-r", f"{INSTANCES}/_quarantine")
    assert audit(cloud)[0] == 0


def reap(cloud: CloudForTests) -> None:
    """Do a round of the reconciler now; the worker does what it submits."""
    settings = load(cloud.cloud.config)
    db = Database(settings.db_url)
    executor = AnsibleExecutor(settings)
    try:
        assert host_leftovers.run(settings, db, executor, utcnow, time.sleep) == 1
    finally:
        executor.close()
        db.dispose()


def test_a_guest_that_ends_by_itself_is_stopped_and_one_started_behind_our_back_too(
    cloud: CloudForTests,
) -> None:
    server = cloud.boot("sleeper")
    host = cloud.host_of(server)
    domain = f"novella-{server.id}"
    cloud.on_host(host, "virsh", "destroy", domain)
    wait_until(
        lambda: cloud.tenant.compute.get_server(server.id).status == "SHUTOFF",
        what="the server is shown as stopped",
        timeout_s=90,
        interval_s=1,
    )
    cloud.on_host(host, "virsh", "start", domain)

    def is_off() -> bool:
        state = cloud.on_host(host, "virsh", "domstate", domain).stdout.strip()
        return state == "shut off"

    wait_until(is_off, what="the guest is stopped again", timeout_s=120, interval_s=1)
    cloud.settle(server, "SHUTOFF")
    cloud.delete(server)
