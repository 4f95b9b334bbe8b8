"""Moves of servers between hosts, and to other sizes: the migrations of OpenStack's API."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id, utcnow


class Migration(Base):
    """A move. What the server holds at its old host is held by `uuid` meanwhile, as in Nova."""

    __tablename__ = "migrations"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(Id, unique=True, default=new_id)
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.id"), index=True)
    # resize, migration, live-migration, evacuation
    type: Mapped[str] = mapped_column(String(16))
    # Nova's words; see core.migrations.
    status: Mapped[str] = mapped_column(String(16), index=True)
    user_id: Mapped[str] = mapped_column(Id)
    project_id: Mapped[str] = mapped_column(Id)
    # No foreign keys: a host may be removed, and what was done stays. The names are of then.
    source_host_id: Mapped[str] = mapped_column(Id, index=True)
    source_host: Mapped[str] = mapped_column(Name)
    dest_host_id: Mapped[str | None] = mapped_column(Id, index=True)
    dest_host: Mapped[str | None] = mapped_column(Name)
    old_flavor: Mapped[dict[str, Any]]
    new_flavor: Mapped[dict[str, Any]]
    # The server's state before, to which a revert brings it back.
    old_state: Mapped[str] = mapped_column(String(20))
    # Of a live migration: memory_total_bytes, disk_remaining_bytes and their like, downtime_ms.
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # Whether an administrator wants a live one over with, however long its guest stands still.
    force_complete: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
