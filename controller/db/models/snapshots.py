"""Snapshots inside servers' disks: our own extension."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id, utcnow


class DiskSnapshot(Base):
    """What a server's disks were at a time. It is in their files: it goes with them."""

    __tablename__ = "disk_snapshots"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.id"), index=True)
    name: Mapped[str] = mapped_column(Name)
    # creating, available, reverting, deleting, error
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
