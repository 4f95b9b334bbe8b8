"""Identity domains: Keystone's, in which projects and users have their names."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from controller.core import role_assignments, unique_names
from controller.core.bootstrap import DEFAULT_DOMAIN
from controller.db.models import Domain, Project, User
from controller.errors import Forbidden, InUse, NotFound


def get(session: Session, domain_id: str) -> Domain:
    """Return the domain. Raises NotFound."""
    domain = session.get(Domain, domain_id)
    if domain is None:
        raise NotFound.of("domain", domain_id)
    return domain


def list_domains(
    session: Session, *, name: str | None = None, enabled: bool | None = None
) -> list[Domain]:
    """Return the domains that fit, by name."""
    query = select(Domain).order_by(Domain.name)
    if name is not None:
        query = query.where(Domain.name == name)
    if enabled is not None:
        query = query.where(Domain.enabled == enabled)
    return list(session.scalars(query))


def create(session: Session, *, name: str, description: str, enabled: bool) -> Domain:
    """Return a new domain. Raises NameTaken."""
    domain = Domain(name=name, description=description, enabled=enabled)
    session.add(domain)
    unique_names.flush(session, "domain", name)
    return domain


def update(session: Session, domain: Domain, changes: Mapping[str, Any]) -> None:
    """Change name, description or enabled. Disabling it voids its users' and projects' tokens.

    Raises NameTaken; Forbidden for disabling the default domain, in which the admin lives.
    """
    if domain.id == DEFAULT_DOMAIN and changes.get("enabled") is False:
        raise Forbidden("Cannot disable the default domain: the cloud's admin is in it.")
    for name, value in changes.items():
        setattr(domain, name, value)
    unique_names.flush(session, "domain", domain.name)


def delete(session: Session, domain: Domain) -> None:
    """Delete a disabled, empty domain. Raises Forbidden while enabled, InUse while not empty."""
    if domain.id == DEFAULT_DOMAIN:
        raise Forbidden("Cannot delete the default domain: the cloud's admin is in it.")
    if domain.enabled:
        raise Forbidden(f"Cannot delete domain {domain.id}: it is enabled. Disable it first.")
    for noun, model in (("projects", Project), ("users", User)):
        count = session.scalar(select(func.count()).where(model.domain_id == domain.id))
        if count:
            raise InUse(
                f"Cannot delete domain {domain.id}: it has {count} {noun}. Delete them first."
            )
    role_assignments.forget(session, target=role_assignments.Target("domain", domain.id))
    session.delete(domain)
