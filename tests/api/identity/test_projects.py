"""Projects: /v3/projects."""

import pytest

from tests.api.conftest import Caller

PROJECTS = "/identity/v3/projects"
NAMES = [
    'a "quoted" name',
    "it's",
    "<b>bold</b>",
    "{{ 7*7 }}",
    "{% raw %}",
    "- yaml: [1, 2]",
    "a; DROP TABLE projects",
    "日本語 😀",
]


def test_an_admin_creates_shows_changes_and_deletes_a_project(admin: Caller) -> None:
    created = admin.post(PROJECTS, json={"project": {"name": "gamma", "description": "third"}})
    assert created.status_code == 201
    project = created.json["project"]
    assert project["domain_id"] == project["parent_id"] == "default"
    path = f"{PROJECTS}/{project['id']}"
    assert project["links"]["self"] == f"http://127.0.0.1:8774{path}"
    assert admin.get(path).json["project"] == project
    changed = admin.patch(path, json={"project": {"name": "delta"}}).json["project"]
    assert (changed["name"], changed["description"]) == ("delta", "third")
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_lists_are_filtered_by_name_domain_and_enabled(admin: Caller) -> None:
    def names(query: str) -> list[str]:
        return [entry["name"] for entry in admin.get(PROJECTS + query).json["projects"]]

    assert names("") == ["admin", "alpha", "beta"]
    assert names("?name=alpha") == ["alpha"]
    assert names("?domain_id=default&enabled=1") == ["admin", "alpha", "beta"]
    assert names("?enabled=false") == names("?domain_id=nowhere") == names("?is_domain=true") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_and_stays_as_it_is(admin: Caller, name: str) -> None:
    created = admin.post(PROJECTS, json={"project": {"name": name}}).json["project"]
    assert created["name"] == name
    found = admin.get(PROJECTS, query_string={"name": name}).json["projects"]
    assert [entry["id"] for entry in found] == [created["id"]]


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "nul\x00", "\ud800", "x" * 256, 7, None])
def test_a_name_that_no_client_could_show_is_refused(admin: Caller, name: object) -> None:
    answer = admin.post(PROJECTS, json={"project": {"name": name}})
    assert answer.status_code == 400
    assert answer.json["error"]["title"] == "Bad Request"


def test_a_name_is_there_once_in_a_domain(admin: Caller) -> None:
    answer = admin.post(PROJECTS, json={"project": {"name": "alpha"}})
    assert answer.status_code == 409
    assert "alpha" in answer.json["error"]["message"]
    other = admin.post("/identity/v3/domains", json={"domain": {"name": "other"}}).json["domain"]
    body = {"project": {"name": "alpha", "domain_id": other["id"]}}
    assert admin.post(PROJECTS, json=body).status_code == 201


def test_unknown_fields_and_parents_are_refused_by_name(admin: Caller) -> None:
    answer = admin.post(PROJECTS, json={"project": {"name": "x", "colour": "red"}})
    assert answer.status_code == 400
    assert "colour" in answer.json["error"]["message"]
    body = {"project": {"name": "x", "parent_id": "nobody"}}
    assert admin.post(PROJECTS, json=body).status_code == 400
    body = {"project": {"name": "x", "domain_id": "nowhere"}}
    assert admin.post(PROJECTS, json=body).status_code == 404


def test_a_member_sees_their_own_project_and_no_other(alice: Caller, bob: Caller) -> None:
    assert alice.get(f"{PROJECTS}/{alice.project_id}").json["project"]["name"] == "alpha"
    assert alice.get(f"{PROJECTS}/{bob.project_id}").status_code == 404
    assert alice.get(PROJECTS).status_code == 403


def test_a_member_changes_no_project(alice: Caller) -> None:
    path = f"{PROJECTS}/{alice.project_id}"
    assert alice.post(PROJECTS, json={"project": {"name": "mine"}}).status_code == 403
    assert alice.patch(path, json={"project": {"name": "mine"}}).status_code == 403
    assert alice.delete(path).status_code == 403


def test_a_project_that_owns_something_stays(admin: Caller, alice: Caller) -> None:
    assert alice.post("/image/v2/images", json={"name": "mine"}).status_code == 201
    answer = admin.delete(f"{PROJECTS}/{alice.project_id}")
    assert answer.status_code == 409
    assert "1 images" in answer.json["error"]["message"]


def test_a_deleted_project_takes_its_role_assignments_along(admin: Caller, bob: Caller) -> None:
    assert admin.delete(f"{PROJECTS}/{bob.project_id}").status_code == 204
    found = admin.get(f"/identity/v3/role_assignments?user.id={bob.user_id}").json
    assert found["role_assignments"] == []
    assert bob.get("/identity/v3/auth/projects").status_code == 401


def test_the_number_of_statements_does_not_grow_with_the_list(
    admin: Caller, count_statements: object
) -> None:
    counts = []
    for number in range(2):
        with count_statements() as seen:  # type: ignore[operator]
            admin.get(PROJECTS)
        counts.append(len(seen))
        for more in range(5):
            admin.post(PROJECTS, json={"project": {"name": f"more-{number}-{more}"}})
    assert counts[0] == counts[1] == 2
