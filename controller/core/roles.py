"""Roles: what they are called, and which imply which."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import unique_names
from controller.db.models import Role, RoleAssignment
from controller.errors import Forbidden, NotFound

# Each implies all to its right.
CHAIN = ("admin", "member", "reader")


def with_implied(names: Iterable[str]) -> frozenset[str]:
    """Return `names` and the roles that they imply: admin, member, reader."""
    given = frozenset(names)
    first = next((index for index, name in enumerate(CHAIN) if name in given), len(CHAIN))
    return given | frozenset(CHAIN[first:])


def get(session: Session, role_id: str) -> Role:
    """Return the role. Raises NotFound."""
    role = session.get(Role, role_id)
    if role is None:
        raise NotFound.of("role", role_id)
    return role


def list_roles(session: Session, *, name: str | None = None) -> list[Role]:
    """Return the roles that fit, by name."""
    query = select(Role).order_by(Role.name)
    return list(session.scalars(query if name is None else query.where(Role.name == name)))


def list_named(session: Session, names: frozenset[str]) -> list[Role]:
    """Return the rows of these roles, by name."""
    return list(session.scalars(select(Role).where(Role.name.in_(names)).order_by(Role.name)))


def create(session: Session, *, name: str, description: str) -> Role:
    """Return a new role, which gives no right until a policy names it. Raises NameTaken."""
    role = Role(name=name, description=description)
    session.add(role)
    unique_names.flush(session, "role", name)
    return role


def update(session: Session, role: Role, changes: Mapping[str, Any]) -> None:
    """Change name or description. Raises NameTaken, and Forbidden for renaming a built-in role."""
    if changes.get("name", role.name) != role.name:
        _refuse_built_in(role, "rename")
    for name, value in changes.items():
        setattr(role, name, value)
    unique_names.flush(session, "role", role.name)


def delete(session: Session, role: Role) -> None:
    """Delete the role, and take it away from whoever has it. Raises Forbidden for a built-in."""
    _refuse_built_in(role, "delete")
    session.execute(delete_rows(RoleAssignment).where(RoleAssignment.role_id == role.id))
    session.delete(role)


def _refuse_built_in(role: Role, verb: str) -> None:
    if role.name in CHAIN:
        raise Forbidden(f"Cannot {verb} role {role.name}: the cloud's policies rest on it.")
