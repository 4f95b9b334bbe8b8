"""Logging in: POST /v3/auth/tokens."""

import json
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.core import tokens
from controller.db.models import Project, User
from controller.settings import Settings
from tests.api.conftest import PASSWORD, Caller

TOKENS = "/identity/v3/auth/tokens"
DEFAULT = {"id": "default"}


def by_password(name: str, password: str = PASSWORD, scope: Any = None) -> dict[str, Any]:
    user = {"name": name, "domain": {"name": "Default"}, "password": password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    return {"auth": auth | ({"scope": scope} if scope else {})}


def by_token(token: str | None, scope: Any = None) -> dict[str, Any]:
    auth: dict[str, Any] = {"identity": {"methods": ["token"], "token": {"id": token}}}
    return {"auth": auth | ({"scope": scope} if scope else {})}


def on_project(name: str) -> dict[str, Any]:
    return {"project": {"name": name, "domain": {"id": "default"}}}


def test_a_password_gives_a_token_for_a_project(anonymous: Caller, alice: Caller) -> None:
    answer = anonymous.post(TOKENS, json=by_password("alice", scope=on_project("alpha")))
    assert answer.status_code == 201
    token = answer.json["token"]
    assert token["user"]["id"] == alice.user_id
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["id"] == alice.project_id
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert token["methods"] == ["password"]
    assert {service["type"] for service in token["catalog"]} >= {
        "identity", "image", "network", "compute", "placement",
    }  # fmt: skip
    issued = anonymous.using(answer.headers["X-Subject-Token"])
    assert issued.get("/identity/v3/auth/projects").json["projects"][0]["name"] == "alpha"


def test_the_catalog_says_where_each_service_is(anonymous: Caller) -> None:
    token = anonymous.post(TOKENS, json=by_password("alice", scope=on_project("alpha"))).json
    urls = {
        service["type"]: {entry["url"] for entry in service["endpoints"]}
        for service in token["token"]["catalog"]
    }
    root = "http://127.0.0.1:8774"
    assert urls["compute"] == {f"{root}/compute/v2.1"}
    assert urls["image"] == {f"{root}/image"}
    assert urls["identity"] == {f"{root}/identity/v3"}


def test_nocatalog_leaves_the_catalog_out(anonymous: Caller) -> None:
    body = by_password("alice", scope=on_project("alpha"))
    assert "catalog" not in anonymous.post(f"{TOKENS}?nocatalog", json=body).json["token"]


def test_a_log_in_without_a_scope_gives_an_unscoped_token(anonymous: Caller) -> None:
    answer = anonymous.post(TOKENS, json=by_password("alice"))
    assert answer.status_code == 201
    assert not {"project", "roles", "catalog", "system"} & set(answer.json["token"])
    unscoped = anonymous.using(answer.headers["X-Subject-Token"])
    assert unscoped.get("/image/v2/images").status_code == 403


def test_a_log_in_without_a_scope_goes_to_the_default_project(
    anonymous: Caller, alice: Caller, services: Services
) -> None:
    with services.db.write() as session:
        session.get_one(User, alice.user_id).default_project_id = alice.project_id
    answer = anonymous.post(TOKENS, json=by_password("alice"))
    assert answer.json["token"]["project"]["name"] == "alpha"
    said_unscoped = anonymous.post(TOKENS, json=by_password("alice", scope="unscoped"))
    assert "project" not in said_unscoped.json["token"]


def test_a_token_for_the_system_is_for_those_with_a_role_there(anonymous: Caller) -> None:
    system = {"system": {"all": True}}
    answer = anonymous.post(TOKENS, json=by_password("admin", scope=system))
    assert answer.json["token"]["system"] == {"all": True}
    assert anonymous.post(TOKENS, json=by_password("alice", scope=system)).status_code == 401


def test_an_admin_of_a_domain_is_not_the_clouds_admin(
    anonymous: Caller, admin: Caller, alice: Caller
) -> None:
    roles = admin.get("/identity/v3/roles?name=admin").json["roles"]
    where = f"/identity/v3/domains/default/users/{alice.user_id}/roles/{roles[0]['id']}"
    assert admin.put(where).status_code == 204
    answer = anonymous.post(TOKENS, json=by_password("alice", scope={"domain": {"id": "default"}}))
    assert answer.json["token"]["domain"] == {"id": "default", "name": "Default"}
    of_domain = anonymous.using(answer.headers["X-Subject-Token"])
    assert of_domain.get("/identity/v3/users").status_code == 403


def test_a_token_gives_another_for_another_scope_that_expires_with_it(
    anonymous: Caller, alice: Caller
) -> None:
    first = anonymous.post(TOKENS, json=by_password("alice"))
    second = anonymous.post(
        TOKENS, json=by_token(first.headers["X-Subject-Token"], on_project("alpha"))
    )
    assert second.status_code == 201
    assert second.json["token"]["expires_at"] == first.json["token"]["expires_at"]
    assert second.json["token"]["methods"] == ["password", "token"]
    assert second.json["token"]["audit_ids"][1] == first.json["token"]["audit_ids"][0]


@pytest.mark.parametrize(
    "body",
    [
        by_password("alice", "wrong", on_project("alpha")),
        by_password("nobody", PASSWORD, on_project("alpha")),
        by_password("alice", PASSWORD, on_project("beta")),
        by_password("alice", PASSWORD, on_project("nowhere")),
        by_password("alice", PASSWORD, {"project": {"name": "alpha", "domain": {"id": "x"}}}),
        by_token("gAAAAABforged"),
        by_token("ü" * 20),
        by_token("g" * 5000),
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": ["telepathy"]}}},
    ],
)
def test_a_wrong_log_in_is_refused(anonymous: Caller, body: dict[str, Any]) -> None:
    answer = anonymous.post(TOKENS, json=body)
    assert answer.status_code == 401
    assert answer.json["error"]["title"] == "Unauthorized"
    assert "X-Subject-Token" not in answer.headers


def test_a_wrong_user_and_a_wrong_password_look_the_same(anonymous: Caller) -> None:
    wrong_user = anonymous.post(TOKENS, json=by_password("nobody"))
    wrong_password = anonymous.post(TOKENS, json=by_password("alice", "wrong"))
    assert wrong_user.json == wrong_password.json


def test_a_disabled_user_cannot_log_in(anonymous: Caller, admin: Caller, alice: Caller) -> None:
    path = f"/identity/v3/users/{alice.user_id}"
    assert admin.patch(path, json={"user": {"enabled": False}}).status_code == 200
    assert anonymous.post(TOKENS, json=by_password("alice")).status_code == 401


def test_a_disabled_project_gives_no_token(anonymous: Caller, admin: Caller, alice: Caller) -> None:
    path = f"/identity/v3/projects/{alice.project_id}"
    assert admin.patch(path, json={"project": {"enabled": False}}).status_code == 200
    answer = anonymous.post(TOKENS, json=by_password("alice", scope=on_project("alpha")))
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"auth": {}},
        {"auth": {"identity": {"methods": []}}},
        {"auth": {"identity": {"methods": "password"}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": 7}}}}},
        by_password("alice", scope={"project": {"name": "alpha"}}),
        by_password("alice", scope={"project": {"id": "x"}, "domain": {"id": "x"}}),
        by_password("alice", scope={"galaxy": {}}),
        by_password("alice") | {"more": 1},
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_with_400(anonymous: Caller, body: Any) -> None:
    answer = anonymous.post(TOKENS, json=body)
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == 400


def test_methods_that_are_not_built_say_so(anonymous: Caller) -> None:
    body = {"auth": {"identity": {"methods": ["application_credential"]}}}
    assert anonymous.post(TOKENS, json=body).status_code == 501


@pytest.mark.parametrize(
    "wrong", ["{}", ["{}"], {"x": "{}"}, {"password": ["{}"]}, "{}" + "x" * 9999]
)
def test_passwords_are_neither_logged_nor_shown(
    anonymous: Caller, caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    password = json.loads(json.dumps(wrong).replace("{}", "hunter2-canary"))
    with caplog.at_level("DEBUG"):
        answer = anonymous.post(TOKENS, json=by_password("alice", password))
    assert answer.status_code in (400, 401)
    assert "hunter2-canary" not in caplog.text + answer.text


def test_a_token_names_no_role(settings: Settings, alice: Caller, services: Services) -> None:
    """Roles are read at each use, so that one taken away is gone at once."""
    with services.db.read() as session:
        assert session.get(Project, alice.project_id)
    assert alice.token is not None
    assert tokens.read(settings, alice.token).scope == tokens.Scope("project", alice.project_id)
    assert len(alice.token) < 400


def test_a_log_in_is_short(anonymous: Caller) -> None:
    """Anybody may send one, so little is read of it."""
    answer = anonymous.post(TOKENS, json=by_password("x" * 70_000))
    assert answer.status_code == 413
    path = "/identity/v3/users/x/password"
    answer = anonymous.post(path, json={"user": {"original_password": "x" * 70_000}})
    assert answer.status_code == 413
