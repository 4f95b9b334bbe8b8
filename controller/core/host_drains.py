"""Drains: a host is emptied of its servers, in batches, and put back.

What is to be done stands in one row, which a reconciler of the conductor goes by
(conductor/reconcilers/host_drains.py): a controller that dies loses nothing of it. The host takes
no new servers from the beginning on, until it is put back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import hosts, migrations, server_live_migration, server_moves
from controller.core.context import Context
from controller.core.operations import UNFINISHED
from controller.core.server_needs import request_of, resources
from controller.db.base import new_id
from controller.db.models import Host, HostDrain, Migration, Operation, Server
from controller.errors import ConcurrentUpdate, Conflict, NotFound
from controller.placement import allocations
from controller.scheduler.select import select as select_hosts
from controller.settings import Settings
from controller.states import (
    BUILDING,
    ERROR,
    PAUSED,
    RESCUED,
    RESIZED,
    SHELVED,
    SOFT_DELETED,
    SUSPENDED,
    TABLE,
)

# A drain: all are away; what is left can't be moved; somebody stopped it.
RUNNING, DONE, INCOMPLETE, CANCELLED = "running", "done", "incomplete", "cancelled"
# How a server leaves, or that it has to wait, or can't.
LIVE, COLD, OFFLOAD, WAIT, CANNOT = "live", "cold", "offload", "wait", "cannot"
# A server of a drain.
WAITING, MOVING, MOVED, GONE, FAILED = "waiting", "moving", "moved", "gone", "failed"

_REASON_MAX = 255
_WAY_OUT = {
    PAUSED: "unpause it, or stop it",
    SUSPENDED: "resume it, or shelve it",
    RESCUED: "unrescue it",
    RESIZED: "confirm or revert its resize",
    ERROR: "hard reboot it, rebuild it, or delete it",
    SOFT_DELETED: "restore it, or delete it for good (forceDelete)",
}
# How the ways of moving that are built are begun; each returns its migration.
MOVES: dict[str, Callable[[Session, Settings, Context, Server], Migration]] = {
    COLD: server_moves.migrate,
    LIVE: server_live_migration.live_migrate,
}


@dataclass(frozen=True, slots=True)
class Planned:
    """What becomes of a server. `destination` is the host that the scheduler would choose now."""

    server_id: str
    name: str
    how: str
    why: str = ""
    destination: str | None = None

    def as_entry(self) -> dict[str, Any]:
        """Return it as a drain keeps it."""
        return {
            "name": self.name,
            "how": self.how,
            "status": WAITING,
            "why": self.why,
            "destination": self.destination,
        }


def way_of(server: Server, *, live_failed: bool = False) -> tuple[str, str]:
    """Return how the server can leave its host now, and why it can't, if so.

    Live where there is a live migration and the server's state allows it, else cold; cold, too,
    when live was tried and failed.
    """
    if server.task_state is not None:
        return WAIT, f"it is busy ({server.task_state})"
    if server.state == BUILDING:
        return WAIT, "it is being built"
    has_live = LIVE in MOVES and not live_failed
    if has_live and server.state in TABLE["live_migrate"].allowed_in:
        return LIVE, ""
    if server.state in TABLE["migrate"].allowed_in:
        return COLD, ""
    if server.state == SHELVED:
        return OFFLOAD, ""
    way = _WAY_OUT.get(server.state, "wait, or delete it")
    return CANNOT, f"it is {server.state}: {way}"


def plan(session: Session, settings: Settings, host: Host, now: datetime) -> list[Planned]:
    """Return what a drain would do with each server, in order; changes nothing.

    Each takes its room at the destination before the next one is looked at, and all is given back.
    The moves themselves ask the scheduler again.
    """
    with session.begin_nested() as taken:
        planned = [_planned(session, settings, server, now) for server in servers_on(session, host)]
        taken.rollback()
    for migration in old_sides_on(session, host):
        why = "its old side waits here: confirm or revert its resize"
        server = session.get_one(Server, migration.server_id)
        planned.append(Planned(server.id, server.name, CANNOT, why))
    return planned


def _planned(session: Session, settings: Settings, server: Server, now: datetime) -> Planned:
    how, why = way_of(server)
    if how not in (LIVE, COLD):
        return Planned(server.id, server.name, how, why)
    wanted = resources(server.flavor)
    tried = {str(server.host_id), *_being_cleaned(session, server.id)}
    spec = request_of(session, settings, server, server.flavor, now, tried=tried)
    selection = select_hosts(session, settings, spec)
    for candidate in selection.candidates:
        try:
            allocations.claim(session, new_id(), candidate.host.id, wanted)
        except ConcurrentUpdate:
            continue
        return Planned(server.id, server.name, how, destination=candidate.host.name)
    counts = ", ".join(f"{name} {count}" for name, count in selection.rejected.items() if count)
    why = f"no valid host: rejected by {counts or 'all'}"
    return Planned(server.id, server.name, CANNOT, why)


def _being_cleaned(session: Session, server_id: str) -> list[str]:
    query = select(Operation.host_id).where(
        Operation.server_id == server_id,
        Operation.kind == "server_cleanup",
        Operation.state.in_(UNFINISHED),
    )
    return [host_id for host_id in session.scalars(query) if host_id]


def servers_on(session: Session, host: Host) -> list[Server]:
    """Return the host's living servers, oldest first."""
    query = select(Server).where(Server.host_id == host.id, Server.deleted_at.is_(None))
    return list(session.scalars(query.order_by(Server.created_at, Server.id)))


def old_sides_on(session: Session, host: Host) -> list[Migration]:
    """Return the moves away from the host that wait there for a confirm or a revert."""
    query = select(Migration).where(
        Migration.source_host_id == host.id,
        Migration.dest_host_id != host.id,
        Migration.status.in_((migrations.FINISHED, migrations.CONFIRMING)),
    )
    return list(session.scalars(query.order_by(Migration.id)))


def begin(
    session: Session,
    settings: Settings,
    context: Context,
    host: Host,
    reason: str | None,
    now: datetime,
) -> HostDrain:
    """Disable the host, and have its servers moved off it. Raises Conflict.

    One that was cancelled, or could not move all, is taken up again so.
    """
    before = latest(session, host)
    if before is not None and before.state == RUNNING:
        raise Conflict(
            f"Cannot drain host {host.name}: that is under way. Look how far it is, or cancel it "
            f"(`novella host drain {host.name} --status`, `--cancel`)."
        )
    if not hosts.is_up(host, settings, now):
        raise Conflict(
            f"Cannot drain host {host.name}: it is down, and servers are moved by their own host. "
            "Bring it back; or evacuate its servers, when it is certain that it runs nothing."
        )
    planned = plan(session, settings, host, now)
    again = before is not None and not host.enabled and _is_by_drain(host)
    drain = HostDrain(
        host_id=host.id,
        host_name=host.name,
        state=RUNNING,
        user_id=context.user_id or None,
        reason=(reason or "")[:200] or None,
        # As it was before the first of them, where one follows another.
        was_enabled=before.was_enabled if again and before else host.enabled,
        was_disabled_reason=before.was_disabled_reason if again and before else (
            None if host.enabled else host.disabled_reason
        ),
        servers={each.server_id: each.as_entry() for each in planned if each.how != CANNOT}
        | {each.server_id: each.as_entry() | {"status": FAILED}
           for each in planned if each.how == CANNOT},
        created_at=now,
    )  # fmt: skip
    session.add(drain)
    host.enabled = False
    host.disabled_reason = _disabled_reason(reason)
    session.flush()
    return drain


def cancel(session: Session, host: Host, now: datetime) -> HostDrain:
    """Start no more moves; those under way come to their end. Raises Conflict.

    The host stays disabled: `undrain` puts it back.
    """
    drain = latest(session, host, lock=True)
    if drain is None or drain.state != RUNNING:
        raise Conflict(f"Cannot cancel a drain of host {host.name}: none is under way.")
    end(drain, CANCELLED, now)
    return drain


def undrain(session: Session, host: Host, now: datetime) -> None:
    """Put the host back as it was before it was drained; a drain under way ends. Raises Conflict.

    Nothing comes back by itself: the scheduler has it for new servers again.
    """
    drain = latest(session, host, lock=True)
    if drain is None or host.enabled:
        raise Conflict(
            f"Cannot put host {host.name} back: it is not drained. `novella host enable "
            f"{host.name}` opens one that was disabled otherwise."
        )
    if drain.state == RUNNING:
        end(drain, CANCELLED, now)
    host.enabled = drain.was_enabled
    host.disabled_reason = None if drain.was_enabled else drain.was_disabled_reason


def end(drain: HostDrain, state: str, now: datetime) -> None:
    """The drain is over, however it went."""
    drain.state, drain.finished_at = state, now


def latest(session: Session, host: Host, *, lock: bool = False) -> HostDrain | None:
    """Return the host's drain that is under way, or was the last one."""
    query = select(HostDrain).where(HostDrain.host_id == host.id)
    query = query.order_by(HostDrain.created_at.desc(), HostDrain.id).limit(1)
    found = session.scalar(query)
    if found is not None and lock:
        session.refresh(found, with_for_update=True)
    return found


def get(session: Session, host: Host) -> HostDrain:
    """Return the host's last drain. Raises NotFound."""
    drain = latest(session, host)
    if drain is None:
        raise NotFound(f"Host {host.name} was never drained.")
    return drain


def as_json(drain: HostDrain) -> dict[str, Any]:
    """Return the drain as the API and the commands show it."""
    return {
        "id": drain.id,
        "host": drain.host_name,
        "state": drain.state,
        "reason": drain.reason,
        "created_at": _time(drain.created_at),
        "finished_at": _time(drain.finished_at),
        "servers": [_entry_as_json(key, each) for key, each in drain.servers.items()],
    }


def _entry_as_json(server_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "how", "status", "why", "destination")
    return {"id": server_id} | {name: entry.get(name) for name in names}


def _disabled_reason(reason: str | None) -> str:
    return f"drained{f': {reason}' if reason else ''}"[:_REASON_MAX]


def _is_by_drain(host: Host) -> bool:
    return str(host.disabled_reason or "").startswith("drained")


def _time(moment: datetime | None) -> str | None:
    return f"{moment.isoformat(timespec='seconds')}Z" if moment else None
