"""Roles: /v3/roles."""

from controller.api.common.calls import Call, Reply
from controller.api.identity import views
from controller.core import roles


def list_roles(call: Call) -> Reply:
    found = roles.list_roles(call.session, name=call.query.get("name"))
    # All roles are the cloud's; a filter on a domain's own finds none.
    of_domain = call.query.get("domain_id", "null") not in ("null", "")
    return views.page(call, "roles", [] if of_domain else [views.role(call, row) for row in found])


def create_role(call: Call) -> Reply:
    asked = call.body["role"]
    row = roles.create(call.session, name=asked["name"], description=asked.get("description") or "")
    return Reply({"role": views.role(call, row)}, 201)


def show_role(call: Call, role_id: str) -> Reply:
    return Reply({"role": views.role(call, roles.get(call.session, role_id))})


def update_role(call: Call, role_id: str) -> Reply:
    row = roles.get(call.session, role_id)
    asked = call.body["role"]
    changes = {name: asked[name] or "" for name in ("name", "description") if name in asked}
    roles.update(call.session, row, changes)
    return Reply({"role": views.role(call, row)})


def delete_role(call: Call, role_id: str) -> Reply:
    roles.delete(call.session, roles.get(call.session, role_id))
    return Reply(status=204)
