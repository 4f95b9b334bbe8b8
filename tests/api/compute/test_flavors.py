"""Flavors and extra specs."""

from typing import Any

import pytest

from tests.api.compute.conftest import at

FLAVORS = "/compute/v2.1/flavors"
TINY = {"name": "m1.tiny", "ram": 128, "vcpus": 1, "disk": 1, "id": "1"}


def test_an_admin_makes_flavors_and_others_do_not(admin: Any, alice: Any) -> None:
    assert alice.post(FLAVORS, json={"flavor": TINY}).status_code == 403
    answer = admin.post(FLAVORS, json={"flavor": TINY})
    assert answer.status_code == 200
    assert answer.json["flavor"]["id"] == "1"
    for same in ({**TINY, "name": "other"}, {**TINY, "id": "2"}):
        clash = admin.post(FLAVORS, json={"flavor": same})
        assert clash.status_code == 409
        assert "already exists" in clash.json["conflictingRequest"]["message"]
    automatic = admin.post(FLAVORS, json={"flavor": {**TINY, "id": None, "name": "auto"}})
    assert len(automatic.json["flavor"]["id"]) == 36


@pytest.mark.parametrize(
    ("version", "swap", "more"),
    [
        ("2.1", "", set()),
        ("2.55", "", {"description"}),
        ("2.61", "", {"description", "extra_specs"}),
        ("2.96", 0, {"description", "extra_specs"}),
    ],
)
def test_the_shape_of_a_flavor_follows_the_microversion(
    admin: Any, alice: Any, version: str, swap: int | str, more: set[str]
) -> None:
    admin.post(FLAVORS, json={"flavor": TINY})
    shown = alice.get(f"{FLAVORS}/1", headers=at(version)).json["flavor"]
    assert shown["swap"] == swap
    assert set(shown) == {
        "id", "name", "ram", "disk", "vcpus", "swap", "links", "rxtx_factor",
        "OS-FLV-EXT-DATA:ephemeral", "OS-FLV-DISABLED:disabled", "os-flavor-access:is_public",
        *more,
    }  # fmt: skip


def test_private_flavors_are_for_admins(admin: Any, alice: Any) -> None:
    admin.post(FLAVORS, json={"flavor": TINY})
    private = {**TINY, "id": "p", "name": "p", "os-flavor-access:is_public": False}
    admin.post(FLAVORS, json={"flavor": private})

    def ids(caller: Any, query: str) -> list[str]:
        return [each["id"] for each in caller.get(f"{FLAVORS}/detail{query}").json["flavors"]]

    assert ids(admin, "") == ["1"]
    assert ids(admin, "?is_public=None") == ["1", "p"]
    assert ids(admin, "?is_public=false") == ["p"]
    assert ids(alice, "?is_public=None") == ["1"]
    assert alice.get(f"{FLAVORS}/p").status_code == 404
    assert admin.get(f"{FLAVORS}?is_public=maybe").status_code == 400


def test_lists_filter_sort_and_page(admin: Any, alice: Any) -> None:
    for number, ram in ((1, 512), (2, 256), (3, 128)):
        flavor = {**TINY, "id": str(number), "name": f"f{number}", "ram": ram, "disk": number}
        admin.post(FLAVORS, json={"flavor": flavor})
    first = alice.get(f"{FLAVORS}?limit=2").json
    assert [each["id"] for each in first["flavors"]] == ["1", "2"]
    following = first["flavors_links"][0]["href"]
    rest = alice.get(following[following.index("/compute") :]).json
    assert [each["id"] for each in rest["flavors"]] == ["3"]
    assert "flavors_links" not in rest
    by_memory = alice.get(f"{FLAVORS}?sort_key=memory_mb&minRam=200").json["flavors"]
    assert [each["id"] for each in by_memory] == ["2", "1"]
    assert alice.get(f"{FLAVORS}?minDisk=3").json["flavors"][0]["id"] == "3"
    for bad in ("marker=none", "limit=-1", "limit=x", "minRam=x", "sort_key=secret"):
        assert alice.get(f"{FLAVORS}?{bad}").status_code == 400


def test_description_is_updated_from_2_55(admin: Any) -> None:
    admin.post(FLAVORS, json={"flavor": TINY})
    body = {"flavor": {"description": "{{ 7*7 }}"}}
    assert admin.put(f"{FLAVORS}/1", json=body, headers=at("2.54")).status_code == 404
    shown = admin.put(f"{FLAVORS}/1", json=body, headers=at("2.55")).json["flavor"]
    assert shown["description"] == "{{ 7*7 }}"


def test_extra_specs_are_added_changed_and_removed(admin: Any, alice: Any) -> None:
    admin.post(FLAVORS, json={"flavor": TINY})
    specs = f"{FLAVORS}/1/os-extra_specs"
    body = {"extra_specs": {"hw:cpu_policy": "shared", "quota:x": 5}}
    assert admin.post(specs, json=body).json == body
    assert alice.post(specs, json=body).status_code == 403
    assert alice.get(specs).json["extra_specs"] == {"hw:cpu_policy": "shared", "quota:x": "5"}
    assert admin.put(f"{specs}/quota:x", json={"quota:x": "6"}).status_code == 200
    assert alice.get(f"{specs}/quota:x").json == {"quota:x": "6"}
    assert admin.put(f"{specs}/other", json={"quota:x": "6"}).status_code == 400
    assert admin.delete(f"{specs}/quota:x").status_code == 200
    assert alice.get(f"{specs}/quota:x").status_code == 404
    for bad in ({"a/b": "1"}, {"a": []}, {"a": "x" * 256}):
        assert admin.post(specs, json={"extra_specs": bad}).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"ram": 0},
        {"ram": -1},
        {"ram": "many"},
        {"ram": 2**31},
        {"ram": "4294967296"},
        {"ram": True},
        {"vcpus": 1.5},
        {"disk": -1},
        {"name": ""},
        {"name": "new\nline"},
        {"name": "x" * 256},
        {"name": ["x"]},
        {"id": "a/b"},
        {"unknown": 1},
        {"rxtx_factor": 0},
        {"os-flavor-access:is_public": "maybe"},
        {"description": "before 2.55"},
    ],
)
def test_a_bad_flavor_is_refused_by_field(admin: Any, changes: dict[str, Any]) -> None:
    answer = admin.post(FLAVORS, json={"flavor": {**TINY, **changes}})
    assert answer.status_code == 400
    assert "Invalid input for field" in answer.json["badRequest"]["message"]
    assert admin.get(FLAVORS).json["flavors"] == []
