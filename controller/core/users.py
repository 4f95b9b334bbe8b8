"""Users: who can log in."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import identity_domains, role_assignments, unique_names
from controller.db.base import utcnow
from controller.db.models import Keypair, User
from controller.errors import NotFound


def get(session: Session, user_id: str) -> User:
    """Return the user. Raises NotFound."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound.of("user", user_id)
    return user


def list_users(
    session: Session,
    *,
    name: str | None = None,
    domain_id: str | None = None,
    enabled: bool | None = None,
) -> list[User]:
    """Return the users that fit, by name."""
    wanted = {"name": name, "domain_id": domain_id, "enabled": enabled}
    given = {key: value for key, value in wanted.items() if value is not None}
    return list(session.scalars(select(User).order_by(User.name, User.id).filter_by(**given)))


def create(session: Session, fields: Mapping[str, Any]) -> User:
    """Return a new user of `fields` (columns of User). Raises NotFound, NameTaken."""
    identity_domains.get(session, fields["domain_id"])
    user = User(**fields)
    session.add(user)
    unique_names.flush(session, "user", user.name, "in this domain")
    return user


def update(session: Session, user: User, changes: Mapping[str, Any]) -> None:
    """Change columns of `user`. A new password, or disabling, voids the user's tokens.

    Raises NameTaken.
    """
    for name, value in changes.items():
        setattr(user, name, value)
    if "password_hash" in changes or changes.get("enabled") is False:
        user.tokens_valid_from = utcnow()
    unique_names.flush(session, "user", user.name, "in this domain")


def delete(session: Session, user: User) -> None:
    """Delete the user, with roles and key pairs. What projects own stays with them."""
    role_assignments.forget(session, user_id=user.id)
    session.execute(delete_rows(Keypair).where(Keypair.user_id == user.id))
    session.delete(user)
