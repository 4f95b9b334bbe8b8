"""Scopes: what a user may ask a token for."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core.tokens import SYSTEM, UNSCOPED, Scope
from controller.db.models import Domain, Project, RoleAssignment, User
from controller.errors import Unauthorized

REFUSED = (
    "No token for this scope: it doesn't exist, is disabled, or the user has no role on it. Check "
    "its name and domain, or ask for a role."
)


def requested(session: Session, user: User, asked: Mapping[str, Any] | str | None) -> Scope:
    """Return the scope that a log-in asks for, in the API's form. Raises Unauthorized.

    Nothing asked for means the user's default project where they have a role on it.
    """
    if asked is None:
        return _default(session, user)
    if isinstance(asked, str) or "OS-TRUST:trust" in asked:
        return UNSCOPED
    if "system" in asked:
        return SYSTEM
    if "domain" in asked:
        domain = find_domain(session, asked["domain"])
        return Scope("domain", domain.id) if domain else _refuse()
    project = _find_project(session, asked["project"])
    return Scope("project", project.id) if project else _refuse()


def _refuse() -> Scope:
    raise Unauthorized(REFUSED)


def _default(session: Session, user: User) -> Scope:
    if user.default_project_id is None:
        return UNSCOPED
    has_role = select(RoleAssignment).where(
        RoleAssignment.user_id == user.id,
        RoleAssignment.target_type == "project",
        RoleAssignment.target_id == user.default_project_id,
    )
    usable = select(Project.id).where(Project.id == user.default_project_id, Project.enabled)
    if session.scalar(has_role.limit(1)) is None or session.scalar(usable) is None:
        return UNSCOPED
    return Scope("project", user.default_project_id)


def find_domain(session: Session, named: Mapping[str, Any]) -> Domain | None:
    """Return the domain that `{"id"}` or `{"name"}` names."""
    if "id" in named:
        return session.get(Domain, named["id"])
    return session.scalar(select(Domain).where(Domain.name == named["name"]))


def _find_project(session: Session, named: Mapping[str, Any]) -> Project | None:
    if "id" in named:
        return session.get(Project, named["id"])
    domain = find_domain(session, named["domain"])
    if domain is None:
        return None
    return session.scalar(
        select(Project).where(Project.domain_id == domain.id, Project.name == named["name"])
    )
