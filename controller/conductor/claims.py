"""Claims: who works on which operation, by conditional updates with a lease and a generation.

A claim raises the operation's generation. Whoever finds another one there than it claimed has lost
the operation to a successor, and changes nothing more.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, or_, select, update
from sqlalchemy.orm import Session, aliased

from controller.conductor.flows import FLOWS, ONE_PER_HOST, UNORDERED
from controller.core.operations import FORMAT_VERSION, QUEUED, RUNNING, UNFINISHED
from controller.db.models import Host, Operation


class Lost(Exception):
    """The operation is another worker's by now."""


@dataclass(frozen=True, slots=True)
class Held:
    """An operation that this worker holds, and the generation by which it does."""

    operation_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Room:
    """What a worker has room for: `total` operations, and for each host at most `per_host`, less
    what waits there already (`waiting`, by host id).

    So a host's long queue leaves room for the others'.
    """

    total: int
    per_host: int
    waiting: Mapping[str, int] = field(default_factory=dict)

    @property
    def full(self) -> list[str]:
        return [host for host, count in self.waiting.items() if count >= self.per_host]


def claimable(session: Session, now: datetime, room: Room) -> list[tuple[str, int]]:
    """Return id and generation of operations that may start now, oldest first.

    A server's operations go one after the other, in the order of their acceptance; so do a host's
    updates of its ports, since what an older one was told must not arrive after a newer one's.
    """
    query = (
        select(Operation.id, Operation.generation, Operation.host_id)
        .where(
            Operation.state == QUEUED,
            or_(Operation.host_id.is_(None), Operation.host_id.not_in(room.full)),
            or_(Operation.not_before <= now, Operation.not_before <= Operation.created_at),
            # What a newer release has queued is left to its workers.
            Operation.kind.in_(FLOWS),
            Operation.format_version <= FORMAT_VERSION,
            or_(Operation.kind.in_(UNORDERED), ~_older_unfinished(Operation)),
            or_(Operation.kind.not_in(ONE_PER_HOST), ~_under_way_on_host(Operation)),
        )
        .order_by(Operation.created_at, Operation.id)
        .limit(max(room.total, 0))
    )
    taken = Counter(room.waiting)
    found = []
    for row in session.execute(query):
        # The next look leaves out hosts that are full by then, and finds what stands behind.
        if row.host_id is None or taken[row.host_id] < room.per_host:
            taken[row.host_id] += 1
            found.append((row.id, row.generation))
    return found


def claim(
    session: Session,
    owner: str,
    found: Iterable[tuple[str, int]],
    now: datetime,
    lease_s: float,
) -> list[Held]:
    """Take what `claimable` found; what others took meanwhile is left out."""
    found = list(found)
    shut = _hosts_shut(session, [operation_id for operation_id, _ in found])
    held = []
    for operation_id, generation in found:
        changed = _update(
            session,
            (
                Operation.id == operation_id,
                Operation.state == QUEUED,
                Operation.generation == generation,
                or_(Operation.kind.not_in(ONE_PER_HOST), Operation.host_id.not_in(shut)),
            ),
            state=RUNNING,
            generation=generation + 1,
            lease_owner=owner,
            lease_until=now + timedelta(seconds=lease_s),
        )
        if changed:
            held.append(Held(operation_id, generation + 1))
    return held


def _hosts_shut(session: Session, operation_ids: Collection[str]) -> list[str]:
    """Return the hosts that nothing of ONE_PER_HOST may start on, and lock those that it may.

    Another worker may have started one since `claimable` looked, or be about to: they take turns.
    """
    wanted = select(Operation.host_id).where(
        Operation.id.in_(operation_ids), Operation.kind.in_(ONE_PER_HOST)
    )
    hosts = sorted(host for host in session.scalars(wanted) if host)
    if not hosts:
        return []
    session.execute(select(Host.id).where(Host.id.in_(hosts)).order_by(Host.id).with_for_update())
    busy = select(Operation.host_id).where(
        Operation.kind.in_(ONE_PER_HOST), Operation.state == RUNNING, Operation.host_id.in_(hosts)
    )
    return [host for host in session.scalars(busy) if host]


def load(session: Session, owner: str, held: Held) -> Operation:
    """Return the operation for a change, or raise Lost. The row stays locked till the commit."""
    operation = session.scalar(
        select(Operation)
        .where(
            Operation.id == held.operation_id,
            Operation.generation == held.generation,
            Operation.lease_owner == owner,
            Operation.state == RUNNING,
        )
        .with_for_update()
    )
    if operation is None:
        raise Lost(held.operation_id)
    return operation


def note_unreadable(session: Session, owner: str, held: Held) -> int:
    """Return how often this operation's result could not be read, now included. Raises Lost."""
    operation = load(session, owner, held)
    tries = int(operation.data.get("unreadable", 0)) + 1
    operation.data = {**operation.data, "unreadable": tries}
    return tries


def renew(
    session: Session, owner: str, held: Collection[str], now: datetime, lease_s: float
) -> None:
    """Renew the leases of the operations that the worker works on, by one statement.

    Others that are its own by the database (one that could not be given back, say) run out, and so
    come back into the queue.
    """
    _update(
        session,
        (Operation.id.in_(held), Operation.lease_owner == owner, Operation.state == RUNNING),
        lease_until=now + timedelta(seconds=lease_s),
    )


def owned(session: Session, owner: str) -> dict[str, bool]:
    """Return the operations that are the worker's by the database: id to 'is to be cancelled'."""
    query = select(Operation.id, Operation.cancel_requested).where(
        Operation.lease_owner == owner, Operation.state == RUNNING
    )
    return {row.id: row.cancel_requested for row in session.execute(query)}


def give_back(
    session: Session, condition: ColumnElement[bool], not_before: datetime | None = None
) -> int:
    """Queue the running operations that meet `condition` again, and return how many they were.

    Steps done stay done: whoever claims them next goes on where they stopped.
    """
    values: dict[str, Any] = {"state": QUEUED, "lease_owner": None, "lease_until": None}
    if not_before is not None:
        values["not_before"] = not_before
    return _update(session, (Operation.state == RUNNING, condition), **values)


def held_by(owner: str, held: Held) -> ColumnElement[bool]:
    """The condition of one operation, as long as it is still held."""
    return and_(
        Operation.id == held.operation_id,
        Operation.generation == held.generation,
        Operation.lease_owner == owner,
    )


def has_queued_cancels(session: Session) -> bool:
    """Return whether an operation waits that may have to cancel others."""
    kinds = [kind for kind, flow in FLOWS.items() if flow.cancels]
    query = select(Operation.id).where(Operation.state == QUEUED, Operation.kind.in_(kinds))
    return session.scalar(query.limit(1)) is not None


def request_cancels(session: Session) -> bool:
    """Have operations give way to queued ones that cancel them; return whether there were any.

    A delete accepted during a build doesn't wait for the build's end, nor a hard reboot for a soft
    one that hangs.
    """
    older = aliased(Operation)
    pairs = [
        and_(Operation.kind == kind, older.kind.in_(flow.cancels))
        for kind, flow in FLOWS.items()
        if flow.cancels
    ]
    found = list(
        session.scalars(
            select(older.id)
            .join(Operation, Operation.server_id == older.server_id)
            .where(
                Operation.state == QUEUED,
                older.state.in_(UNFINISHED),
                _is_older(older, Operation),
                older.cancel_requested.is_(False),
                or_(*pairs),
            )
        )
    )
    if found:
        _update(session, (Operation.id.in_(found),), cancel_requested=True)
    return bool(found)


def _older_unfinished(operation: type[Operation]) -> ColumnElement[bool]:
    older = aliased(Operation)
    return (
        select(older.id)
        .where(
            older.server_id == operation.server_id,
            older.kind.not_in(UNORDERED),
            older.state.in_(UNFINISHED),
            _is_older(older, operation),
        )
        .exists()
    )


def _is_older(older: type[Operation], operation: type[Operation]) -> ColumnElement[bool]:
    """Whether `older` was accepted first, both of one server.

    By the numbers of their actions, which are given while the server's row is locked: clocks of
    several controllers differ, and each can be set back.
    """
    return older.action_id < operation.action_id


def _under_way_on_host(operation: type[Operation]) -> ColumnElement[bool]:
    other = aliased(Operation)
    return (
        select(other.id)
        .where(
            other.host_id == operation.host_id,
            other.kind == operation.kind,
            other.state == RUNNING,
        )
        .exists()
    )


def _update(session: Session, conditions: Collection[ColumnElement[bool]], **values: Any) -> int:
    statement = update(Operation).where(*conditions).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount
