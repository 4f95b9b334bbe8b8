"""Images: /v2/images, without their bytes."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.api.conftest import Caller

IMAGES = "/image/v2/images"
PATCH = "application/openstack-images-v2.1-json-patch"


def make(caller: Caller, **fields: Any) -> dict[str, Any]:
    answer = caller.post(IMAGES, json={"name": "one"} | fields)
    assert answer.status_code == 201, answer.text
    image: dict[str, Any] = answer.json
    return image


def patch(caller: Caller, image_id: str, *steps: dict[str, Any]) -> TestResponse:
    return caller.patch(f"{IMAGES}/{image_id}", data=json.dumps(steps), content_type=PATCH)


def names(caller: Caller, **query: Any) -> list[str]:
    answer = caller.get(IMAGES, query_string=query)
    assert answer.status_code == 200, answer.text
    return [entry["name"] for entry in answer.json["images"]]


def test_the_root_offers_version_two_with_status_300(anonymous: Caller) -> None:
    answer = anonymous.get("/image/")
    assert answer.status_code == 300
    current = answer.json["versions"][0]
    assert current["status"] == "CURRENT"
    assert current["links"][0]["href"] == "http://127.0.0.1:8774/image/v2/"
    assert anonymous.get("/image/v2/").status_code == 200


def test_a_new_image_waits_for_its_bytes(alice: Caller) -> None:
    answer = alice.post(
        IMAGES,
        json={
            "name": "one",
            "disk_format": "qcow2",
            "container_format": "bare",
            "min_disk": 1,
            "tags": ["b", "a", "a"],
            "hw_machine_type": "q35",
        },
    )
    assert answer.status_code == 201
    image = answer.json
    assert answer.headers["Location"].endswith(image["self"])
    assert image["status"] == "queued"
    assert image["visibility"] == "shared"
    assert image["owner"] == alice.project_id
    assert image["hw_machine_type"] == "q35"
    assert image["tags"] == ["a", "b"]
    assert (image["min_disk"], image["min_ram"]) == (1, 0)
    assert image["size"] is image["checksum"] is image["os_hash_value"] is None
    assert alice.get(f"/image{image['self']}").json == image


def test_a_client_may_choose_the_id_once(alice: Caller) -> None:
    chosen = "5F2C0F0A-7A60-4F5B-8F3B-8A1B2C3D4E5F"
    assert make(alice, id=chosen)["id"] == chosen.lower()
    assert alice.post(IMAGES, json={"id": chosen}).status_code == 409
    assert alice.post(IMAGES, json={"id": "../../etc/passwd"}).status_code == 400


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"disk_format": "vmdk"}, 400),
        ({"container_format": "ova"}, 400),
        ({"visibility": "everyone"}, 400),
        ({"min_disk": -1}, 400),
        ({"min_ram": 1 << 40}, 400),
        ({"min_disk": "1"}, 400),
        ({"name": 7}, 400),
        ({"name": "x" * 256}, 400),
        ({"protected": "yes"}, 400),
        ({"tags": "a"}, 400),
        ({"tags": [1]}, 400),
        ({"tags": ["x"] * 129}, 400),
        ({"some_property": {"a": 1}}, 400),
        ({"some_property": 7}, 400),
        ({"x" * 256: "y"}, 400),
        ({"status": "active"}, 403),
        ({"checksum": "0" * 32}, 403),
        ({"locations": [{"url": "file:///etc/shadow"}]}, 403),
        ({"direct_url": "file:///etc/shadow"}, 403),
        ({"os_glance_import_task": "x"}, 403),
        ({f"p{number}": "x" for number in range(130)}, 403),
        ({"owner": "somebody-else"}, 403),
        ({"visibility": "public"}, 403),
    ],
)
def test_what_an_image_cannot_be_is_refused(
    alice: Caller, fields: dict[str, Any], status: int
) -> None:
    answer = alice.post(IMAGES, json=fields)
    assert answer.status_code == status
    assert answer.json["message"]
    assert names(alice) == []


@pytest.mark.parametrize(
    "text", ['"quoted" it\'s', "two\nlines", "<a>&amp;", "- yaml: [", "{{ 7*7 }}", "日本語 😀"]
)
def test_text_stays_as_it_is_in_names_properties_and_tags(alice: Caller, text: str) -> None:
    image = make(alice, name=text, tags=[text], **{text: text})
    shown = alice.get(f"{IMAGES}/{image['id']}").json
    assert shown["name"] == shown[text] == shown["tags"][0] == text
    assert names(alice, name=text) == names(alice, tag=text) == [text]


def test_only_an_admin_makes_images_public(admin: Caller, alice: Caller, bob: Caller) -> None:
    image = make(alice)
    public = {"op": "replace", "path": "/visibility", "value": "public"}
    assert patch(alice, image["id"], public).status_code == 403
    assert bob.get(f"{IMAGES}/{image['id']}").status_code == 404
    assert patch(admin, image["id"], public).status_code == 200
    assert bob.get(f"{IMAGES}/{image['id']}").status_code == 200
    assert names(bob) == ["one"]


def test_another_projects_image_looks_absent(alice: Caller, bob: Caller) -> None:
    image_id = make(alice)["id"]
    path = f"{IMAGES}/{image_id}"
    assert bob.get(path).status_code == 404
    assert bob.delete(path).status_code == 404
    assert patch(bob, image_id, {"op": "add", "path": "/x", "value": "y"}).status_code == 404
    assert bob.put(f"{path}/tags/x").status_code == 404
    assert bob.get(f"{path}/file").status_code == 404
    upload = bob.put(f"{path}/file", data=b"x", content_type="application/octet-stream")
    assert upload.status_code == 404
    assert names(bob) == []


def test_a_public_image_is_changed_by_its_owner_alone(admin: Caller, alice: Caller) -> None:
    image_id = make(admin, visibility="public")["id"]
    assert alice.get(f"{IMAGES}/{image_id}").status_code == 200
    assert alice.delete(f"{IMAGES}/{image_id}").status_code == 403
    assert patch(alice, image_id, {"op": "add", "path": "/x", "value": "y"}).status_code == 403


def test_a_community_image_is_seen_by_those_who_ask_for_it(alice: Caller, bob: Caller) -> None:
    image = make(alice, visibility="community")
    assert names(bob) == []
    assert names(bob, visibility="community") == names(bob, visibility="all") == ["one"]
    assert bob.get(f"{IMAGES}/{image['id']}").status_code == 200


def test_a_reader_reads(alice: Caller, rita: Caller) -> None:
    image = make(alice)
    assert names(rita) == ["one"]
    assert rita.post(IMAGES, json={"name": "two"}).status_code == 403
    assert rita.delete(f"{IMAGES}/{image['id']}").status_code == 403


def test_a_patch_adds_replaces_and_removes(alice: Caller) -> None:
    image_id = make(alice, tags=["a"], colour="red")["id"]
    answer = patch(
        alice,
        image_id,
        {"op": "replace", "path": "/name", "value": "two"},
        {"op": "add", "path": "/os_distro", "value": "debian"},
        {"op": "add", "path": "/with~1slash", "value": "x"},
        {"op": "remove", "path": "/colour"},
        {"op": "replace", "path": "/tags", "value": ["b"]},
        {"op": "replace", "path": "/min_disk", "value": 3},
    )
    assert answer.status_code == 200
    assert answer.json == alice.get(f"{IMAGES}/{image_id}").json
    assert answer.json["name"] == "two"
    assert answer.json["os_distro"] == "debian"
    assert answer.json["with/slash"] == "x"
    assert "colour" not in answer.json
    assert (answer.json["tags"], answer.json["min_disk"]) == (["b"], 3)


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ({"op": "replace", "path": "/absent", "value": "x"}, 409),
        ({"op": "remove", "path": "/absent"}, 409),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "replace", "path": "/size", "value": 1}, 403),
        ({"op": "add", "path": "/locations", "value": []}, 403),
        ({"op": "replace", "path": "/min_disk", "value": "many"}, 400),
        ({"op": "add", "path": "/number", "value": 7}, 400),
        ({"op": "add", "path": "/no_value"}, 400),
        ({"op": "add", "path": "/a/b", "value": "x"}, 400),
        ({"op": "move", "path": "/a", "from": "/b"}, 400),
        ({"op": "replace", "path": "/disk_format", "value": "vhd"}, 400),
        ({"op": "replace", "path": "/owner", "value": "another"}, 403),
    ],
)
def test_a_patch_that_cannot_be_changes_nothing(
    alice: Caller, step: dict[str, Any], status: int
) -> None:
    image = make(alice)
    first = {"op": "replace", "path": "/name", "value": "changed"}
    answer = patch(alice, image["id"], first, step)
    assert answer.status_code == status
    assert alice.get(f"{IMAGES}/{image['id']}").json == image


def test_a_patch_needs_its_media_type(alice: Caller) -> None:
    image = make(alice)
    answer = alice.patch(f"{IMAGES}/{image['id']}", json=[])
    assert answer.status_code == 415
    assert PATCH in answer.json["message"]


def test_a_protected_image_is_not_deleted(alice: Caller) -> None:
    image_id = make(alice, protected=True)["id"]
    assert alice.delete(f"{IMAGES}/{image_id}").status_code == 403
    patch(alice, image_id, {"op": "replace", "path": "/protected", "value": False})
    assert alice.delete(f"{IMAGES}/{image_id}").status_code == 204
    assert alice.get(f"{IMAGES}/{image_id}").status_code == 404
    assert names(alice) == []


def test_tags_come_and_go_one_by_one(alice: Caller) -> None:
    path = f"{IMAGES}/{make(alice)['id']}"
    assert alice.put(f"{path}/tags/gold").status_code == 204
    assert alice.put(f"{path}/tags/gold").status_code == 204
    assert alice.get(path).json["tags"] == ["gold"]
    assert alice.delete(f"{path}/tags/gold").status_code == 204
    assert alice.delete(f"{path}/tags/gold").status_code == 404
    assert alice.put(f"{path}/tags/{'x' * 256}").status_code == 400


def test_lists_are_filtered(alice: Caller) -> None:
    one = make(alice, name="one", disk_format="raw", tags=["x", "y"], os_distro="debian")
    two = make(alice, name="two, with a comma", tags=["x"], os_hidden=True)
    assert names(alice, id=f"in:{one['id']},{two['id']}") == ["one"]
    assert names(alice, id=one["id"]) == ["one"]
    assert names(alice, name='in:"two, with a comma",three', os_hidden="true") == [two["name"]]
    assert names(alice, tag=["x", "y"]) == ["one"]
    assert names(alice, status="queued", disk_format="raw") == ["one"]
    assert names(alice, status="active") == names(alice, owner="another") == []
    assert names(alice, os_distro="debian") == ["one"]
    assert names(alice, os_distro="fedora") == []
    assert names(alice, visibility="shared") == ["one"]
    assert names(alice, visibility="public") == []
    assert names(alice, created_at="gt:2020-01-01T00:00:00Z") == ["one"]
    assert names(alice, created_at="lt:2020-01-01T00:00:00+02:00") == []
    assert names(alice, size_min="1") == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=many",
        "marker=absent",
        "sort_key=colour",
        "sort_dir=up",
        "sort=name:sideways",
        "visibility=hidden",
        "created_at=gt:yesterday",
        "size_min=big",
        "protected=perhaps",
        "x'%20OR%201=1=1",
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(alice: Caller, query: str) -> None:
    answer = alice.get(f"{IMAGES}?{query}")
    assert answer.status_code == 400
    assert answer.json["code"] == "400 Bad Request"


@pytest.mark.parametrize(
    "order",
    ["sort=name:asc", "sort=size:desc", "sort=name:desc,id:asc", "sort_key=size&sort_dir=asc"],
)
def test_pages_go_through_all_images_once_in_order(alice: Caller, order: str) -> None:
    for name in ("c", "a", None, "b", "a", None, "d"):
        make(alice, name=name)
    whole = [entry["id"] for entry in alice.get(f"{IMAGES}?{order}").json["images"]]
    assert len(whole) == 7
    path, seen = f"/v2/images?limit=2&{order}", []
    while path:
        page = alice.get(f"/image{path}").json
        seen += [entry["id"] for entry in page["images"]]
        path = page.get("next")
    assert seen == whole


def test_a_marker_of_another_project_is_refused(alice: Caller, bob: Caller) -> None:
    image_id = make(bob)["id"]
    assert alice.get(f"{IMAGES}?marker={image_id}").status_code == 400


def test_the_number_of_statements_does_not_grow_with_the_list(
    alice: Caller, count_statements: Callable[[], AbstractContextManager[list[str]]]
) -> None:
    counts = []
    for _ in range(2):
        make(alice, tags=["a", "b"], x="y")
        make(alice, tags=["a", "b"], x="y")
        with count_statements() as seen:
            alice.get(IMAGES)
        counts.append(len(seen))
    assert counts == [3, 3]


def test_schemas_and_ways_of_import_are_shown(alice: Caller) -> None:
    schema = alice.get("/image/v2/schemas/image").json
    assert schema["properties"]["disk_format"]["enum"] == [None, "raw", "qcow2", "iso"]
    assert schema["properties"]["status"]["readOnly"] is True
    assert alice.get("/image/v2/schemas/images").json["name"] == "images"
    assert alice.get("/image/v2/info/import").json["import-methods"]["value"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "images/x/stage"),
        ("POST", "images/x/import"),
        ("POST", "images/x/actions/deactivate"),
        ("GET", "images/x/members"),
        ("PUT", "images/x/members/y"),
        ("GET", "metadefs/namespaces"),
        ("GET", "metadefs/namespaces/x/objects/y"),
    ],
)
def test_what_is_not_built_says_so_in_the_apis_form(alice: Caller, method: str, path: str) -> None:
    answer = alice.call(method, f"/image/v2/{path}")
    assert answer.status_code == 501
    assert answer.json["code"] == "501 Not Implemented"
    assert alice.get("/image/v2/nothing").json["code"] == "404 Not Found"


def test_a_sort_key_that_comes_again_costs_nothing(alice: Caller, count_statements: Any) -> None:
    image_id = make(alice)["id"]
    with count_statements() as seen:
        assert alice.get(f"{IMAGES}?marker={image_id}&sort={'name,id:asc,' * 20}size").json
    assert max(map(len, seen)) < 5000


@pytest.mark.parametrize("operation", ["add", "replace"])
def test_a_step_without_a_value_is_refused(alice: Caller, operation: str) -> None:
    image_id = make(alice)["id"]
    answer = alice.patch(
        f"{IMAGES}/{image_id}",
        data=json.dumps([{"op": operation, "path": "/name"}]),
        content_type=PATCH,
    )
    assert answer.status_code == 400, answer.text
