"""Users: /v3/users."""

from controller.api.common.calls import Services
from controller.db.models import User
from tests.api.conftest import PASSWORD, Caller

USERS = "/identity/v3/users"


def log_in(anonymous: Caller, user_id: str, password: str) -> int:
    user = {"id": user_id, "password": password}
    identity = {"methods": ["password"], "password": {"user": user}}
    answer = anonymous.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity}})
    return answer.status_code


def test_an_admin_creates_a_user_who_can_log_in(admin: Caller, anonymous: Caller) -> None:
    body = {"user": {"name": "carol", "password": "pässwörd 🔑", "email": "carol@example.org"}}
    created = admin.post(USERS, json=body)
    assert created.status_code == 201
    user = created.json["user"]
    assert user["email"] == "carol@example.org"
    assert "password" not in str(user).replace("password_expires_at", "")
    assert log_in(anonymous, user["id"], "pässwörd 🔑") == 201
    assert admin.delete(f"{USERS}/{user['id']}").status_code == 204
    assert log_in(anonymous, user["id"], "pässwörd 🔑") == 401


def test_a_user_without_a_password_cannot_log_in(admin: Caller, anonymous: Caller) -> None:
    user = admin.post(USERS, json={"user": {"name": "robot"}}).json["user"]
    assert log_in(anonymous, user["id"], "nobody has this password") == 401


def test_passwords_are_kept_as_argon2id_of_19_mib(services: Services, alice: Caller) -> None:
    with services.db.read() as session:
        kept = session.get_one(User, alice.user_id).password_hash
    assert kept is not None
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_password_that_an_admin_sets_voids_tokens(
    admin: Caller, alice: Caller, anonymous: Caller
) -> None:
    path = f"{USERS}/{alice.user_id}"
    assert admin.patch(path, json={"user": {"password": "new one"}}).status_code == 200
    assert alice.get(path).status_code == 401
    assert log_in(anonymous, alice.user_id, "new one") == 201


def test_changing_a_password_needs_the_old_one(alice: Caller, anonymous: Caller) -> None:
    path = f"{USERS}/{alice.user_id}/password"
    wrong = {"user": {"original_password": "wrong", "password": "new one"}}
    assert alice.post(path, json=wrong).status_code == 401
    right = {"user": {"original_password": PASSWORD, "password": "new one"}}
    assert alice.post(path, json=right).status_code == 204
    assert log_in(anonymous, alice.user_id, "new one") == 201
    assert log_in(anonymous, alice.user_id, PASSWORD) == 401


def test_tries_of_the_old_password_are_limited(alice: Caller) -> None:
    path = f"{USERS}/{alice.user_id}/password"
    wrong = {"user": {"original_password": "wrong", "password": "new one"}}
    statuses = [alice.post(path, json=wrong).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]


def test_users_see_themselves_and_nobody_else(alice: Caller, bob: Caller) -> None:
    assert alice.get(f"{USERS}/{alice.user_id}").json["user"]["name"] == "alice"
    assert alice.get(f"{USERS}/{bob.user_id}").status_code == 404
    assert alice.get(f"{USERS}/{bob.user_id}/projects").status_code == 404
    projects = alice.get(f"{USERS}/{alice.user_id}/projects").json["projects"]
    assert [entry["name"] for entry in projects] == ["alpha"]
    assert alice.get(USERS).status_code == 403
    assert alice.patch(f"{USERS}/{alice.user_id}", json={"user": {"name": "x"}}).status_code == 403


def test_lists_are_filtered(admin: Caller) -> None:
    everyone = [entry["name"] for entry in admin.get(USERS).json["users"]]
    assert everyone == ["admin", "alice", "bob", "rita"]
    found = admin.get(f"{USERS}?name=alice&domain_id=default").json["users"]
    assert [entry["name"] for entry in found] == ["alice"]


def test_a_name_is_there_once_in_a_domain(admin: Caller) -> None:
    assert admin.post(USERS, json={"user": {"name": "alice"}}).status_code == 409


def test_wrong_types_and_unknown_fields_are_refused(admin: Caller, alice: Caller) -> None:
    for bad in ({"enabled": "yes"}, {"password": 7}, {"email": {}}, {"shoe_size": 43}, {}):
        answer = admin.patch(f"{USERS}/{alice.user_id}", json={"user": bad})
        assert answer.status_code == 400
    assert alice.get(f"{USERS}/{alice.user_id}").status_code == 200
