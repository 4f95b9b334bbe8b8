"""What is done with a server's disk and images, with real guests: content, MAC and addresses."""

from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from lab import contents
from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests
from tests.fixtures.comparison import MARK, leave_mark, look

pytestmark = pytest.mark.lab

GONE = ""


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
