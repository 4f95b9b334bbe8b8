"""Tags: on every noun that has an id, filters by them, and what becomes of them."""

import pytest

from controller.db.models import ResourceTag

from .conftest import V2, make


@pytest.fixture
def resources(alice, private, private_subnet, public, public_subnet):
    port = make(alice, "port", network_id=private["id"])
    group = make(alice, "security_group", name="web")
    return {
        "networks": private["id"], "subnets": private_subnet["id"], "ports": port["id"],
        "security-groups": group["id"], "routers": make(alice, "router", name="r")["id"],
        "floatingips": make(alice, "floatingip", floating_network_id=public["id"])["id"],
        "subnetpools": make(alice, "subnetpool", name="p", prefixes=["10.7.0.0/16"])["id"],
    }  # fmt: skip


NOUNS = [
    "networks", "subnets", "ports", "security-groups", "routers", "floatingips", "subnetpools",
]  # fmt: skip


@pytest.mark.parametrize("noun", NOUNS)
def test_tags_of_each_noun(services, alice, bob, rita, resources, noun):
    path = f"{V2}/{noun}/{resources[noun]}"
    key = noun.replace("-", "_")
    assert alice.get(path).json[key[:-1]]["tags"] == []
    answer = alice.put(f"{path}/tags", json={"tags": ["red", "blue", "red"]})
    assert (answer.status_code, answer.json) == (200, {"tags": ["blue", "red"]})
    assert alice.put(f"{path}/tags/{{{{ 7*7 }}}}").status_code == 201
    assert alice.get(f"{path}/tags").json["tags"] == ["blue", "red", "{{ 7*7 }}"]
    assert alice.get(path).json[key[:-1]]["tags"] == ["blue", "red", "{{ 7*7 }}"]
    assert alice.get(f"{path}/tags/red").status_code == 204
    assert alice.get(f"{path}/tags/green").json["NeutronError"]["type"] == "TagNotFound"
    for query, count in (
        ("tags=red,blue", 1), ("tags=red,green", 0), ("tags-any=red,green", 1),
        ("tags-any=green", 0), ("tags=red&fields=tags", 1),
    ):  # fmt: skip
        assert len(alice.get(f"{V2}/{noun}?{query}").json[key]) == count, query
    ids = [each["id"] for each in alice.get(f"{V2}/{noun}?not-tags=red,blue").json[key]]
    assert resources[noun] not in ids
    ids = [each["id"] for each in alice.get(f"{V2}/{noun}?not-tags-any=green").json[key]]
    assert resources[noun] in ids
    assert alice.delete(f"{path}/tags/red").status_code == 204
    assert alice.delete(f"{path}/tags/red").status_code == 404
    assert bob.put(f"{path}/tags/red").status_code == 404
    assert rita.put(f"{path}/tags/red").status_code == 403
    assert rita.get(f"{path}/tags").status_code == 200
    assert alice.delete(f"{path}/tags").status_code == 204
    assert alice.get(f"{path}/tags").json["tags"] == []


def test_tags_go_with_what_they_are_on(services, alice, resources):
    for noun in NOUNS:
        alice.put(f"{V2}/{noun}/{resources[noun]}/tags/red")
    for noun in (
        "ports", "security-groups", "networks", "routers", "floatingips", "subnetpools"
    ):  # fmt: skip
        assert alice.delete(f"{V2}/{noun}/{resources[noun]}").status_code == 204
    with services.db.read() as session:
        assert session.query(ResourceTag).count() == 0


@pytest.mark.parametrize(
    "body", [{"tags": ["a,b"]}, {"tags": ["a/b"]}, {"tags": [""]}, {"tags": ["x" * 256]},
             {"tags": [7]}, {"tags": "red"}, {}, {"tags": [str(number) for number in range(51)]}],
)  # fmt: skip
def test_what_is_no_tag_is_refused(alice, private, body):
    assert alice.put(f"{V2}/networks/{private['id']}/tags", json=body).status_code == 400
    assert alice.get(f"{V2}/networks/{private['id']}/tags").json["tags"] == []


def test_what_has_no_tags_is_not_found(alice):
    assert alice.get(f"{V2}/quotas/{alice.project_id}/tags").status_code == 404
