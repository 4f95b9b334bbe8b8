"""Identity domains: /v3/domains."""

from tests.api.conftest import Caller

DOMAINS = "/identity/v3/domains"


def test_an_admin_creates_shows_changes_and_deletes_a_domain(admin: Caller) -> None:
    created = admin.post(DOMAINS, json={"domain": {"name": "other"}})
    assert created.status_code == 201
    path = f"{DOMAINS}/{created.json['domain']['id']}"
    assert admin.get(path).json["domain"]["enabled"] is True
    assert admin.delete(path).status_code == 403
    changed = admin.patch(path, json={"domain": {"enabled": False, "description": None}})
    assert changed.json["domain"]["enabled"] is False
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_a_domain_with_users_stays(admin: Caller) -> None:
    domain = admin.post(DOMAINS, json={"domain": {"name": "other", "enabled": False}}).json
    domain_id = domain["domain"]["id"]
    admin.post("/identity/v3/users", json={"user": {"name": "eve", "domain_id": domain_id}})
    answer = admin.delete(f"{DOMAINS}/{domain_id}")
    assert answer.status_code == 409
    assert "1 users" in answer.json["error"]["message"]


def test_the_default_domain_is_neither_disabled_nor_deleted(admin: Caller) -> None:
    body = {"domain": {"enabled": False}}
    assert admin.patch(f"{DOMAINS}/default", json=body).status_code == 403
    assert admin.delete(f"{DOMAINS}/default").status_code == 403


def test_lists_are_filtered_by_name(admin: Caller) -> None:
    found = admin.get(f"{DOMAINS}?name=Default").json["domains"]
    assert [entry["id"] for entry in found] == ["default"]
    assert admin.get(f"{DOMAINS}?name=nowhere").json["domains"] == []


def test_a_name_is_there_once(admin: Caller) -> None:
    assert admin.post(DOMAINS, json={"domain": {"name": "Default"}}).status_code == 409


def test_members_see_no_domains(alice: Caller) -> None:
    assert alice.get(DOMAINS).status_code == 403
    assert alice.get(f"{DOMAINS}/default").status_code == 403
