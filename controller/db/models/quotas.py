"""Quotas: a project's own limits, where they differ from the cloud's."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id


class QuotaLimit(Base):
    """How much of a resource (instances, cores, ram ...) a project may have; -1 is no limit."""

    __tablename__ = "quota_limits"

    project_id: Mapped[str] = mapped_column(Id, primary_key=True)
    resource: Mapped[str] = mapped_column(String(64), primary_key=True)
    # `limit` is a word of SQL.
    limit: Mapped[int] = mapped_column("hard_limit")
