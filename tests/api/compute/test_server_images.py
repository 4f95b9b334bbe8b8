"""POST /servers/{id}/action with createImage and createBackup."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Server
from tests.api.compute.conftest import SERVERS, at

IMAGES = "/image/v2/images"


def act(caller: Any, server: str, body: dict[str, Any], version: str = "2.96") -> Any:
    return caller.post(f"{SERVERS}/{server}/action", json=body, headers=at(version))


def backup(**changes: Any) -> dict[str, Any]:
    return {"createBackup": {"name": "b", "backup_type": "daily", "rotation": 1, **changes}}


def test_an_image_is_queued_until_it_is_whole(alice: Any, server: str, work: Any) -> None:
    answer = act(alice, server, {"createImage": {"name": "copy", "metadata": {"k": "v"}}})
    assert answer.status_code == 202
    (image_id,) = answer.json.values()
    assert "Location" not in answer.headers
    queued = alice.get(f"{IMAGES}/{image_id}").json
    assert (queued["status"], queued["name"], queued["k"]) == ("queued", "copy", "v")
    assert (queued["owner"], queued["visibility"]) == (alice.project_id, "private")
    work()
    made = alice.get(f"{IMAGES}/{image_id}").json
    assert (made["status"], made["min_disk"]) == ("active", 1)
    with alice.get(f"{IMAGES}/{image_id}/file") as content:
        assert len(content.data) == made["size"]
    (action, _) = alice.get(f"{SERVERS}/{server}/os-instance-actions").json["instanceActions"]
    assert action["action"] == "createImage"


def test_old_versions_say_where_it_is_in_a_header(alice: Any, server: str, work: Any) -> None:
    answer = act(alice, server, {"createImage": {"name": "copy"}}, "2.44")
    assert (answer.status_code, answer.data) == (202, b"")
    path = answer.headers["Location"].partition(IMAGES)[2]
    assert alice.get(f"{IMAGES}{path}").json["name"] == "copy"
    work()
    assert "Location" in act(alice, server, backup(), "2.1").headers
    work()
    assert "Location" not in act(alice, server, backup(rotation=0), "2.1").headers


def test_backups_rotate(alice: Any, server: str, work: Any) -> None:
    made = []
    for _ in range(2):
        made.append(act(alice, server, backup()).json["image_id"])
        work()
    assert alice.get(f"{IMAGES}/{made[0]}").status_code == 404
    assert alice.get(f"{IMAGES}/{made[1]}").json["backup_type"] == "daily"


@pytest.mark.parametrize(
    "body",
    [
        {"createImage": {}},
        {"createImage": {"name": ""}},
        {"createImage": {"name": "x", "metadata": {"a": 1}}},
        {"createImage": {"name": "x", "other": 1}},
        {"createBackup": {"name": "x"}},
        backup(rotation=-1),
        backup(backup_type=1),
    ],
)
def test_what_can_not_be_is_refused(alice: Any, server: str, body: dict[str, Any]) -> None:
    assert act(alice, server, body).status_code == 400
    assert [each["name"] for each in alice.get(IMAGES).json["images"]] == ["tiny"]


def test_a_lock_keeps_nobody_from_making_images(
    alice: Any, bob: Any, rita: Any, server: str, services: Services
) -> None:
    with services.db.write() as session:
        session.get_one(Server, server).locked = True
    body = {"createImage": {"name": "copy"}}
    assert act(bob, server, body).status_code == 404
    assert act(rita, server, body).status_code == 403
    assert act(alice, server, body).status_code == 202
    busy = act(alice, server, body)
    assert busy.status_code == 409
    assert "image_snapshot_pending" in busy.json["conflictingRequest"]["message"]


def test_metadata_has_the_quota_of_old_versions(alice: Any, server: str) -> None:
    many = {str(number): "v" for number in range(129)}
    body = {"createImage": {"name": "copy", "metadata": many}}
    assert act(alice, server, body, "2.38").status_code == 403
    assert act(alice, server, body, "2.39").status_code == 202


def test_the_quota_of_images_holds(alice: Any, admin: Any, server: str, services: Services) -> None:
    object.__setattr__(services.settings, "default_quota", {"image_count_total": 0})
    assert act(alice, server, {"createImage": {"name": "copy"}}).status_code == 413
    shown = alice.get(f"{SERVERS}/{server}").json["server"]
    assert shown["OS-EXT-STS:task_state"] is None
