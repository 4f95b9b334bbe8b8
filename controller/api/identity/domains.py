"""Identity domains: /v3/domains."""

from controller.api.common.calls import Call, Reply
from controller.api.identity import views
from controller.api.identity.queries import flag
from controller.core import identity_domains

CHANGEABLE = ("name", "description", "enabled")


def list_domains(call: Call) -> Reply:
    found = identity_domains.list_domains(
        call.session, name=call.query.get("name"), enabled=flag(call, "enabled")
    )
    return views.page(call, "domains", [views.domain(call, row) for row in found])


def create_domain(call: Call) -> Reply:
    asked = call.body["domain"]
    row = identity_domains.create(
        call.session,
        name=asked["name"],
        description=asked.get("description") or "",
        enabled=asked.get("enabled", True),
    )
    return Reply({"domain": views.domain(call, row)}, 201)


def show_domain(call: Call, domain_id: str) -> Reply:
    return Reply({"domain": views.domain(call, identity_domains.get(call.session, domain_id))})


def update_domain(call: Call, domain_id: str) -> Reply:
    row = identity_domains.get(call.session, domain_id)
    asked = call.body["domain"]
    changes = {name: asked[name] for name in CHANGEABLE if name in asked}
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    identity_domains.update(call.session, row, changes)
    return Reply({"domain": views.domain(call, row)})


def delete_domain(call: Call, domain_id: str) -> Reply:
    identity_domains.delete(call.session, identity_domains.get(call.session, domain_id))
    return Reply(status=204)
