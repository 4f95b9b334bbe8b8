"""Workers, as they say of themselves that they are at work."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, utcnow


class Worker(Base):
    """A row for each worker, whichever life of it: "<place>/<name>", see conductor.incarnation."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    # Written by its main loop, so that one that hangs falls silent.
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)
