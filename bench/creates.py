"""Creates against the floor: the same guest by qemu-img, virsh define and virsh start.

Guests have a blank disk, so that they sit in their firmware and load no CPU. The rounds alternate:
one create through the API, one by hand on the same host, and so on; then ten at once.
"""

import subprocess
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.report import Report
from lab import contents, hosts
from lab.cloud import Cloud

POLL_S = 0.02
FLOOR_XML = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
<features><acpi/><apic/><tcg><tb-cache unit='MiB'>64</tb-cache></tcg></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>
<serial type='pty'/><graphics type='vnc' autoport='yes'/><video><model type='vga'/></video>
<memballoon model='virtio'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
</devices></domain>"""
FLOOR = """set -e
cd /var/lib/novella
qemu-img create -q -f qcow2 -b {base} -F raw {disk} 1G
printf %s '{xml}' > /run/{name}.xml
virsh -q define /run/{name}.xml
virsh -q start {name}
"""


def measure(cloud: Cloud, report: Report, blank: Path, rounds: int, batches: int) -> None:
    """Add the figures of creates to `report`. `cloud` has its hosts and an admin called novella."""
    admin = contents.connect(cloud)
    contents.upload_image(admin, blank, name="blank")
    arguments = {
        "image_id": admin.image.find_image("blank").id,
        "flavor_id": admin.compute.find_flavor("m1.nano").id,
        "networks": [{"uuid": admin.network.find_network("public").id}],
    }
    host = hosts.status(cloud.lab_dir)[0].name
    # The first create on a host also fetches its image; that is measured by no round.
    _create_and_delete(admin, arguments, 4)
    accepted: list[float] = []
    active: list[float] = []
    floor: list[float] = []
    for _ in range(rounds):
        took_accept, took_active = _single(admin, arguments)
        accepted.append(took_accept)
        active.append(took_active)
        floor.append(_floor(cloud, host, 1))
    at_once: list[float] = []
    floor_at_once: list[float] = []
    for _ in range(batches):
        accepts, took = _at_once(admin, arguments, 10)
        accepted.extend(accepts)
        at_once.append(took)
        floor_at_once.append(_floor(cloud, host, 10))
    report.add("create accepted (202)", "s", accepted)
    report.add("accepted to ACTIVE, one", "s", active)
    report.add("floor: qemu-img, define, start, one", "s", floor)
    ratios = [a / f for a, f in zip(active, floor, strict=True)]
    report.add("accepted to ACTIVE / floor, one", "x", ratios, aim="at most 3.5")
    report.add("ten at once, until the last is ACTIVE", "s", at_once)
    report.add("floor: ten by a shell loop on one host, two at a time", "s", floor_at_once)
    ratios = [a / f for a, f in zip(at_once, floor_at_once, strict=True)]
    report.add("ten at once / floor", "x", ratios)


def _single(admin: Any, arguments: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds until 202, and from there until ACTIVE."""
    began = time.monotonic()
    server = admin.compute.create_server(name="bench", **arguments)
    accepted = time.monotonic()
    _await_active(admin, [server.id])
    active = time.monotonic()
    _delete(admin, [server.id])
    return accepted - began, active - accepted


def _at_once(admin: Any, arguments: dict[str, Any], count: int) -> tuple[list[float], float]:
    """Return the seconds until each 202, and until the last of `count` is ACTIVE."""

    def create(number: int) -> tuple[str, float]:
        began = time.monotonic()
        server = admin.compute.create_server(name=f"bench-{number}", **arguments)
        return server.id, time.monotonic() - began

    began = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        made = list(pool.map(create, range(count)))
    ids = [server_id for server_id, _ in made]
    _await_active(admin, ids)
    took = time.monotonic() - began
    _delete(admin, ids)
    return [seconds for _, seconds in made], took


def _create_and_delete(admin: Any, arguments: dict[str, Any], count: int) -> None:
    servers = [admin.compute.create_server(name="warm", **arguments).id for _ in range(count)]
    _await_active(admin, servers)
    _delete(admin, servers)


def _await_active(admin: Any, ids: Sequence[str]) -> None:
    waiting = set(ids)
    while waiting:
        for server_id in sorted(waiting):
            status = admin.compute.get_server(server_id).status
            if status == "ACTIVE":
                waiting.discard(server_id)
            elif status == "ERROR":
                raise SystemExit(f"bench: server {server_id} ended in ERROR")
        time.sleep(POLL_S)


def _delete(admin: Any, ids: Sequence[str]) -> None:
    for server_id in ids:
        admin.compute.delete_server(server_id)
    while any(server.id in ids for server in admin.compute.servers()):
        time.sleep(0.1)


def _floor(cloud: Cloud, host: str, count: int) -> float:
    """Return the seconds of `count` guests by hand on `host`, two at a time; they are removed."""
    made = [(f"floor{number}", str(uuid.uuid4())) for number in range(count)]
    listed = hosts.run(cloud.lab_dir, host, ["ls", "/var/lib/novella/instances/_base"]).stdout
    base = next(f"/var/lib/novella/instances/_base/{n}" for n in listed.split() if len(n) == 40)
    scripts = []
    for name, identity in made:
        disk = f"/var/lib/novella/{name}.qcow2"
        xml = FLOOR_XML.format(name=name, uuid=identity, disk=disk).replace("\n", " ")
        quoted = xml.replace("'", '"')
        scripts.append(FLOOR.format(base=base, disk=disk, xml=quoted, name=name))

    def run(script: str) -> None:
        done = hosts.run(cloud.lab_dir, host, ["sh", "-c", script])
        if done.returncode:
            raise SystemExit(f"bench: the floor failed: {done.stderr}")

    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, scripts))
    took = time.monotonic() - began
    for name, _ in made:
        clean = (
            f"virsh -q destroy {name}; virsh -q undefine {name}; rm -f /var/lib/novella/{name}.*"
        )
        hosts.run(cloud.lab_dir, host, ["sh", "-c", clean])
    return took


def blank_image(directory: Path) -> Path:
    """Return a qcow2 with nothing in it."""
    path = directory / "blank.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "8M"], check=True)
    return path
