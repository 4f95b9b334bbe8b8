"""Who has which role: /v3/role_assignments, and the roles of a user on a target."""

from controller.api.common.calls import Call, Handler, Reply
from controller.api.identity import views
from controller.api.identity.queries import flag
from controller.core import role_assignments
from controller.core.role_assignments import SYSTEM, Target
from controller.errors import BadRequest, Forbidden


def list_assignments(call: Call) -> Reply:
    """List all that fit the filters; a user may list their own."""
    user_id = call.query.get("user.id")
    if not call.allows("identity:list_role_assignments", {"user_id": user_id}):
        raise Forbidden(
            "Policy doesn't allow identity:list_role_assignments. You may list your own: say "
            f"user.id={call.context.user_id} (openstack role assignment list --user ...)."
        )
    found = role_assignments.list_assignments(
        call.session,
        user_id=user_id,
        role_id=call.query.get("role.id"),
        target=_asked_target(call),
        effective=bool(flag(call, "effective")),
    )
    # There are no groups, so a group has no roles.
    if "group.id" in call.query:
        found = []
    names = bool(flag(call, "include_names"))
    entries = [views.assignment(call, entry, names) for entry in found]
    return views.page(call, "role_assignments", entries)


def _asked_target(call: Call) -> Target | None:
    targets = [
        Target(kind, call.query[f"scope.{kind}.id"])
        for kind in ("project", "domain")
        if f"scope.{kind}.id" in call.query
    ]
    if "scope.system" in call.query:
        targets.append(SYSTEM)
    if len(targets) > 1:
        raise BadRequest("The filters name more than one of project, domain and system. Name one.")
    return targets[0] if targets else None


def _target(kind: str, path: dict[str, str]) -> Target:
    return SYSTEM if kind == "system" else Target(kind, path["target_id"])


def list_of(kind: str) -> Handler:
    """Return the handler that lists a user's roles on a target of `kind`."""

    def list_grants(call: Call, user_id: str, **path: str) -> Reply:
        target = _target(kind, path)
        role_assignments.check_target(call.session, target, user_id)
        found = role_assignments.roles_of(call.session, target, user_id)
        return views.page(call, "roles", [views.role(call, row) for row in found])

    return list_grants


def check_of(kind: str) -> Handler:
    """Return the handler that answers 204 when the user has the role; also for HEAD."""

    def check_grant(call: Call, user_id: str, role_id: str, **path: str) -> Reply:
        role_assignments.check_grant(call.session, _target(kind, path), user_id, role_id)
        return Reply(status=204)

    return check_grant


def create_of(kind: str) -> Handler:
    """Return the handler that gives a user a role."""

    def create_grant(call: Call, user_id: str, role_id: str, **path: str) -> Reply:
        role_assignments.grant(call.session, _target(kind, path), user_id, role_id)
        return Reply(status=204)

    return create_grant


def revoke_of(kind: str) -> Handler:
    """Return the handler that takes a role away."""

    def revoke_grant(call: Call, user_id: str, role_id: str, **path: str) -> Reply:
        role_assignments.take_away(call.session, _target(kind, path), user_id, role_id)
        return Reply(status=204)

    return revoke_grant
