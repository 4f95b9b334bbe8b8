"""Projects: what owns servers, images and networks."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from controller.core import identity_domains, role_assignments, unique_names
from controller.db.models import (
    Domain,
    FloatingIP,
    Image,
    Network,
    Port,
    Project,
    RoleAssignment,
    Router,
    Server,
    Subnet,
    SubnetPool,
)
from controller.errors import BadRequest, InUse, NotFound

Owned = Server | Image | Port | Network | Router | FloatingIP | Subnet | SubnetPool


def get(session: Session, project_id: str) -> Project:
    """Return the project. Raises NotFound."""
    project = session.get(Project, project_id)
    if project is None:
        raise NotFound.of("project", project_id)
    return project


def list_projects(
    session: Session,
    *,
    name: str | None = None,
    domain_id: str | None = None,
    parent_id: str | None = None,
    enabled: bool | None = None,
) -> list[Project]:
    """Return the projects that fit, by name."""
    wanted = {"name": name, "domain_id": domain_id, "parent_id": parent_id, "enabled": enabled}
    query = select(Project).order_by(Project.name, Project.id)
    given = {key: value for key, value in wanted.items() if value is not None}
    return list(session.scalars(query.filter_by(**given)))


def list_of_user(session: Session, user_id: str, *, usable: bool = False) -> list[Project]:
    """Return the projects on which the user has a role; `usable` leaves out disabled ones."""
    with_role = select(RoleAssignment.target_id).where(
        RoleAssignment.user_id == user_id, RoleAssignment.target_type == "project"
    )
    query = select(Project).where(Project.id.in_(with_role)).order_by(Project.name, Project.id)
    if usable:
        query = query.join(Domain, Domain.id == Project.domain_id)
        query = query.where(Project.enabled, Domain.enabled)
    return list(session.scalars(query))


def create(
    session: Session,
    *,
    name: str,
    domain_id: str,
    parent_id: str | None,
    description: str,
    enabled: bool,
) -> Project:
    """Return a new project. `parent_id` None means that it lies in its domain directly.

    Raises NotFound for the domain, BadRequest for the parent, NameTaken.
    """
    identity_domains.get(session, domain_id)
    if parent_id not in (None, domain_id):
        parent = session.get(Project, parent_id)
        if parent is None or parent.domain_id != domain_id:
            raise BadRequest(
                f"Cannot create project {name!r}: its parent {parent_id} is not in domain "
                f"{domain_id}. Name one that is, or leave parent_id out."
            )
    project = Project(
        name=name,
        domain_id=domain_id,
        parent_id=parent_id or domain_id,
        description=description,
        enabled=enabled,
    )
    session.add(project)
    unique_names.flush(session, "project", name, "in this domain")
    return project


def update(session: Session, project: Project, changes: Mapping[str, Any]) -> None:
    """Change name, description or enabled. Raises NameTaken."""
    for name, value in changes.items():
        setattr(project, name, value)
    unique_names.flush(session, "project", project.name, "in this domain")


def delete(session: Session, project: Project) -> None:
    """Delete a project that owns nothing. Raises InUse.

    Keystone deletes it all the same, and leaves servers that nobody can reach or pay for.
    """
    for noun, query in (
        ("projects below it", select(func.count()).where(Project.parent_id == project.id)),
        ("servers", _count(Server, project).where(Server.deleted_at.is_(None))),
        ("images", _count(Image, project).where(Image.deleted_at.is_(None))),
        ("ports", _count(Port, project)),
        ("networks", _count(Network, project)),
        # On networks of others, where their own ports are nobody's.
        ("routers", _count(Router, project)),
        ("floating IPs", _count(FloatingIP, project)),
        ("subnets", _count(Subnet, project)),
        ("subnet pools", _count(SubnetPool, project)),
    ):
        count = session.scalar(query)
        if count:
            raise InUse(
                f"Cannot delete project {project.id}: it has {count} {noun}. Delete them first."
            )
    role_assignments.forget(session, target=role_assignments.Target("project", project.id))
    session.delete(project)


def _count(model: type[Owned], project: Project) -> Any:
    return select(func.count()).where(model.project_id == project.id)
