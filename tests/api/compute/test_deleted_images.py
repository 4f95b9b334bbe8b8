"""An image may be deleted while servers made from it live on."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.conductor.arguments import server_arguments
from controller.conductor.reconcilers import unneeded_images
from controller.core import image_store
from controller.db.models import Image, Server
from controller.settings import Settings
from tests.api.compute.conftest import SERVERS
from tests.api.conftest import Caller

IMAGES = "/image/v2/images"


@pytest.fixture
def image(services: Services, settings: Settings, image: Image) -> Image:
    """The image of these tests' servers, with bytes in the store."""
    image_store.file_path(settings, image.id).write_bytes(b"the base")
    return image


def path_given(services: Services, settings: Settings, server_id: str) -> Any:
    """Return the path of the image that a play of the server is given."""
    with services.db.read() as session:
        server = session.get_one(Server, server_id)
        return server_arguments(session, settings, [server])[server_id]["image"]["path"]


def test_the_bytes_stay_until_the_last_server_made_from_the_image_is_gone(
    admin: Caller,
    alice: Caller,
    server: str,
    image: Image,
    settings: Settings,
    services: Services,
    work: Callable[[], None],
) -> None:
    path = image_store.file_path(settings, image.id)
    assert admin.delete(f"{IMAGES}/{image.id}").status_code == 204
    unneeded_images.run(settings, services.db)
    assert path.read_bytes() == b"the base"

    reboot = {"reboot": {"type": "HARD"}}
    assert alice.post(f"{SERVERS}/{server}/action", json=reboot).status_code == 202
    assert path_given(services, settings, server) == str(path)
    work()
    assert alice.get(f"{SERVERS}/{server}").json["server"]["status"] == "ACTIVE"

    alice.delete(f"{SERVERS}/{server}")
    work()
    assert unneeded_images.run(settings, services.db) == 1
    assert not path.exists()
    assert unneeded_images.run(settings, services.db) == 0


def test_nobody_sees_a_deleted_image_whose_bytes_are_kept(
    admin: Caller, server: str, image: Image, a_server: Callable[..., dict[str, Any]]
) -> None:
    admin.delete(f"{IMAGES}/{image.id}")
    for path in (f"{IMAGES}/{image.id}", f"{IMAGES}/{image.id}/file"):
        assert admin.get(path).status_code == 404
    assert admin.get(f"{IMAGES}?status=deleted").json["images"] == []
    assert admin.get("/image/v2/info/usage").json["usage"]["image_count_total"]["usage"] == 0
    answer = admin.post(SERVERS, json=a_server())
    assert answer.status_code == 400
    assert admin.get(f"{SERVERS}/{server}").json["server"]["image"]["id"] == image.id


def test_an_image_that_no_server_needs_goes_at_once_with_its_bytes(
    admin: Caller,
    alice: Caller,
    server: str,
    image: Image,
    settings: Settings,
    work: Callable[[], None],
) -> None:
    alice.delete(f"{SERVERS}/{server}")
    work()
    admin.delete(f"{IMAGES}/{image.id}")
    assert not image_store.file_path(settings, image.id).exists()


def test_files_of_living_images_and_of_nobody_stay(
    server: str, image: Image, settings: Settings, services: Services
) -> None:
    unknown = settings.images_dir / "of nobody"
    unknown.write_bytes(b"an operator's")
    (settings.images_dir / f"{image.id}.part").write_bytes(b"half")
    assert unneeded_images.run(settings, services.db) == 0
    assert len(list(settings.images_dir.iterdir())) == 3
