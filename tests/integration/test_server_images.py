"""What is done with a server's disk and images, with real guests: content, MAC and addresses."""

from pathlib import Path
from typing import Any

import pytest

from lab import contents
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab

KEPT = "/root/kept"


@pytest.fixture(scope="module")
def other_image(cloud: CloudForTests, tiny_image: Path) -> Any:
    """The tiny guest once more, as an image of its own."""
    return contents.upload_image(cloud.admin, tiny_image, "tiny-again")


def ports_of(cloud: CloudForTests, server: Any) -> list[tuple[str, str, list[Any]]]:
    """Return (id, MAC address, addresses) of each port."""
    found = cloud.tenant.network.ports(device_id=server.id)
    return [(port.id, port.mac_address, port.fixed_ips) for port in found]


def test_a_rebuild_gives_a_new_disk_and_keeps_ports_and_metadata(
    cloud: CloudForTests, other_image: Any
) -> None:
    server = cloud.boot("rebuilt", metadata={"role": "web"})
    cloud.in_guest(server, f"echo precious > {KEPT}; sync")
    before, host = ports_of(cloud, server), cloud.host_of(server)

    rebuilt = cloud.tenant.compute.rebuild_server(
        server, image=other_image.id, name="rebuilt", admin_password="n3w"
    )
    assert rebuilt.status == "REBUILD", rebuilt
    shown = cloud.settle(server)

    assert cloud.in_guest(server, f"cat {KEPT} || echo none").strip() == "none"
    assert ports_of(cloud, server) == before
    assert cloud.host_of(server) == host
    assert shown.metadata == {"role": "web"}
    assert shown.image.id == other_image.id
    # What comes later stands on the new image.
    cloud.in_guest(server, f"echo new > {KEPT}; sync")
    cloud.tenant.compute.reboot_server(server, "HARD")
    cloud.settle(server)
    assert cloud.in_guest(server, f"cat {KEPT}").strip() == "new"
    cloud.delete(server)
