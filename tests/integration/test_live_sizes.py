"""Other sizes for a real guest that runs on, and in the definition of its next start."""

import json
import subprocess
from typing import Any

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab

ACTION = "novella:live_resize"
CPUS = "grep -c ^processor /proc/cpuinfo"
MEMORY_MB = "awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def test_a_guest_gets_a_cpu_and_memory_and_gives_them_back(cloud: CloudForTests) -> None:
    flavor = cloud.admin.compute.create_flavor(name="m1.growing", ram=192, vcpus=1, disk=1)
    specs = {"novella:max_vcpus": "2", "novella:max_memory_mb": "320"}
    cloud.admin.compute.create_flavor_extra_specs(flavor, specs)
    server = cloud.boot("growing", flavor_id=flavor.id)
    boot_id = cloud.in_guest(server, BOOT_ID)
    host = cloud.host_of(server)
    before = int(cloud.in_guest(server, MEMORY_MB))
    assert cloud.in_guest(server, CPUS).strip() == "1"

    def why() -> str:
        command = [*cloud.cloud.command, "operation", "list", "--kind", "server_live_resize"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def ask(vcpus: int, memory_mb: int) -> Any:
        body = {ACTION: {"vcpus": vcpus, "memory_mb": memory_mb}}
        return cloud.tenant.compute.post(f"/servers/{server.id}/action", json=body)

    def resize(vcpus: int, memory_mb: int) -> None:
        answer = ask(vcpus, memory_mb)
        assert answer.status_code == 202, answer.text
        cloud.settle(server)
        shown = cloud.tenant.compute.get_server(server.id).flavor
        assert (shown.vcpus, shown.ram) == (vcpus, memory_mb), why()
        kept = cloud.on_host(host, "virsh", "dumpxml", "--inactive", server.id).stdout
        assert f"<currentMemory unit='KiB'>{memory_mb << 10}<" in kept
        count = cloud.on_host(host, "virsh", "vcpucount", server.id, "--live", "--active")
        assert int(count.stdout) == vcpus

    resize(2, 320)
    cloud.in_guest(server, "echo 1 > /sys/devices/system/cpu/cpu1/online || true")
    wait_until(lambda: cloud.in_guest(server, CPUS).strip() == "2", what="two CPUs", timeout_s=60)
    assert int(cloud.in_guest(server, MEMORY_MB)) - before == pytest.approx(128, abs=4)
    resize(2, 192)
    assert int(cloud.in_guest(server, MEMORY_MB)) == pytest.approx(before, abs=4)
    assert cloud.in_guest(server, BOOT_ID) == boot_id
    done = subprocess.run(
        [*cloud.cloud.command, "server", "check", server.id, "--json"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert json.loads(done.stdout)["differ"] == [], done.stdout
    cloud.tenant.compute.stop_server(server)
    cloud.settle(server, "SHUTOFF")
    assert ask(1, 256).status_code == 202
    cloud.settle(server, "SHUTOFF")
    kept = cloud.on_host(host, "virsh", "dumpxml", "--inactive", server.id).stdout
    assert "<vcpu placement='static' current='1'>2<" in kept
    assert f"<currentMemory unit='KiB'>{256 << 10}<" in kept
    cloud.delete(server)
    cloud.admin.compute.delete_flavor(flavor)
