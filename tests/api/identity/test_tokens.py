"""Tokens: validating, revoking, and what makes one void."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta

from cryptography.fernet import Fernet

from controller.api.common.calls import Services
from controller.core import tokens
from controller.core.tokens import Scope
from controller.settings import Settings
from tests.api.conftest import PASSWORD, Caller

TOKENS = "/identity/v3/auth/tokens"
IMAGES = "/image/v2/images"


def about(token: str | None) -> dict[str, str]:
    return {"X-Subject-Token": token or ""}


def test_a_token_can_be_validated_by_its_holder_and_by_an_admin(
    admin: Caller, alice: Caller, bob: Caller
) -> None:
    for caller in (alice, admin):
        answer = caller.get(TOKENS, headers=about(alice.token))
        assert answer.status_code == 200
        assert answer.json["token"]["user"]["name"] == "alice"
        assert answer.headers["X-Subject-Token"] == alice.token
    assert bob.get(TOKENS, headers=about(alice.token)).status_code == 403


def test_head_validates_without_a_body(admin: Caller, alice: Caller) -> None:
    answer = admin.head(TOKENS, headers=about(alice.token))
    assert (answer.status_code, answer.data) == (200, b"")


def test_validating_what_is_no_token_is_404(admin: Caller) -> None:
    for text in ("", "nonsense", "gAAAAABfake"):
        assert admin.get(TOKENS, headers=about(text)).status_code == 404


def test_a_revoked_token_is_void_at_once_and_others_are_not(
    alice: Caller, caller_named: Callable[..., Caller]
) -> None:
    other = caller_named("alice", "alpha")
    assert alice.delete(TOKENS, headers=about(alice.token)).status_code == 204
    assert alice.get(IMAGES).status_code == 401
    assert other.get(IMAGES).status_code == 200


def test_nobody_revokes_anothers_token(bob: Caller, alice: Caller) -> None:
    assert bob.delete(TOKENS, headers=about(alice.token)).status_code == 403
    assert alice.get(IMAGES).status_code == 200


def test_a_token_that_expired_is_refused(alice: Caller, settings: Settings) -> None:
    token = tokens.issue(settings, alice.user_id, Scope("project", alice.project_id), ("password",))
    expired = replace(token, expires_at=token.issued_at - timedelta(seconds=1))
    answer = alice.using(tokens.write(settings, expired)).get(IMAGES)
    assert answer.status_code == 401


def test_a_forged_token_is_refused(alice: Caller, settings: Settings) -> None:
    assert alice.token is not None
    middle = len(alice.token) // 2
    other = "A" if alice.token[middle] != "A" else "B"
    changed = alice.token[:middle] + other + alice.token[middle + 1 :]
    by_another_key = Fernet(Fernet.generate_key()).encrypt(b"[1]").decode()
    for text in (changed, by_another_key, alice.token[:-5], "null", "é", "a" * 100_000):
        assert alice.using(text).get("/identity/v3/auth/projects").status_code == 401


def test_without_a_token_the_answer_is_401_with_a_hint(anonymous: Caller) -> None:
    answer = anonymous.get("/identity/v3/projects")
    assert answer.status_code == 401
    assert "X-Auth-Token" in answer.json["error"]["message"]
    assert "Keystone uri=" in answer.headers["WWW-Authenticate"]


def test_a_role_taken_away_is_gone_from_tokens_at_once(admin: Caller, alice: Caller) -> None:
    role = admin.get("/identity/v3/roles?name=member").json["roles"][0]["id"]
    project = f"/identity/v3/projects/{alice.project_id}"
    assert admin.delete(f"{project}/users/{alice.user_id}/roles/{role}").status_code == 204
    assert alice.get(IMAGES).status_code == 401


def test_disabling_user_project_or_domain_voids_tokens(
    admin: Caller, alice: Caller, bob: Caller
) -> None:
    admin.patch(f"/identity/v3/users/{alice.user_id}", json={"user": {"enabled": False}})
    assert alice.get(IMAGES).status_code == 401
    admin.patch(f"/identity/v3/projects/{bob.project_id}", json={"project": {"enabled": False}})
    assert bob.get(IMAGES).status_code == 401


def test_changing_the_password_voids_tokens(alice: Caller, anonymous: Caller) -> None:
    change = {"user": {"original_password": PASSWORD, "password": "another one"}}
    path = f"/identity/v3/users/{alice.user_id}/password"
    assert anonymous.post(path, json=change).status_code == 204
    assert alice.get(IMAGES).status_code == 401
    assert anonymous.post(path, json=change).status_code == 401


def test_a_token_made_again_from_a_void_one_is_refused(alice: Caller, anonymous: Caller) -> None:
    alice.delete(TOKENS, headers=about(alice.token))
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": alice.token}}}}
    assert anonymous.post(TOKENS, json=body).status_code == 401


def test_validation_takes_one_statement(
    services: Services,
    settings: Settings,
    alice: Caller,
    count_statements: Callable[[], AbstractContextManager[list[str]]],
) -> None:
    assert alice.token is not None
    with count_statements() as seen, services.db.read() as session:
        services.authenticate(session, alice.token, "req-1")
    assert len(seen) == 1


def test_a_new_key_beside_the_old_one_keeps_tokens_valid(settings: Settings, alice: Caller) -> None:
    (settings.keys_dir / "tokens" / "2").write_bytes(Fernet.generate_key())
    assert alice.get(IMAGES).status_code == 200
    (settings.keys_dir / "tokens" / "1").unlink()
    assert alice.get(IMAGES).status_code == 401


def test_keys_are_readable_by_the_controller_alone(settings: Settings) -> None:
    keys = [path for path in settings.keys_dir.rglob("*") if path.is_file()]
    assert len(keys) == 2
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert settings.keys_dir.stat().st_mode & 0o777 == 0o700
