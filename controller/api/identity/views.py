"""Rows in Keystone's shapes."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.core.catalog import Endpoint, Service
from controller.core.role_assignments import Assignment
from controller.core.tokens import Domained, Holder
from controller.db.models import Domain, Project, Role, User


def href(call: Call, *parts: str) -> str:
    """Return the address of something below v3."""
    return "/".join((f"{call.root}/identity/v3", *parts))


def page(call: Call, noun: str, entries: Iterable[Mapping[str, Any]]) -> Reply:
    """Return a list; Keystone's lists of these nouns have one page."""
    links = {"self": f"{call.root}{call.request.path}", "next": None, "previous": None}
    return Reply({noun: list(entries), "links": links})


def project(call: Call, row: Project) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "parent_id": row.parent_id,
        "description": row.description,
        "enabled": row.enabled,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": href(call, "projects", row.id)},
    }


def user(call: Call, row: User) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "enabled": row.enabled,
        "password_expires_at": None,
        "options": {},
        "links": {"self": href(call, "users", row.id)},
    }
    if row.email is not None:
        shown["email"] = row.email
    if row.default_project_id is not None:
        shown["default_project_id"] = row.default_project_id
    return shown


def domain(call: Call, row: Domain) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "tags": [],
        "options": {},
        "links": {"self": href(call, "domains", row.id)},
    }


def role(call: Call, row: Role) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "domain_id": None,
        "description": row.description or None,
        "options": {},
        "links": {"self": href(call, "roles", row.id)},
    }


def assignment(call: Call, entry: Assignment, names: bool) -> dict[str, Any]:
    """Return an entry of role_assignments; `names` adds the names to every id."""
    target = entry.target
    scope: dict[str, Any] = {"all": True} if target.type == "system" else {"id": target.id}
    shown_user: dict[str, Any] = {"id": entry.user.id}
    shown_role: dict[str, Any] = {"id": entry.role.id}
    if names:
        shown_user |= {
            "name": entry.user.name,
            "domain": {"id": entry.user.domain_id, "name": entry.user_domain},
        }
        shown_role["name"] = entry.role.name
        if target.type != "system":
            scope["name"] = entry.target_name
        if target.type == "project":
            scope["domain"] = dict(zip(("id", "name"), entry.target_domain, strict=True))
    where = ("system",) if target.type == "system" else (f"{target.type}s", target.id)
    given = entry.implied_by or entry.role.id
    links = {"assignment": href(call, *where, "users", entry.user.id, "roles", given)}
    if entry.implied_by:
        links["prior_role"] = href(call, "prior_role", given, "implies", entry.role.id)
    return {"scope": {target.type: scope}, "user": shown_user, "role": shown_role, "links": links}


def service(call: Call, entry: Service) -> dict[str, Any]:
    return {
        "id": entry.id,
        "name": entry.name,
        "type": entry.type,
        "description": entry.description,
        "enabled": True,
        "links": {"self": href(call, "services", entry.id)},
    }


def endpoint(call: Call, entry: Endpoint) -> dict[str, Any]:
    return {
        "id": entry.id,
        "service_id": entry.service.id,
        "interface": entry.interface,
        "region": entry.region,
        "region_id": entry.region,
        "url": entry.url,
        "enabled": True,
        "links": {"self": href(call, "endpoints", entry.id)},
    }


def region(call: Call, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "description": "",
        "parent_region_id": None,
        "links": {"self": href(call, "regions", name)},
    }


def catalog(endpoints: Iterable[Endpoint]) -> list[dict[str, Any]]:
    """Return the catalog as tokens carry it: the services, each with its endpoints."""
    shown: dict[str, dict[str, Any]] = {}
    for entry in endpoints:
        of = entry.service
        listed = shown.setdefault(
            of.id, {"id": of.id, "name": of.name, "type": of.type, "endpoints": []}
        )
        listed["endpoints"].append(
            {
                "id": entry.id,
                "interface": entry.interface,
                "region": entry.region,
                "region_id": entry.region,
                "url": entry.url,
            }
        )
    return list(shown.values())


def token(
    holder: Holder, roles: Iterable[Role], endpoints: Iterable[Endpoint] | None
) -> dict[str, Any]:
    """Return what POST and GET of auth/tokens show; `endpoints` None leaves the catalog out."""
    of = holder.token
    shown: dict[str, Any] = {
        "methods": list(of.methods),
        "user": {**_domained(holder.user), "password_expires_at": None},
        "audit_ids": list(of.audit_ids),
        "issued_at": moment(of.issued_at),
        "expires_at": moment(of.expires_at),
    }
    if of.scope.kind == "unscoped":
        return {"token": shown}
    if holder.project:
        shown |= {"project": _domained(holder.project), "is_domain": False}
    if holder.domain:
        shown["domain"] = dict(zip(("id", "name"), holder.domain, strict=True))
    if of.scope.kind == "system":
        shown["system"] = {"all": True}
    shown["roles"] = [{"id": row.id, "name": row.name} for row in roles]
    if endpoints is not None:
        shown["catalog"] = catalog(endpoints)
    return {"token": shown}


def _domained(thing: Domained) -> dict[str, Any]:
    return {
        "id": thing.id,
        "name": thing.name,
        "domain": {"id": thing.domain_id, "name": thing.domain_name},
    }


def moment(value: datetime) -> str:
    """Return a time as Keystone writes it, with microseconds."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
