"""Key pairs: made, imported, shown, deleted; each user's own."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from tests.api.compute.conftest import at

KEYS = "/compute/v2.1/os-keypairs"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKtaZkIktTSDyT+sNsKXcZVsCYQzUPHGMmoX4vVRfZGk me"


def test_a_key_is_generated_before_2_92_only(alice: Any) -> None:
    answer = alice.post(KEYS, json={"keypair": {"name": "mine"}})
    assert answer.status_code == 200
    made = answer.json["keypair"]
    private = load_ssh_private_key(made["private_key"].encode(), None)
    assert private.public_key()
    assert "private_key" not in alice.get(f"{KEYS}/mine").json["keypair"]
    refused = alice.post(KEYS, json={"keypair": {"name": "other"}}, headers=at("2.92"))
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("version", "created", "deleted", "has_type"),
    [("2.1", 200, 202, False), ("2.2", 201, 204, True), ("2.96", 201, 204, True)],
)
def test_a_key_is_imported_shown_and_deleted(
    alice: Any, version: str, created: int, deleted: int, has_type: bool
) -> None:
    body = {"keypair": {"name": "mine", "public_key": PUBLIC}}
    answer = alice.post(KEYS, json=body, headers=at(version))
    assert answer.status_code == created
    assert "private_key" not in answer.json["keypair"]
    (listed,) = alice.get(KEYS, headers=at(version)).json["keypairs"]
    assert listed["keypair"]["public_key"] == PUBLIC
    assert ("type" in listed["keypair"]) is has_type
    shown = alice.get(f"{KEYS}/mine", headers=at(version)).json["keypair"]
    assert shown["fingerprint"] == "f9:1b:95:ff:e5:d5:2d:52:4c:f8:eb:57:58:15:44:8c"
    assert shown["user_id"] == alice.user_id
    clash = alice.post(KEYS, json=body, headers=at(version))
    assert clash.status_code == 409
    assert alice.delete(f"{KEYS}/mine", headers=at(version)).status_code == deleted
    assert alice.delete(f"{KEYS}/mine", headers=at(version)).status_code == 404


def test_keys_are_a_users_own_and_an_admins_to_see_from_2_10(
    alice: Any, bob: Any, admin: Any
) -> None:
    alice.post(KEYS, json={"keypair": {"name": "mine", "public_key": PUBLIC}})
    assert bob.get(f"{KEYS}/mine").status_code == 404
    assert bob.get(KEYS).json["keypairs"] == []
    query = f"{KEYS}/mine?user_id={alice.user_id}"
    assert bob.get(query, headers=at("2.10")).status_code == 403
    assert admin.get(query, headers=at("2.10")).status_code == 200
    assert admin.get(query, headers=at("2.9")).status_code == 404
    for_alice = {"keypair": {"name": "b", "public_key": PUBLIC, "user_id": alice.user_id}}
    assert bob.post(KEYS, json=for_alice, headers=at("2.10")).status_code == 403
    assert admin.post(KEYS, json=for_alice, headers=at("2.10")).status_code == 201
    assert alice.get(f"{KEYS}/b").status_code == 200


def test_lists_are_paged_from_2_35(alice: Any) -> None:
    for name in ("a", "b", "c"):
        alice.post(KEYS, json={"keypair": {"name": name, "public_key": PUBLIC}})
    page = alice.get(f"{KEYS}?limit=2", headers=at("2.35")).json
    assert [each["keypair"]["name"] for each in page["keypairs"]] == ["a", "b"]
    assert page["keypairs_links"][0]["rel"] == "next"
    rest = alice.get(f"{KEYS}?limit=2&marker=b", headers=at("2.35")).json
    assert [each["keypair"]["name"] for each in rest["keypairs"]] == ["c"]
    assert len(alice.get(f"{KEYS}?limit=2").json["keypairs"]) == 3
    assert alice.get(f"{KEYS}?marker=none", headers=at("2.35")).status_code == 400


def test_names_may_have_at_and_dot_from_2_92(alice: Any) -> None:
    body = {"keypair": {"name": "me@home.example", "public_key": PUBLIC}}
    assert alice.post(KEYS, json=body, headers=at("2.91")).status_code == 400
    assert alice.post(KEYS, json=body, headers=at("2.92")).status_code == 201
    assert alice.get(f"{KEYS}/me@home.example").status_code == 200


@pytest.mark.parametrize(
    "public_key",
    [
        "",
        "nonsense",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIKtaZkIktTSDyT+sNsKXcZVsCYQzUPHGMmoX4vVRfZGk",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAA",
        f"{PUBLIC}\nssh-ed25519 AAAA second",
        f'command="id" {PUBLIC}',
        "x" * 70_000,
    ],
)
def test_what_is_no_public_key_is_refused(alice: Any, public_key: str) -> None:
    answer = alice.post(KEYS, json={"keypair": {"name": "mine", "public_key": public_key}})
    assert answer.status_code == 400
    assert alice.get(KEYS).json["keypairs"] == []


@pytest.mark.parametrize("name", ["", " x", "new\nline", "{{ 7*7 }}", "a/b", "x" * 256, 7, "'"])
def test_a_bad_name_is_refused(alice: Any, name: Any) -> None:
    body = {"keypair": {"name": name, "public_key": PUBLIC}}
    assert alice.post(KEYS, json=body).status_code == 400


def test_a_user_has_no_more_keys_than_the_quota(alice: Any, admin: Any) -> None:
    quota = f"/compute/v2.1/os-quota-sets/{alice.project_id}"
    admin.put(quota, json={"quota_set": {"key_pairs": 1}})
    alice.post(KEYS, json={"keypair": {"name": "a", "public_key": PUBLIC}})
    refused = alice.post(KEYS, json={"keypair": {"name": "b", "public_key": PUBLIC}})
    assert refused.status_code == 403
