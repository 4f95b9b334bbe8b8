"""Operations: the truth about what is to be done. The queue only wakes whoever does it."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, new_id, utcnow


class Operation(Base):
    """A unit of work. A worker claims it by a conditional update, with a lease and a generation."""

    __tablename__ = "operations"
    __table_args__ = (Index("ix_operations_claim", "state", "not_before"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    # noun_verb: a row of the state table, or a piece of the conductor's own work.
    kind: Mapped[str] = mapped_column(String(64))
    # Of `arguments` and `data`, so that work queued by one release is finished by the next.
    format_version: Mapped[int] = mapped_column(default=1)
    # queued, running, succeeded, failed
    state: Mapped[str] = mapped_column(String(16), default="queued")
    server_id: Mapped[str | None] = mapped_column(ForeignKey("servers.id"), index=True)
    # The host it is bound to, once it is.
    host_id: Mapped[str | None] = mapped_column(ForeignKey("hosts.id"))
    action_id: Mapped[int | None] = mapped_column(ForeignKey("server_actions.id"))
    project_id: Mapped[str | None] = mapped_column(Id)
    user_id: Mapped[str | None] = mapped_column(Id)
    request_id: Mapped[str | None] = mapped_column(String(64))
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # What the steps have found out so far; each step commits its part.
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # The secrets of its run, encrypted by the controller's key; emptied when it ends.
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    # Index of the step that runs next.
    step: Mapped[int] = mapped_column(default=0)
    # Set while its steps are being undone, with the reason.
    undoing: Mapped[str | None] = mapped_column(String(1000))
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    # Rises with each claim; a worker that finds another number here has lost the operation.
    generation: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime] = mapped_column(default=utcnow)
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
