"""Images of servers: whole or not at all, whatever fails, is killed or is deleted meanwhile."""

from typing import Any

import pytest

from controller.conductor import server_images as flow
from controller.core import image_store, images, server_images
from controller.db.models import Image, Server
from controller.errors import InvalidState
from tests.unit.conductor import killing
from tests.unit.conductor.conftest import CONTEXT, Cloud

MAKERS = ("server_create_image", "server_create_backup")


def begin(cloud: Cloud, server_id: str, kind: str = MAKERS[0], rotation: int = 1) -> str:
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        common = (session, cloud.settings, CONTEXT, server, "copy", {"a": "b"})
        if kind == MAKERS[0]:
            return server_images.create_image(*common).id
        more: dict[str, Any] = {"backup_type": "daily", "rotation": rotation}
        return server_images.create_backup(*common, **more).id


def image(cloud: Cloud, image_id: str) -> Image:
    with cloud.db.read() as session:
        return session.get_one(Image, image_id)


def files(cloud: Cloud) -> list[str]:
    if not cloud.settings.images_dir.is_dir():
        return []
    return sorted(path.name for path in cloud.settings.images_dir.iterdir())


def test_an_image_is_whole_before_it_is_active_and_says_what_upstream_says(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        said = {"os_distro": "tiny", "img_signature": "x", "hw_qemu_guest_agent": "yes"}
        server.image = {**server.image, "properties": said, "min_disk_gb": 3, "min_memory_mb": 64}
    image_id = begin(cloud, server_id)
    queued = image(cloud, image_id)
    assert (queued.status, queued.min_disk_gb, queued.min_memory_mb) == ("queued", 3, 64)
    assert queued.visibility == "private"
    assert queued.properties == {
        "base_image_ref": cloud.server(server_id).image_id, "os_distro": "tiny", "a": "b",
        "hw_qemu_guest_agent": "yes", "instance_uuid": server_id, "image_type": "snapshot",
        "user_id": CONTEXT.user_id,
    }  # fmt: skip
    assert cloud.server(server_id).task_state == "image_snapshot_pending"
    cloud.work()
    made = image(cloud, image_id)
    assert (made.status, made.virtual_size_bytes, made.size_bytes) == ("active", 1 << 30, 72)
    assert made.sha256 is not None
    assert made.checksum is not None
    assert files(cloud) == [image_id]
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)
    taken, removed = (run.arguments["servers"][0]["snapshot"] for run in cloud.executor.runs)
    assert (taken["state"], taken["quiesce"], removed["state"]) == ("present", "try", "absent")
    # The host's journal holds what an operation did: by the same steps it would do nothing more.
    first, last = (run.arguments["servers"][0]["operation_id"] for run in cloud.executor.runs)
    assert (first is None, last is None) == (False, True)
    assert cloud.executor.runs[0].file_max_bytes == cloud.settings.max_image_bytes


@pytest.mark.parametrize(
    ("properties", "quiesce"),
    [
        ({}, "no"),
        ({"os_require_quiesce": "yes"}, "no"),
        ({"hw_qemu_guest_agent": "yes"}, "try"),
        ({"hw_qemu_guest_agent": "true", "os_require_quiesce": "True"}, "must"),
    ],
)
def test_the_image_of_the_server_says_how_still_it_is_held(
    properties: dict[str, str], quiesce: str
) -> None:
    assert server_images.quiesce(Server(image={"properties": properties})) == quiesce


@pytest.mark.parametrize("kind", MAKERS)
def test_what_fails_leaves_no_image_and_the_server_as_it_was(cloud: Cloud, kind: str) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.fails = lambda run, _id: (
        "no" if run.arguments["servers"][0]["snapshot"]["state"] == "present" else None
    )
    image_id = begin(cloud, server_id, kind)
    cloud.work()
    assert image(cloud, image_id).deleted_at is not None
    assert files(cloud) == []
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)
    assert cloud.server(server_id).fault is None
    assert cloud.executor.runs[-1].arguments["servers"][0]["snapshot"]["state"] == "absent"


def test_a_copy_that_did_not_come_is_no_image(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host may say anything; what counts is what the play has left and verified."""
    cloud.add_host("h1")
    server_id = cloud.active_server()
    monkeypatch.setattr(
        "controller.runner.simulated._fetched", lambda _told: {"image": {"size_bytes": 1}}
    )
    image_id = begin(cloud, server_id)
    cloud.work()
    assert image(cloud, image_id).deleted_at is not None


def test_what_is_lost_goes_on_and_keeps_what_came(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    image_id = begin(cloud, server_id)
    part = image_store.fetched_path(cloud.settings, image_id).with_suffix(".snapshot.abc.part")
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"half")
    cloud.executor.unreachable.add("h1")
    cloud.work()
    assert part.exists()
    assert image(cloud, image_id).status == "saving"
    cloud.executor.unreachable.clear()
    cloud.clock.advance(60)
    cloud.work()
    assert image(cloud, image_id).status == "active"


def test_a_host_that_stays_away_ends_the_image(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    image_id = begin(cloud, server_id)
    cloud.executor.unreachable.add("h1")
    for _ in range(flow.ATTEMPTS):
        cloud.work()
        cloud.clock.advance(120)
    assert image(cloud, image_id).deleted_at is not None
    assert cloud.server(server_id).task_state is None


@pytest.mark.parametrize("moment", ["queued", "under way"])
def test_an_image_that_is_deleted_meanwhile_is_not_made(cloud: Cloud, moment: str) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    image_id = begin(cloud, server_id)
    if moment == "under way":
        killing.kill_at(cloud, 0, killing.MOMENTS[1])
    with cloud.db.write() as session:
        images.remove(session, session.get_one(Image, image_id))
    cloud.work()
    assert files(cloud) == []
    assert image(cloud, image_id).status == "deleted"
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)


def test_content_that_its_owner_gave_it_meanwhile_is_left_alone(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    image_id = begin(cloud, server_id)
    killing.kill_at(cloud, 1, killing.MOMENTS[0])
    with cloud.db.write() as session:
        session.get_one(Image, image_id).status = "active"
    image_store.file_path(cloud.settings, image_id).write_bytes(b"the owner's")
    cloud.work()
    assert image(cloud, image_id).deleted_at is None
    assert files(cloud) == [image_id]
    assert image_store.file_path(cloud.settings, image_id).read_bytes() == b"the owner's"


def test_a_delete_of_the_server_ends_its_image(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    image_id = begin(cloud, server_id)
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"
    assert image(cloud, image_id).deleted_at is not None
    assert files(cloud) == []


def test_of_backups_the_newest_of_their_type_stay(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    plain = begin(cloud, server_id)
    cloud.work()
    made = []
    for _ in range(3):
        made.append(begin(cloud, server_id, MAKERS[1], rotation=2))
        cloud.work()
    assert [image(cloud, each).status for each in made] == ["deleted", "active", "active"]
    assert image(cloud, plain).status == "active"
    with cloud.db.write() as session:
        session.get_one(Image, made[1]).protected = True
    made.append(begin(cloud, server_id, MAKERS[1], rotation=0))
    cloud.work()
    states = [image(cloud, each).status for each in made]
    assert states == ["deleted", "active", "deleted", "deleted"]


def test_an_image_needs_a_server_that_is_somewhere(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    with cloud.db.write() as session:
        session.get_one(Server, server_id).state = "error"
    with pytest.raises(InvalidState, match="it is error"):
        begin(cloud, server_id)


CASES = [case for kind in MAKERS for case in killing.moments_of(kind)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {killing.name_of(case)}")
def test_one_that_is_killed_is_finished_by_another_worker(
    cloud: Cloud, case: tuple[str, int, str]
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    image_id = begin(cloud, server_id, case[0])
    killing.kill_at(cloud, *case[1:])
    cloud.work()
    assert image(cloud, image_id).status == "active"
    assert files(cloud) == [image_id]
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)
    assert {each.state for each in cloud.operations()} == {"succeeded"}
