"""Workers: which of them were at work lately."""

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.orm import Session

from controller.db.models import Worker

# A worker says so every SAY_EVERY_S; after SILENT_S without a word it counts as gone.
SAY_EVERY_S = 5.0
SILENT_S = 30.0
# Rows of workers that were killed and never came back.
FORGOTTEN_AFTER = timedelta(days=1)


def note_seen(session: Session, owner: str, now: datetime) -> None:
    """Note that the worker of this life (the owner of its leases) is at work."""
    worker_id = _id(owner)
    changed = session.execute(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(seen_at=now)
        .execution_options(synchronize_session=False)
    )
    if cast("CursorResult[Any]", changed).rowcount == 0:
        session.execute(delete(Worker).where(Worker.seen_at < now - FORGOTTEN_AFTER))
        session.add(Worker(id=worker_id, started_at=now, seen_at=now))


def forget(session: Session, owner: str) -> None:
    """Note that the worker has stopped in peace."""
    session.execute(delete(Worker).where(Worker.id == _id(owner)))


def count(session: Session, now: datetime) -> int:
    """Return how many workers were at work lately, in one statement."""
    lately = now - timedelta(seconds=SILENT_S)
    return session.scalar(select(func.count()).where(Worker.seen_at >= lately)) or 0


def _id(owner: str) -> str:
    """Return what stays of an owner over its lives: place and name."""
    return owner.rpartition("/")[0] or owner
