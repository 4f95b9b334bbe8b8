"""What is done with a server's disk and images, with real guests: content, MAC and addresses."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from lab import contents
from lab.waiting import wait_until
from tests.fixtures.cloud import ROOT, CloudForTests
from tests.fixtures.comparison import MARK, leave_mark, look

pytestmark = pytest.mark.lab

GONE = ""
# A word of the kernel's command line on the disk of `stable_rescue_image`.
RESCUING = "novella.rescuing"


@pytest.fixture(scope="module")
def other_image(cloud: CloudForTests, tiny_image: Path) -> Any:
    """The tiny guest once more, as an image whose guests must be quiesced."""
    image = contents.upload_image(cloud.admin, tiny_image, "tiny-again")
    return cloud.admin.image.update_image(
        image, hw_qemu_guest_agent="yes", os_require_quiesce="yes", os_distro="tiny"
    )


def files_of(cloud: CloudForTests, server: Any) -> set[str]:
    listed = cloud.on_host(cloud.host_of(server), "ls", f"/var/lib/novella/instances/{server.id}")
    return set(listed.stdout.split())


def whole(cloud: CloudForTests, image_id: str) -> Any:
    """Return the image once it is active."""
    wait_until(
        lambda: cloud.tenant.image.get_image(image_id).status == "active",
        what=f"image {image_id} is active", timeout_s=180, interval_s=0.5,
    )  # fmt: skip
    return cloud.tenant.image.get_image(image_id)


def test_a_rebuild_gives_a_new_disk_and_keeps_ports_and_metadata(
    cloud: CloudForTests, other_image: Any
) -> None:
    server = cloud.boot("rebuilt", metadata={"role": "web"})
    before, host = leave_mark(cloud, server), cloud.host_of(server)

    rebuilt = cloud.tenant.compute.rebuild_server(
        server, image=other_image.id, name="rebuilt", admin_password="n3w"
    )
    assert rebuilt.status == "REBUILD"
    shown = cloud.settle(server)

    assert look(cloud, server) == before.but(disk=GONE, boot_id=ANY)
    assert (cloud.host_of(server), shown.image.id) == (host, other_image.id)
    # What comes later stands on the new image.
    marked = leave_mark(cloud, server)
    cloud.tenant.compute.reboot_server(server, "HARD")
    cloud.settle(server)
    assert look(cloud, server) == marked.but(boot_id=ANY)
    cloud.delete(server)


def test_a_rescue_starts_from_another_disk_and_its_end_restores_exactly(
    cloud: CloudForTests, other_image: Any
) -> None:
    server = cloud.boot("rescued")
    before, host = leave_mark(cloud, server), cloud.host_of(server)
    dump = ("virsh", "dumpxml", "--inactive", server.id)
    defined = cloud.on_host(host, *dump).stdout

    cloud.tenant.compute.rescue_server(server, admin_pass="s3cret", image_ref=other_image.id)
    cloud.settle(server, "RESCUE")
    assert look(cloud, server) == before.but(disk=GONE, boot_id=ANY)
    # The rescue disk is the first, the server's own the second.
    mounted = (
        "mkdir -p /mnt; for part in /dev/vdb*; do mount $part /mnt 2>/dev/null && "
        f"sha256sum /mnt{MARK} 2>/dev/null | cut -d' ' -f1; done; umount /mnt; :"
    )
    assert cloud.in_guest(server, mounted).strip() == before.disk

    cloud.tenant.compute.unrescue_server(server)
    cloud.settle(server)
    assert look(cloud, server) == before.but(boot_id=ANY)
    assert cloud.on_host(host, *dump).stdout == defined
    assert not {"disk.rescue", "unrescue.xml"} & files_of(cloud, server)
    cloud.delete(server)


def test_an_image_of_a_server_that_runs_holds_its_disk_and_boots(
    cloud: CloudForTests, other_image: Any
) -> None:
    server = cloud.boot("imaged", image_id=other_image.id)
    before = leave_mark(cloud, server)

    made = cloud.tenant.compute.create_server_image(server, "copied", metadata={"kind": "test"})
    image = whole(cloud, made.id)
    cloud.settle(server)

    assert look(cloud, server) == before
    assert not [name for name in files_of(cloud, server) if name.startswith("snapshot")]
    assert (image.min_disk, image.disk_format, image.visibility) == (1, "qcow2", "private")
    assert 0 < image.size < 200 << 20
    said = image.to_dict() | dict(image.properties)
    assert (said["os_distro"], said["kind"]) == ("tiny", "test")
    assert (said["base_image_ref"], said["instance_uuid"]) == (other_image.id, server.id)
    # Backups of one that is off: the newest stays.
    cloud.tenant.compute.stop_server(server)
    cloud.settle(server, "SHUTOFF")
    backups = []
    for name in ("first", "second"):
        cloud.tenant.compute.backup_server(server, name, "daily", 1)
        cloud.settle(server, "SHUTOFF")
        backups.append(cloud.tenant.image.find_image(name))
    assert backups[1].status == "active"
    assert cloud.tenant.image.find_image("first") is None
    cloud.delete(server)

    copy = cloud.boot("copy", image_id=backups[1].id)
    assert look(cloud, copy).disk == before.disk
    cloud.delete(copy)
    for each in (image, backups[1]):
        cloud.tenant.image.delete_image(each)


def test_a_shelved_server_leaves_its_host_and_comes_back_as_it_was(cloud: CloudForTests) -> None:
    server = cloud.boot("shelved", metadata={"role": "web"})
    before, host = leave_mark(cloud, server), cloud.host_of(server)
    folder = f"/var/lib/novella/instances/{server.id}"

    cloud.tenant.compute.shelve_server(server)
    wait_until(
        lambda: cloud.tenant.compute.get_server(server.id).status == "SHELVED_OFFLOADED",
        what="the server is offloaded", timeout_s=180, interval_s=0.5,
    )  # fmt: skip
    cloud.settle(server, "SHELVED_OFFLOADED")
    assert cloud.on_host(host, "test", "-e", folder, check=False).returncode != 0
    assert server.id not in cloud.on_host(host, "virsh", "list", "--all", "--uuid").stdout
    assert cloud.tenant.image.find_image("shelved-shelved").status == "active"

    cloud.tenant.compute.unshelve_server(server)
    cloud.settle(server)
    assert look(cloud, server) == before.but(boot_id=ANY)
    assert cloud.tenant.image.find_image("shelved-shelved") is None
    # What it was made of is gone, and nothing of it needed.
    cloud.tenant.compute.reboot_server(server, "HARD")
    cloud.settle(server)
    assert look(cloud, server) == before.but(boot_id=ANY)
    cloud.delete(server)


@pytest.fixture
def stable_rescue_image(cloud: CloudForTests, tiny_image: Path, tmp_path: Path) -> Iterator[Any]:
    """The tiny guest as an image that is added behind a server's disks, and says so once booted."""
    raw, config, changed = (tmp_path / name for name in ("raw", "syslinux.cfg", "qcow2"))
    said = (ROOT / "lab/guest/syslinux.cfg").read_text()
    config.write_text(said.replace("quiet", f"quiet {RESCUING}"))
    for command in (
        ["qemu-img", "convert", "-O", "raw", tiny_image, raw],
        # Its first partition.
        ["mcopy", "-o", "-i", f"{raw}@@1M", config, "::/syslinux.cfg"],
        ["qemu-img", "convert", "-c", "-O", "qcow2", raw, changed],
    ):
        subprocess.run(command, check=True)
    image = contents.upload_image(cloud.admin, changed, "tiny-rescue")
    yield cloud.admin.image.update_image(image, hw_rescue_device="disk", hw_rescue_bus="virtio")
    cloud.admin.image.delete_image(image)


@pytest.mark.slow
def test_a_stable_rescue_leaves_the_servers_disk_in_its_place_and_boots_the_one_behind(
    cloud: CloudForTests, stable_rescue_image: Any
) -> None:
    server = cloud.boot("stable")
    before, host = leave_mark(cloud, server), cloud.host_of(server)
    dump = ("virsh", "dumpxml", "--inactive", server.id)
    defined = cloud.on_host(host, *dump).stdout

    cloud.tenant.compute.rescue_server(server, image=stable_rescue_image.id)
    cloud.settle(server, "RESCUE")
    # Its boot loader is the rescue disk's. The tiny guest's root is the first disk's always: here
    # that is the server's own, with what is on it.
    assert RESCUING in cloud.in_guest(server, "cat /proc/cmdline")
    assert look(cloud, server) == before.but(boot_id=ANY)
    booted = "mkdir -p /mnt; mount -t vfat /dev/vdb1 /mnt; cat /mnt/syslinux.cfg; umount /mnt"
    assert RESCUING in cloud.in_guest(server, f"modprobe vfat; {booted}")
    assert RESCUING not in cloud.in_guest(server, booted.replace("vdb1", "vda1"))

    cloud.tenant.compute.unrescue_server(server)
    cloud.settle(server)
    assert RESCUING not in cloud.in_guest(server, "cat /proc/cmdline")
    assert look(cloud, server) == before.but(boot_id=ANY)
    assert cloud.on_host(host, *dump).stdout == defined
    assert not {"disk.rescue", "unrescue.xml"} & files_of(cloud, server)
    cloud.delete(server)


@pytest.mark.slow
def test_a_rebuild_keeps_the_ephemeral_disk_if_it_is_asked_to(
    cloud: CloudForTests, other_image: Any
) -> None:
    flavor = cloud.admin.compute.create_flavor(
        name="m1.ephemeral", vcpus=1, ram=128, disk=1, ephemeral=1
    )
    server = cloud.boot("ephemeral", flavor_id=flavor.id)
    before = leave_mark(cloud, server)
    # At its end, where no file system of a new one has anything.
    place = "bs=1024 count=64 skip=1048000"
    content = f"dd if=/dev/vdb {place} 2>/dev/null | sha256sum | cut -d' ' -f1"
    write = f"dd if=/dev/urandom of=/dev/vdb {place.replace('skip', 'seek')} conv=notrunc"
    empty = cloud.in_guest(server, content)
    written = cloud.in_guest(server, f"{write} 2>/dev/null; sync; {content}")
    assert written != empty

    for preserve, expected in ((True, written), (False, empty)):
        cloud.tenant.compute.rebuild_server(
            server, image=other_image.id, name="ephemeral", preserve_ephemeral=preserve
        )
        cloud.settle(server)
        assert look(cloud, server) == before.but(disk=GONE, boot_id=ANY)
        assert cloud.in_guest(server, content) == expected
    cloud.delete(server)
    cloud.admin.compute.delete_flavor(flavor)
