"""The modules of disks and domains on a real host, with a real guest, and no controller."""

import copy
import hashlib
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.module_utils.domain_files import rendered, server

pytestmark = pytest.mark.lab

STATE_PATH = "/var/lib/novella"
READY = "NOVELLA-GUEST-READY"


class Guest:
    """A server made by hand on a lab host: its id, and the modules that work on it."""

    def __init__(self, host: Any, base: dict[str, Any]) -> None:
        self.host = host
        self.base = base
        self.id = str(uuid.uuid4())
        self.folder = f"{STATE_PATH}/instances/{self.id}"
        self.server = copy.deepcopy(server(id=self.id, networks=[], ports=[]))

    def run(self, module: str, *, check: bool = False, **args: Any) -> dict[str, Any]:
        return succeeded(self.host.ansible(module, args, check=check))

    def make_disk(self, **more: Any) -> dict[str, Any]:
        args = {"path": f"{self.folder}/disk", "size_gb": 1, "base": self.base, **more}
        return self.run("qcow2_disk", **args)

    def make_config_drive(self) -> None:
        self.server["config_drive"] = True
        self.run(
            "config_drive",
            path=f"{self.folder}/disk.config",
            server=self.server,
            secret={"admin_pass": "canary-pass"},
        )

    def domain(self, state: str = "running", *, check: bool = False, **more: Any) -> dict[str, Any]:
        args = {"server_id": self.id, "state": state, **more}
        if state in ("running", "defined"):
            args = {
                "xml": rendered(self.server),
                "xml_path": f"{self.folder}/libvirt.xml",
                **args,
            }
        return self.run("libvirt_domain", check=check, **args)

    def virsh(self, *arguments: str) -> str:
        done = self.host.ssh(["virsh", *arguments])
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def boots(self) -> int:
        """How often the guest has come up so far, by its console."""
        return str(self.host.ssh(["cat", f"{self.folder}/console.log"]).stdout).count(READY)

    def wait_for_boot(self, number: int) -> None:
        wait_until(lambda: self.boots() >= number, 120, f"boot {number} of {self.id}")

    def remove(self) -> None:
        self.host.ssh(["virsh", "destroy", self.id])
        self.host.ssh(["virsh", "undefine", self.id])
        self.host.ssh(["rm", "-rf", self.folder])


def succeeded(result: dict[str, Any]) -> dict[str, Any]:
    # What `ansible -m` prints has no "failed"; our modules say nothing unless they fail.
    assert not result.get("msg"), result
    return result


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {timeout_s} s"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def base(lab_host: Any, tiny_image: Path) -> Iterator[dict[str, Any]]:
    """The parameter `base` of the tiny guest, whose file is on the host already."""
    image_id = str(uuid.uuid4())
    path = f"{STATE_PATH}/{image_id}.qcow2"
    lab_host.ssh(["mkdir", "-p", "-m", "0711", STATE_PATH])
    succeeded(lab_host.ansible("ansible.builtin.copy", {"src": str(tiny_image), "dest": path}))
    yield {"image_id": image_id, "format": "qcow2", "source": path}
    name = hashlib.sha1(image_id.encode(), usedforsecurity=False).hexdigest()
    lab_host.ssh(["rm", "-f", path, f"{STATE_PATH}/instances/_base/{name}"])


@pytest.fixture
def guest(lab_host: Any, base: dict[str, Any]) -> Iterator[Guest]:
    guest = Guest(lab_host, base)
    yield guest
    guest.remove()


def definition(text: str) -> str:
    """What `virsh dumpxml --inactive` says, in canonical form."""
    return ET.canonicalize(text, strip_text=True)


def test_server_boots_restarts_stops_and_goes(guest: Guest) -> None:
    assert guest.make_disk(size_gb=1)["changed"]
    guest.make_config_drive()
    made = guest.domain()["domain"]
    assert made["state"] == "running"
    assert made["vnc_port"] >= 5900
    assert not guest.make_disk()["changed"]
    assert not guest.domain()["changed"]
    guest.wait_for_boot(1)

    # The guest answers the power button, long before it would be cut off.
    started = time.monotonic()
    assert guest.domain("restarted", shutdown_timeout_s=100)["domain"]["state"] == "running"
    assert time.monotonic() - started < 90
    guest.wait_for_boot(2)
    assert guest.domain("stopped", shutdown_timeout_s=100)["domain"]["state"] == "stopped"
    assert not guest.domain("stopped")["changed"]

    assert guest.domain("absent", xml_path=f"{guest.folder}/libvirt.xml")["changed"]
    assert guest.id not in guest.virsh("list", "--all", "--uuid")
    assert guest.run("instance_directory", id=guest.id, state="absent")["changed"]
    assert guest.host.ssh(["test", "-e", guest.folder]).returncode != 0


def test_check_mode_makes_nothing(guest: Guest) -> None:
    assert guest.domain(check=True)["changed"]
    assert guest.id not in guest.virsh("list", "--all", "--uuid")
    assert guest.host.ssh(["test", "-e", guest.folder]).returncode != 0


def test_virsh_define_and_start_of_the_copy_give_the_same_domain(guest: Guest) -> None:
    guest.make_disk()
    guest.domain("defined")
    before = guest.virsh("dumpxml", "--inactive", guest.id)
    guest.virsh("undefine", guest.id)
    guest.virsh("define", f"{guest.folder}/libvirt.xml")
    assert definition(guest.virsh("dumpxml", "--inactive", guest.id)) == definition(before)
    guest.virsh("start", guest.id)
    assert not guest.domain()["changed"]

    # While it runs its disk is neither grown nor removed.
    grown = guest.host.ansible(
        "qcow2_disk", {"path": f"{guest.folder}/disk", "size_gb": 2, "base": guest.base}
    )
    assert "a running domain has it open" in grown["msg"]
    removed = guest.host.ansible("instance_directory", {"id": guest.id, "state": "absent"})
    assert "its QEMU runs" in removed["msg"]


def test_lost_definition_copy_and_base_are_made_again(guest: Guest) -> None:
    base = guest.make_disk()["disk"]["backing_file"]
    before = guest.domain("defined")["domain"]
    guest.virsh("undefine", guest.id)
    guest.host.ssh(["rm", f"{guest.folder}/libvirt.xml", base])
    assert guest.make_disk()["base"]["made"]
    after = guest.domain("defined")["domain"]
    assert (after["uuid"], after["machine"]) == (before["uuid"], before["machine"])


def test_edited_definition_is_told_and_put_right(guest: Guest) -> None:
    guest.domain("defined")
    guest.virsh("setmaxmem", guest.id, "256M", "--config")
    guest.virsh("autostart", guest.id)
    edited = guest.domain("defined")
    assert edited["changed"]
    assert edited["domain"]["differences"] == ["memory: 262144 KiB, wanted 128 MiB"]
    assert not guest.domain("defined")["changed"]
    assert "Autostart:      disable" in guest.virsh("dominfo", guest.id)


def test_start_that_fails_leaves_nothing(guest: Guest) -> None:
    # No disk: QEMU cannot open it.
    failed = guest.host.ansible(
        "libvirt_domain",
        {
            "server_id": guest.id,
            "xml": rendered(guest.server),
            "xml_path": f"{guest.folder}/libvirt.xml",
        },
    )
    assert f"start domain novella-{guest.id}" in failed["msg"]
    assert guest.id not in guest.virsh("list", "--all", "--uuid")
    assert guest.host.ssh(["test", "-e", f"{guest.folder}/libvirt.xml"]).returncode != 0


def test_foreign_domain_is_not_touched(guest: Guest) -> None:
    guest.domain("defined")
    other = {"server_id": guest.id, "state": "absent", "cloud_id": str(uuid.uuid4())}
    refused = guest.host.ansible("libvirt_domain", other)
    assert "it belongs to cloud 00000000" in refused["msg"]
    assert guest.host.ansible("libvirt_domain", other | {"override": True})["changed"]


def test_full_disk_of_the_host_is_told_and_leaves_nothing(guest: Guest) -> None:
    small = f"/tmp/{guest.id}"
    guest.host.ssh(["mkdir", small])
    mounted = guest.host.ssh(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small])
    assert mounted.returncode == 0, mounted.stderr
    try:
        path = f"{small}/instances/{guest.id}/disk"
        args = {"path": path, "state_path": small, "size_gb": 1, "base": guest.base}
        failed = guest.host.ansible("qcow2_disk", args)
        assert "no space is left on this host's disk" in failed["msg"]
        left = guest.host.ssh(["find", f"{small}/instances", "-type", "f", "-size", "+0"])
        assert left.stdout == ""
    finally:
        guest.host.ssh(["umount", small])
        guest.host.ssh(["rmdir", small])


def test_host_says_what_it_can_carry(lab_host: Any) -> None:
    host = lab_host.ansible("compute_host_info", {"virt_type": "auto"})["host"]
    assert host["virt_type"] in ("kvm", "qemu")
    assert host["cpus"] > 0
    assert host["memory_mb"] > 1000
    assert host["disk_gb"] >= host["disk_free_gb"] > 0
    assert host["libvirt_version"].count(".") == 2
