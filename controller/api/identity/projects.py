"""Projects: /v3/projects."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.identity import views
from controller.api.identity.queries import flag
from controller.core import projects
from controller.errors import BadRequest, NotFound

CHANGEABLE = ("name", "description", "enabled")


def list_projects(call: Call) -> Reply:
    found = projects.list_projects(
        call.session,
        name=call.query.get("name"),
        domain_id=call.query.get("domain_id"),
        parent_id=call.query.get("parent_id"),
        enabled=flag(call, "enabled"),
    )
    # Domains aren't projects here.
    entries = [] if flag(call, "is_domain") else [views.project(call, row) for row in found]
    return views.page(call, "projects", entries)


def create_project(call: Call) -> Reply:
    asked = call.body["project"]
    row = projects.create(
        call.session,
        name=asked["name"],
        domain_id=asked.get("domain_id") or call.context.user_domain_id,
        parent_id=asked.get("parent_id"),
        description=asked.get("description") or "",
        enabled=asked.get("enabled", True),
    )
    return Reply({"project": views.project(call, row)}, 201)


def show_project(call: Call, project_id: str) -> Reply:
    if not call.allows("identity:get_project", {"project_id": project_id}):
        raise NotFound.of("project", project_id)
    return Reply({"project": views.project(call, projects.get(call.session, project_id))})


def update_project(call: Call, project_id: str) -> Reply:
    row = projects.get(call.session, project_id)
    asked: dict[str, Any] = call.body["project"]
    for name in ("domain_id", "parent_id"):
        if asked.get(name) not in (None, getattr(row, name)):
            raise BadRequest(f"Cannot move project {project_id}: its {name} can't be changed.")
    changes = {name: asked[name] for name in CHANGEABLE if name in asked}
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    projects.update(call.session, row, changes)
    return Reply({"project": views.project(call, row)})


def delete_project(call: Call, project_id: str) -> Reply:
    projects.delete(call.session, projects.get(call.session, project_id))
    return Reply(status=204)
