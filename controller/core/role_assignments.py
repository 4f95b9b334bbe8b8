"""Role assignments: who has which role, and on what."""

from dataclasses import dataclass

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session, aliased

from controller.core import roles
from controller.core.roles import with_implied
from controller.db.models import Domain, Project, Role, RoleAssignment, User
from controller.errors import NotFound


@dataclass(frozen=True, slots=True)
class Target:
    """What a role is on. `type` is project, domain or system (id 'all')."""

    type: str
    id: str


SYSTEM = Target("system", "all")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One assignment with the names that `include_names` shows; `implied_by` is a role's id."""

    user: User
    user_domain: str
    role: Role
    target: Target
    target_name: str | None
    # The domain of a project: (id, name).
    target_domain: tuple[str | None, str | None]
    implied_by: str | None = None


def grant(session: Session, target: Target, user_id: str, role_id: str) -> None:
    """Give the role; one that is there already stays. Raises NotFound."""
    check_target(session, target, user_id)
    roles.get(session, role_id)
    if session.get(RoleAssignment, (user_id, target.type, target.id, role_id)) is None:
        session.add(
            RoleAssignment(
                user_id=user_id, target_type=target.type, target_id=target.id, role_id=role_id
            )
        )


def check_grant(session: Session, target: Target, user_id: str, role_id: str) -> RoleAssignment:
    """Return the assignment. Raises NotFound when the user doesn't have this role there."""
    row = session.get(RoleAssignment, (user_id, target.type, target.id, role_id))
    if row is None:
        raise NotFound(
            f"User {user_id} has no role {role_id} on {target.type} {target.id}. See `openstack "
            "role assignment list` for what there is."
        )
    return row


def take_away(session: Session, target: Target, user_id: str, role_id: str) -> None:
    """Take the role away; it is gone from tokens at once. Raises NotFound."""
    session.delete(check_grant(session, target, user_id, role_id))


def roles_of(session: Session, target: Target, user_id: str) -> list[Role]:
    """Return the roles that were given, by name; implied ones aren't among them."""
    query = (
        select(Role)
        .join(RoleAssignment, RoleAssignment.role_id == Role.id)
        .where(
            RoleAssignment.user_id == user_id,
            RoleAssignment.target_type == target.type,
            RoleAssignment.target_id == target.id,
        )
    )
    return list(session.scalars(query.order_by(Role.name)))


def check_target(session: Session, target: Target, user_id: str) -> None:
    """Raise NotFound unless user and target are there."""
    if session.get(User, user_id) is None:
        raise NotFound.of("user", user_id)
    if target.type == "project" and session.get(Project, target.id) is None:
        raise NotFound.of("project", target.id)
    if target.type == "domain" and session.get(Domain, target.id) is None:
        raise NotFound.of("domain", target.id)


def list_assignments(
    session: Session,
    *,
    user_id: str | None = None,
    role_id: str | None = None,
    target: Target | None = None,
    effective: bool = False,
) -> list[Assignment]:
    """Return assignments, by user, target and role. `effective` adds the implied roles.

    Two statements at most, whatever the number.
    """
    query = _assignments()
    if user_id is not None:
        query = query.where(RoleAssignment.user_id == user_id)
    if role_id is not None and not effective:
        query = query.where(RoleAssignment.role_id == role_id)
    if target is not None:
        query = query.where(
            RoleAssignment.target_type == target.type, RoleAssignment.target_id == target.id
        )
    found = [
        Assignment(
            user=user,
            user_domain=user_domain,
            role=role,
            target=Target(row.target_type, row.target_id),
            target_name=project_name or domain_name,
            target_domain=(project_domain_id, project_domain_name),
        )
        for (
            row,
            user,
            user_domain,
            role,
            project_name,
            project_domain_id,
            project_domain_name,
            domain_name,
        ) in session.execute(query)
    ]
    if effective:
        found = [
            entry
            for entry in _with_implied(session, found)
            if role_id is None or entry.role.id == role_id
        ]
    return found


def _assignments() -> Select[RoleAssignment, User, str, Role, str, str, str, str]:
    user_domain, project_domain, domain = aliased(Domain), aliased(Domain), aliased(Domain)
    on_project = (Project.id == RoleAssignment.target_id) & (
        RoleAssignment.target_type == "project"
    )
    on_domain = (domain.id == RoleAssignment.target_id) & (RoleAssignment.target_type == "domain")
    return (
        select(
            RoleAssignment,
            User,
            user_domain.name,
            Role,
            Project.name,
            Project.domain_id,
            project_domain.name,
            domain.name,
        )
        .join(User, User.id == RoleAssignment.user_id)
        .join(user_domain, user_domain.id == User.domain_id)
        .join(Role, Role.id == RoleAssignment.role_id)
        .outerjoin(Project, on_project)
        .outerjoin(project_domain, project_domain.id == Project.domain_id)
        .outerjoin(domain, on_domain)
        .order_by(User.name, RoleAssignment.target_type, RoleAssignment.target_id, Role.name)
    )


def _with_implied(session: Session, given: list[Assignment]) -> list[Assignment]:
    known = {role.name: role for role in session.scalars(select(Role))}
    has = {(entry.user.id, entry.target, entry.role.name) for entry in given}
    found: list[Assignment] = []
    for entry in given:
        found.append(entry)
        for name in sorted(with_implied([entry.role.name])):
            if (entry.user.id, entry.target, name) in has or name not in known:
                continue
            has.add((entry.user.id, entry.target, name))
            found.append(
                Assignment(
                    entry.user,
                    entry.user_domain,
                    known[name],
                    entry.target,
                    entry.target_name,
                    entry.target_domain,
                    implied_by=entry.role.id,
                )
            )
    return found


def forget(session: Session, *, user_id: str | None = None, target: Target | None = None) -> None:
    """Remove all assignments of a user, or on a target, that is being deleted."""
    query = delete(RoleAssignment)
    if user_id is not None:
        query = query.where(RoleAssignment.user_id == user_id)
    if target is not None:
        query = query.where(
            RoleAssignment.target_type == target.type, RoleAssignment.target_id == target.id
        )
    session.execute(query)
