"""Identity: domains, projects, users, roles and who has which."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_hex_id, utcnow


class Domain(Base):
    """An identity domain, Keystone's; the first one has the id `default`."""

    __tablename__ = "domains"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_hex_id)
    name: Mapped[str] = mapped_column(Name, unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    enabled: Mapped[bool] = mapped_column(default=True)


class Project(Base):
    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_hex_id)
    domain_id: Mapped[str] = mapped_column(ForeignKey("domains.id"))
    parent_id: Mapped[str | None] = mapped_column(Id)
    name: Mapped[str] = mapped_column(Name)
    description: Mapped[str] = mapped_column(Text, default="")
    enabled: Mapped[bool] = mapped_column(default=True)


class User(Base):
    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_hex_id)
    domain_id: Mapped[str] = mapped_column(ForeignKey("domains.id"))
    name: Mapped[str] = mapped_column(Name)
    # Argon2id in its own text form; null for a user who can't log in by password.
    password_hash: Mapped[str | None] = mapped_column(String(255))
    enabled: Mapped[bool] = mapped_column(default=True)
    email: Mapped[str | None] = mapped_column(Name)
    description: Mapped[str] = mapped_column(Text, default="")
    default_project_id: Mapped[str | None] = mapped_column(Id)
    # Tokens issued before this moment are void (password change, user disabled).
    tokens_valid_from: Mapped[datetime] = mapped_column(default=utcnow)


class Role(Base):
    __tablename__ = "roles"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_hex_id)
    name: Mapped[str] = mapped_column(Name, unique=True)
    description: Mapped[str] = mapped_column(Text, default="")


class RoleAssignment(Base):
    """A user has a role on a project, on a domain, or on the system (`target_id` 'all')."""

    __tablename__ = "role_assignments"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    # project, domain or system
    target_type: Mapped[str] = mapped_column(String(16), primary_key=True)
    target_id: Mapped[str] = mapped_column(Id, primary_key=True, index=True)
    role_id: Mapped[str] = mapped_column(ForeignKey("roles.id"), primary_key=True)


class RevokedToken(Base):
    """A token revoked by name; the row can go when the token would have expired."""

    __tablename__ = "revoked_tokens"

    audit_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AuthAttempt(Base):
    """Failed log-ins of a subject (a user or an address) in the present window."""

    __tablename__ = "auth_attempts"

    subject: Mapped[str] = mapped_column(String(320), primary_key=True)
    window_started_at: Mapped[datetime]
    failures: Mapped[int] = mapped_column(default=0)
