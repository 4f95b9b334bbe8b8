"""Tags of servers, and lists of servers by them."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from tests.api.compute.conftest import SERVERS, at
from tests.api.compute.test_action_states import put

TAGS = at("2.26")


def tags(caller: Any, server: str) -> Any:
    return caller.get(f"{SERVERS}/{server}/tags", headers=TAGS).json["tags"]


def test_tags_are_put_read_and_removed(alice: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/tags"
    assert tags(alice, server) == []
    added = alice.put(f"{path}/blue sky", headers=TAGS)
    assert (added.status_code, added.data) == (201, b"")
    assert added.headers["Location"].endswith(f"/servers/{server}/tags/blue%20sky")
    assert alice.put(f"{path}/blue sky", headers=TAGS).status_code == 204
    assert alice.get(f"{path}/blue sky", headers=TAGS).status_code == 204
    assert alice.get(f"{path}/red", headers=TAGS).status_code == 404
    whole = alice.put(path, json={"tags": ["red", "green", "red"]}, headers=TAGS)
    assert (whole.status_code, whole.json) == (200, {"tags": ["green", "red"]})
    assert alice.delete(f"{path}/red", headers=TAGS).status_code == 204
    assert alice.delete(f"{path}/red", headers=TAGS).status_code == 404
    assert tags(alice, server) == ["green"]
    assert alice.delete(path, headers=TAGS).status_code == 204
    assert tags(alice, server) == []


def test_a_server_shows_its_tags(alice: Any, server: str) -> None:
    alice.put(f"{SERVERS}/{server}/tags", json={"tags": ["b", "a"]}, headers=TAGS)
    assert alice.get(f"{SERVERS}/{server}", headers=TAGS).json["server"]["tags"] == ["a", "b"]
    [listed] = alice.get(f"{SERVERS}/detail", headers=TAGS).json["servers"]
    assert listed["tags"] == ["a", "b"]
    assert "tags" not in alice.get(f"{SERVERS}/{server}", headers=at("2.25")).json["server"]
    assert alice.get(f"{SERVERS}/{server}/tags", headers=at("2.25")).status_code == 404


def test_a_create_may_bring_tags(alice: Any, a_server: Any) -> None:
    body = a_server(tags=["x", "y", "x"])
    refused = alice.post(SERVERS, json=body, headers=at("2.51"))
    assert refused.status_code == 400
    made = alice.post(SERVERS, json=body, headers=at("2.52"))
    assert made.status_code == 202, made.json
    assert tags(alice, made.json["server"]["id"]) == ["x", "y"]


@pytest.mark.parametrize("tag", ["a,b", "x" * 61])
def test_a_tag_has_its_form(tag: str, alice: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/tags"
    assert alice.put(f"{path}/{tag}", headers=TAGS).status_code == 400
    for bad in (tag, "a/b", "", 1):
        assert alice.put(path, json={"tags": [bad]}, headers=TAGS).status_code == 400
    assert tags(alice, server) == []


def test_a_server_has_fifty_tags_at_most(alice: Any, server: str) -> None:
    path, many = f"{SERVERS}/{server}/tags", [f"t{number:02}" for number in range(51)]
    assert alice.put(path, json={"tags": many}, headers=TAGS).status_code == 400
    assert alice.put(path, json={"tags": many[:50]}, headers=TAGS).status_code == 200
    refused = alice.put(f"{path}/one-more", headers=TAGS)
    assert refused.status_code == 400
    assert "exceeded the per-server limit 50" in refused.json["badRequest"]["message"]
    assert alice.put(f"{path}/t00", headers=TAGS).status_code == 204


@pytest.mark.parametrize("state", ["error", "rescued", "shelved", "soft-delete"])
def test_tags_change_in_few_states(state: str, alice: Any, server: str, services: Services) -> None:
    path = f"{SERVERS}/{server}/tags"
    alice.put(f"{path}/a", headers=TAGS)
    put(services, server, state)
    answers = [
        alice.put(path, json={"tags": []}, headers=TAGS), alice.delete(path, headers=TAGS),
        alice.put(f"{path}/b", headers=TAGS), alice.delete(f"{path}/a", headers=TAGS),
    ]  # fmt: skip
    for refused in answers:
        assert refused.status_code == 409
        assert f"it is {state}, and" in refused.json["conflictingRequest"]["message"]
    assert tags(alice, server) == ["a"]


def test_lists_are_filtered_by_tags(alice: Any, a_server: Any, host: Any, work: Any) -> None:
    for name, given in (("both", ["a", "b"]), ("one", ["a"]), ("none", [])):
        made = alice.post(SERVERS, json=a_server(name=name, tags=given), headers=at("2.52"))
        assert made.status_code == 202, made.json

    def named(query: str, version: str = "2.26") -> set[str]:
        answer = alice.get(f"{SERVERS}?{query}", headers=at(version))
        return {each["name"] for each in answer.json["servers"]}

    assert named("tags=a") == {"both", "one"}
    assert named("tags=a,b") == {"both"}
    assert named("tags-any=b,c") == {"both"}
    assert named("not-tags=a,b") == {"one", "none"}
    assert named("not-tags-any=a,b") == {"none"}
    assert named("tags=a&not-tags=b") == {"one"}
    # Before there were tags the filter was passed over.
    assert named("tags=a", "2.25") == {"both", "one", "none"}


def test_others_do_not_change_tags(bob: Any, rita: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/tags"
    assert bob.get(path, headers=TAGS).status_code == 404
    assert bob.put(f"{path}/a", headers=TAGS).status_code == 404
    assert rita.get(path, headers=TAGS).status_code == 200
    for refused in (rita.put(f"{path}/a", headers=TAGS), rita.delete(path, headers=TAGS)):
        assert refused.status_code == 403
