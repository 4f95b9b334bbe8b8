"""What somebody changed on a host is shown, and put right beneath a guest that runs on."""

import json
import subprocess
from typing import Any

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


def test_drift_is_shown_and_put_right_without_a_restart(cloud: CloudForTests) -> None:
    server = cloud.boot("drifting", config_drive=True)
    host = cloud.host_of(server)
    boot_id = cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id")
    (port,) = cloud.tenant.network.ports(device_id=server.id)
    tap = "nvt" + port.id.replace("-", "")[:11]
    networks = f"/var/lib/novella/networks/{port.network_id}"
    assert _check(cloud, "server", server.id) == (0, [])

    for broken in (
        f"iptables -F nv-i-{tap}; iptables -F nv-ingress",
        f"rm {networks}/dhcp-hosts/{port.id} {networks}/metadata/*",
        f"ip link set {tap} nomaster",
        f"virsh dumpxml --inactive {server.id} > /tmp/edited.xml",
        "sed -i 's/<on_crash>destroy/<on_crash>restart/' /tmp/edited.xml",
        "virsh define /tmp/edited.xml",
        f"virsh setmem {server.id} --size 65536 --config",
    ):
        cloud.on_host(host, "sh", "-c", broken, check=False)
    code, (found,) = _check(cloud, "server", server.id)
    assert (code, found["server"]) == (1, server.id)
    for shown in (
        f"tap {tap}: not in bridge",
        f"+{port.mac_address},",
        "+/openstack/latest/meta_data.json",
        "+iptables: -A nv-ingress",
        "on_crash: restart, wanted destroy",
    ):
        assert shown in found["diff"], found["diff"]
    # Looking changed nothing.
    assert _check(cloud, "host", host) == (1, [found])

    code, left = _check(cloud, "server", server.id, "--fix")
    assert (code, left) == (0, [])
    assert cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id") == boot_id
    assert _check(cloud, "host", host) == (0, [])

    # Its card's tap is gone from under it: it is plugged in again, live.
    cloud.on_host(host, "ip", "link", "del", tap)
    code, (found,) = _check(cloud, "server", server.id)
    assert "its tap is gone" in found["diff"]
    assert _check(cloud, "server", server.id, "--fix") == (0, [])
    assert cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id") == boot_id
    cloud.delete(server)


@pytest.mark.slow
def test_a_new_name_is_no_drift(cloud: CloudForTests) -> None:
    """The guest's metadata had the old one, and the domain's mark until its next start."""
    server = cloud.boot("named")
    host = cloud.host_of(server)

    def bears(name: str) -> bool:
        dumped = cloud.on_host(host, "virsh", "dumpxml", server.id).stdout
        return f"<novella:name>{name}<" in dumped

    cloud.tenant.compute.update_server(server.id, name="named otherwise")
    wait_until(
        lambda: bears("named otherwise"),
        what="the domain bears the new name", timeout_s=60, interval_s=0.5,
    )  # fmt: skip
    assert _check(cloud, "server", server.id) == (0, [])
    # What a suspended guest's memory is saved with has the name of then.
    cloud.tenant.compute.suspend_server(server)
    cloud.settle(server, "SUSPENDED")
    cloud.tenant.compute.update_server(server.id, name="named in its sleep")
    cloud.tenant.compute.resume_server(server)
    cloud.settle(server)
    assert bears("named in its sleep")
    assert _check(cloud, "server", server.id) == (0, [])
    cloud.delete(server)


def _check(cloud: CloudForTests, noun: str, name: str, *options: str) -> tuple[int, list[Any]]:
    """Return the command's exit status and the servers that differ; with --fix those left."""
    done = subprocess.run(
        [*cloud.cloud.command, noun, "check", name, "--json", *options],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["problem"] == ""
    return done.returncode, said["left" if options else "differ"]
