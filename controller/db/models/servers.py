"""Servers, and the record of what was done to each."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id, utcnow


class Server(Base):
    """A server. `state` and `task_state` change by rows of `controller.states` alone."""

    __tablename__ = "servers"
    __table_args__ = (Index("ix_servers_project_list", "project_id", "deleted_at", "created_at"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id)
    user_id: Mapped[str] = mapped_column(Id)
    name: Mapped[str] = mapped_column(Name)
    # Holds the name where names are to be unique, so that the database settles a race; else null.
    unique_name: Mapped[str | None] = mapped_column(String(300), unique=True)
    hostname: Mapped[str] = mapped_column(Name)
    description: Mapped[str | None] = mapped_column(Name)
    # One of controller.states.
    state: Mapped[str] = mapped_column(String(20), default="building")
    # What is being done to it now, null when nothing is: spawning, deleting, powering-off ...
    task_state: Mapped[str | None] = mapped_column(String(32))
    # Nova's numbers: 0 unknown, 1 running, 3 paused, 4 shut down.
    power_state: Mapped[int] = mapped_column(default=0)
    host_id: Mapped[str | None] = mapped_column(ForeignKey("hosts.id"), index=True)
    availability_zone: Mapped[str | None] = mapped_column(String(64))
    # As they were at create: a later change of the flavor or image doesn't change the server.
    flavor: Mapped[dict[str, Any]]
    image_id: Mapped[str | None] = mapped_column(Id, index=True)
    image: Mapped[dict[str, Any]] = mapped_column(default=dict)
    key_name: Mapped[str | None] = mapped_column(Name)
    public_key: Mapped[str | None] = mapped_column(Text)
    # User data, which often has passwords in it: see core.sealing.
    sealed_user_data: Mapped[bytes | None] = mapped_column(LargeBinary(1 << 20))
    # What the guest posted to its metadata service: a password, encrypted by its owner's key; and
    # how often that was cleared, after which it may post again.
    posted_password: Mapped[str | None] = mapped_column(String(1020))
    password_serial: Mapped[int] = mapped_column(default=0)
    config_drive: Mapped[bool] = mapped_column(default=False)
    meta: Mapped[dict[str, Any]] = mapped_column(default=dict)
    scheduler_hints: Mapped[dict[str, Any]] = mapped_column(default=dict)
    disk_config: Mapped[str] = mapped_column(String(8), default="MANUAL")
    access_ip_v4: Mapped[str | None] = mapped_column(String(64))
    access_ip_v6: Mapped[str | None] = mapped_column(String(64))
    reservation_id: Mapped[str] = mapped_column(String(16))
    launch_index: Mapped[int] = mapped_column(default=0)
    locked: Mapped[bool] = mapped_column(default=False)
    # "owner", or "admin" when somebody of another project locked it; null when it isn't locked.
    locked_by: Mapped[str | None] = mapped_column(String(8))
    locked_reason: Mapped[str | None] = mapped_column(Name)
    # The fence: rises with each run for it; hosts refuse anything lower.
    generation: Mapped[int] = mapped_column(default=0)
    # {"image_id": what it was shelved to, "since": ISO time}
    shelved: Mapped[dict[str, Any] | None]
    # {"code": 500, "message": for the tenant, "details": for operators, "created": ISO time}
    fault: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
    launched_at: Mapped[datetime | None]
    terminated_at: Mapped[datetime | None]
    # Since when it can be restored; null in any other state than soft-delete.
    soft_deleted_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class ServerTag(Base):
    __tablename__ = "server_tags"

    server_id: Mapped[str] = mapped_column(ForeignKey("servers.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(60), primary_key=True)


class ServerAction(Base):
    """What somebody asked to be done to a server: an entry of os-instance-actions."""

    __tablename__ = "server_actions"

    id: Mapped[int] = mapped_column(primary_key=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.id"), index=True)
    request_id: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(Id)
    project_id: Mapped[str] = mapped_column(Id)
    message: Mapped[str | None] = mapped_column(Name)
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class ServerEvent(Base):
    """One step of an action, as it ran."""

    __tablename__ = "server_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    action_id: Mapped[int] = mapped_column(ForeignKey("server_actions.id"), index=True)
    name: Mapped[str] = mapped_column(Name)
    # Success, Error, or null while it runs.
    result: Mapped[str | None] = mapped_column(String(16))
    host_id: Mapped[str | None] = mapped_column(Id)
    # For operators: what the step said; for tenants nothing.
    details: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]
