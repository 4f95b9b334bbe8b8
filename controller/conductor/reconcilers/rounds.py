"""Rounds: of several controllers, one does each round of a reconciler.

Every reconciler is safe to run twice at once; this spares hosts and database the second time. A
round whose worker died is taken over at once where that can be seen, else when its time is over.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.db.models import ReconcilerRound
from controller.db.session import Database

# The round that compares hosts with the database.
LEFTOVERS = "host-leftovers"
# Rounds of several workers that tick at the same pace must not each be a moment too early.
EARLY = 0.9


@contextmanager
def turn(
    db: Database,
    name: str,
    owner: str,
    clock: Callable[[], datetime],
    *,
    every_s: float,
    longest_s: float,
    is_dead: Callable[[str], bool] = lambda _owner: False,
) -> Iterator[bool]:
    """Yield whether it is this worker's turn; the next comes `every_s` after this one began.

    `longest_s` is how long a round may take before another worker no longer waits for its end. An
    owner is in one round of a name at a time.
    """
    mine = _claim(db, name, owner, clock(), every_s, longest_s, is_dead)
    try:
        yield mine
    finally:
        if mine:
            _finish(db, name, owner, clock())


def hasten(session: Session, name: str, now: datetime) -> None:
    """Have the next round of a reconciler come at once, whoever's turn it is."""
    session.execute(
        update(ReconcilerRound)
        .where(ReconcilerRound.name == name, ReconcilerRound.next_at > now)
        .values(next_at=now)
        .execution_options(synchronize_session=False)
    )


def _claim(
    db: Database,
    name: str,
    owner: str,
    now: datetime,
    every_s: float,
    longest_s: float,
    is_dead: Callable[[str], bool],
) -> bool:
    with db.read() as session:
        row = session.get(ReconcilerRound, name)
    values: dict[str, Any] = {
        "next_at": now + timedelta(seconds=every_s * EARLY),
        "owner": owner,
        "owned_until": now + timedelta(seconds=longest_s),
    }
    if row is None:
        try:
            with db.write() as session:
                session.add(ReconcilerRound(name=name, **values))
        except IntegrityError:
            return False
        return True
    dead = row.owner is not None and is_dead(row.owner)
    # Our own is over, or we would not be here: the database was away when its end was to be noted.
    # Waiting for its time to be over left all hosts without a heartbeat, and so down, for minutes.
    others = row.owner not in (None, owner) and not dead
    busy = others and row.owned_until and row.owned_until > now
    # A clock that was set back must not stop the reconciler until it has caught up.
    far_off = row.next_at > now + timedelta(seconds=2 * every_s)
    if busy or (row.next_at > now and not dead and not far_off):
        return False
    statement = (
        update(ReconcilerRound)
        .where(
            ReconcilerRound.name == name,
            ReconcilerRound.next_at == row.next_at,
            ReconcilerRound.owner.is_(None)
            if row.owner is None
            else ReconcilerRound.owner == row.owner,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    with db.write() as session:
        return cast("CursorResult[Any]", session.execute(statement)).rowcount == 1


def _finish(db: Database, name: str, owner: str, now: datetime) -> None:
    with db.write() as session:
        session.execute(
            update(ReconcilerRound)
            .where(ReconcilerRound.name == name, ReconcilerRound.owner == owner)
            .values(owner=None, owned_until=None, finished_at=now)
            .execution_options(synchronize_session=False)
        )
