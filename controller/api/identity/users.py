"""Users: /v3/users."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.identity import views
from controller.api.identity.queries import flag
from controller.core import logins, projects, users
from controller.core.passwords import hash_password
from controller.db.models import User
from controller.errors import BadRequest, NotFound

COLUMNS = ("name", "email", "description", "enabled", "default_project_id")


def list_users(call: Call) -> Reply:
    found = users.list_users(
        call.session,
        name=call.query.get("name"),
        domain_id=call.query.get("domain_id"),
        enabled=flag(call, "enabled"),
    )
    return views.page(call, "users", [views.user(call, row) for row in found])


def _columns(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that a body sets; the password's hash is made before any transaction."""
    columns = {name: asked[name] for name in COLUMNS if name in asked}
    if "description" in columns:
        columns["description"] = columns["description"] or ""
    if "password" in asked:
        password = asked["password"]
        columns["password_hash"] = None if password is None else hash_password(password)
    return columns


def create_user(call: Call) -> Reply:
    asked = call.body["user"]
    columns = _columns(asked)
    columns["domain_id"] = asked.get("domain_id") or call.context.user_domain_id
    with call.services.db.write() as session:
        row = users.create(session, columns)
    return Reply({"user": views.user(call, row)}, 201)


def show_user(call: Call, user_id: str) -> Reply:
    return Reply({"user": views.user(call, _visible(call, user_id, "identity:get_user"))})


def update_user(call: Call, user_id: str) -> Reply:
    asked = call.body["user"]
    changes = _columns(asked)
    with call.services.db.write() as session:
        row = users.get(session, user_id)
        if asked.get("domain_id") not in (None, row.domain_id):
            raise BadRequest(f"Cannot move user {user_id}: the domain of a user can't be changed.")
        users.update(session, row, changes)
    return Reply({"user": views.user(call, row)})


def delete_user(call: Call, user_id: str) -> Reply:
    users.delete(call.session, users.get(call.session, user_id))
    return Reply(status=204)


def change_password(call: Call, user_id: str) -> Reply:
    """Change one's own password; the old one is what proves it, so no token is asked for."""
    asked = call.body["user"]
    db = call.services.db
    with db.read() as session:
        user = logins.find_user(session, user_id, None, None, None)
    old = asked["original_password"]
    logins.check_password(db, call.settings, user, user_id, old, call.address)
    password_hash = hash_password(asked["password"])
    with db.write() as session:
        users.update(session, users.get(session, user_id), {"password_hash": password_hash})
    return Reply(status=204)


def list_projects(call: Call, user_id: str) -> Reply:
    """List the projects on which the user has a role."""
    _visible(call, user_id, "identity:list_user_projects")
    found = projects.list_of_user(call.session, user_id)
    return views.page(call, "projects", [views.project(call, row) for row in found])


def _visible(call: Call, user_id: str, rule: str) -> User:
    if not call.allows(rule, {"user_id": user_id}):
        raise NotFound.of("user", user_id)
    return users.get(call.session, user_id)
