"""Images: what is known of each; the bytes lie in the store."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id, utcnow


class Image(Base):
    __tablename__ = "images"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    name: Mapped[str | None] = mapped_column(Name, index=True)
    # queued, saving, active, killed, deleted
    status: Mapped[str] = mapped_column(String(16), default="queued")
    # private, shared, community, public
    visibility: Mapped[str] = mapped_column(String(16), default="shared")
    disk_format: Mapped[str | None] = mapped_column(String(16))
    container_format: Mapped[str | None] = mapped_column(String(16))
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    virtual_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # MD5, which the API still shows as `checksum`; the plays verify `sha256`.
    checksum: Mapped[str | None] = mapped_column(String(32))
    sha256: Mapped[str | None] = mapped_column(String(64))
    sha512: Mapped[str | None] = mapped_column(String(128))
    min_disk_gb: Mapped[int] = mapped_column(default=0)
    min_memory_mb: Mapped[int] = mapped_column(default=0)
    protected: Mapped[bool] = mapped_column(default=False)
    hidden: Mapped[bool] = mapped_column(default=False)
    properties: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
    deleted_at: Mapped[datetime | None]


class ImageTag(Base):
    __tablename__ = "image_tags"

    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(Name, primary_key=True)
