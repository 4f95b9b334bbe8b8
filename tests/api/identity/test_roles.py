"""Roles, grants and role assignments."""

import pytest

from tests.api.conftest import Caller

ROLES = "/identity/v3/roles"
ASSIGNMENTS = "/identity/v3/role_assignments"


@pytest.fixture
def role_ids(admin: Caller) -> dict[str, str]:
    return {entry["name"]: entry["id"] for entry in admin.get(ROLES).json["roles"]}


def test_the_cloud_begins_with_three_roles(role_ids: dict[str, str]) -> None:
    assert sorted(role_ids) == ["admin", "member", "reader"]


def test_an_admin_creates_shows_changes_and_deletes_a_role(admin: Caller) -> None:
    role = admin.post(ROLES, json={"role": {"name": "auditor"}}).json["role"]
    path = f"{ROLES}/{role['id']}"
    assert admin.get(path).json["role"]["name"] == "auditor"
    renamed = admin.patch(path, json={"role": {"name": "controller"}})
    assert renamed.json["role"]["name"] == "controller"
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_the_built_in_roles_stay(admin: Caller, role_ids: dict[str, str]) -> None:
    path = f"{ROLES}/{role_ids['member']}"
    assert admin.delete(path).status_code == 403
    assert admin.patch(path, json={"role": {"name": "guest"}}).status_code == 403
    assert admin.post(ROLES, json={"role": {"name": "member"}}).status_code == 409


@pytest.mark.parametrize("target", ["projects/{project}", "domains/default", "system"])
def test_a_grant_is_given_seen_and_taken_away(
    admin: Caller, alice: Caller, bob: Caller, role_ids: dict[str, str], target: str
) -> None:
    where = target.format(project=bob.project_id)
    roles = f"/identity/v3/{where}/users/{alice.user_id}/roles"
    grant = f"{roles}/{role_ids['reader']}"
    assert admin.head(grant).status_code == 404
    assert admin.put(grant).status_code == 204
    assert admin.put(grant).status_code == 204
    assert admin.head(grant).status_code == 204
    assert [entry["name"] for entry in admin.get(roles).json["roles"]] == ["reader"]
    assert admin.delete(grant).status_code == 204
    assert admin.delete(grant).status_code == 404


def test_a_grant_needs_user_role_and_target(
    admin: Caller, alice: Caller, role_ids: dict[str, str]
) -> None:
    good = ("projects", alice.project_id, alice.user_id, role_ids["reader"])
    for index in (1, 2, 3):
        parts = list(good)
        parts[index] = "absent"
        kind, target, user, role = parts
        path = f"/identity/v3/{kind}/{target}/users/{user}/roles/{role}"
        assert admin.put(path).status_code == 404


def test_members_give_no_roles(alice: Caller, role_ids: dict[str, str]) -> None:
    for where in (f"projects/{alice.project_id}", "domains/default", "system"):
        path = f"/identity/v3/{where}/users/{alice.user_id}/roles/{role_ids['admin']}"
        assert alice.put(path).status_code == 403


def test_assignments_are_listed_by_user_role_and_target(
    admin: Caller, alice: Caller, role_ids: dict[str, str]
) -> None:
    def count(query: str) -> int:
        return len(admin.get(ASSIGNMENTS + query).json["role_assignments"])

    assert count("") == 5
    assert count(f"?user.id={alice.user_id}") == 1
    assert count(f"?role.id={role_ids['admin']}") == 2
    assert count(f"?scope.project.id={alice.project_id}") == 2
    assert count("?scope.system=all") == 1
    assert count("?scope.domain.id=default") == count("?group.id=any") == 0
    both = "?scope.system=all&scope.project.id=x"
    assert admin.get(ASSIGNMENTS + both).status_code == 400


def test_assignments_with_names(admin: Caller, alice: Caller) -> None:
    query = f"?include_names&user.id={alice.user_id}"
    entry = admin.get(ASSIGNMENTS + query).json["role_assignments"][0]
    default = {"id": "default", "name": "Default"}
    assert entry["user"] == {"id": alice.user_id, "name": "alice", "domain": default}
    assert entry["role"]["name"] == "member"
    assert entry["scope"]["project"] == {
        "id": alice.project_id,
        "name": "alpha",
        "domain": default,
    }


def test_effective_assignments_have_the_implied_roles(
    admin: Caller, alice: Caller, role_ids: dict[str, str]
) -> None:
    query = f"?effective&include_names=true&user.id={alice.user_id}"
    found = admin.get(ASSIGNMENTS + query).json["role_assignments"]
    assert [entry["role"]["name"] for entry in found] == ["member", "reader"]
    assert "prior_role" in found[1]["links"]
    reader = f"&role.id={role_ids['reader']}"
    found = admin.get(ASSIGNMENTS + query + reader).json["role_assignments"]
    assert [entry["role"]["name"] for entry in found] == ["reader"]


def test_users_list_their_own_assignments_alone(alice: Caller, bob: Caller) -> None:
    assert alice.get(f"{ASSIGNMENTS}?user.id={alice.user_id}").status_code == 200
    assert alice.get(f"{ASSIGNMENTS}?user.id={bob.user_id}").status_code == 403
    assert alice.get(ASSIGNMENTS).status_code == 403
