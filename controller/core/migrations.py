"""Migrations: the record of a server's moves, and what the API may ask of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from controller.core.context import Context
from controller.db.models import Host, Migration, Server
from controller.errors import BadRequest, NotFound

RESIZE, COLD, LIVE, EVACUATION = "resize", "migration", "live-migration", "evacuation"

# Nova's words for how far a move is.
PREPARING, RUNNING, ARRIVING = "pre-migrating", "migrating", "post-migrating"
FINISHED, CONFIRMING, CONFIRMED = "finished", "confirming", "confirmed"
REVERTING, REVERTED = "reverting", "reverted"
COMPLETED, FAILED, CANCELLED = "completed", "error", "cancelled"
ACCEPTED, DONE = "accepted", "done"
# And those that it has for live ones alone.
LIVE_PREPARING, LIVE_RUNNING, LIVE_FAILED = "preparing", "running", "failed"

UNDER_WAY = (ACCEPTED, PREPARING, RUNNING, ARRIVING, LIVE_PREPARING, LIVE_RUNNING)
# What is known of how far a live migration is.
PROGRESS = tuple(
    f"{kind}_{part}_bytes"
    for kind in ("memory", "disk")
    for part in ("total", "processed", "remaining")
)
NUMBER_MAX = 1 << 62
# While it is one of these the old host has, or may have, something of the server.
UNSETTLED = (*UNDER_WAY, FINISHED, CONFIRMING, REVERTING)
# Those that `servers/{id}/migrations` has: live ones that are under way.
SHOWN_BY_SERVER = UNDER_WAY


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of migrations is narrowed to; None for all."""

    host: str | None = None
    status: str | None = None
    type: str | None = None
    source_host: str | None = None
    server_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    changes_since: datetime | None = None
    changes_before: datetime | None = None


def begin(
    session: Session,
    context: Context,
    server: Server,
    kind: str,
    *,
    new_flavor: dict[str, object] | None = None,
) -> Migration:
    """Write the record of a move that has been accepted, and return it with its id."""
    host = session.get_one(Host, server.host_id)
    migration = Migration(
        server_id=server.id,
        type=kind,
        status=ACCEPTED if kind in (EVACUATION, LIVE) else PREPARING,
        user_id=context.user_id,
        project_id=context.project_id or server.project_id,
        source_host_id=host.id,
        source_host=host.name,
        old_flavor=server.flavor,
        new_flavor=new_flavor or server.flavor,
        old_state=server.state,
    )
    session.add(migration)
    session.flush()
    return migration


def finished_of(session: Session, server_id: str) -> Migration | None:
    """Return the move of the server that waits for confirm or revert, None when none does."""
    query = select(Migration).where(Migration.server_id == server_id, Migration.status == FINISHED)
    return session.scalar(query.order_by(Migration.id.desc()).limit(1))


def unsettled_of(session: Session, server_id: str) -> list[Migration]:
    """Return the moves of which the old host has, or may have, something of the server."""
    query = select(Migration).where(
        Migration.server_id == server_id, Migration.status.in_(UNSETTLED)
    )
    return list(session.scalars(query.order_by(Migration.id)))


def note_progress(session: Session, server_id: str, progress: object) -> bool:
    """Keep how far the server's live migration is; return whether it is to be over with.

    `progress` comes from hosts: numbers by the names of PROGRESS, all else is passed over.
    """
    query = select(Migration).where(
        Migration.server_id == server_id,
        Migration.type == LIVE,
        Migration.status.in_((LIVE_PREPARING, LIVE_RUNNING)),
    )
    migration = session.scalar(query.order_by(Migration.id.desc()).limit(1))
    if migration is None or not isinstance(progress, dict):
        return False
    said = {name: progress.get(name) for name in PROGRESS}
    numbers = {name: min(each, NUMBER_MAX) for name, each in said.items() if isinstance(each, int)}
    migration.status = LIVE_RUNNING
    migration.progress = {**migration.progress, **numbers}
    return migration.force_complete


def list_migrations(
    session: Session, filters: Filters, *, limit: int | None = None, marker: str | None = None
) -> list[Migration]:
    """Return a page of migrations, latest first; `marker` is the uuid that it comes after."""
    query = select(Migration)
    if filters.host is not None:
        query = query.where(
            (Migration.source_host == filters.host) | (Migration.dest_host == filters.host)
        )
    for name in ("status", "type", "source_host", "server_id", "user_id", "project_id"):
        value = getattr(filters, name)
        if value is not None:
            query = query.where(getattr(Migration, name) == value)
    if filters.changes_since is not None:
        query = query.where(Migration.updated_at >= filters.changes_since)
    if filters.changes_before is not None:
        query = query.where(Migration.updated_at <= filters.changes_before)
    if marker is not None:
        last = session.scalar(select(Migration).where(Migration.uuid == marker))
        if last is None:
            raise BadRequest(f"marker [{marker}] not found: no migration has this uuid.")
        query = query.where(
            tuple_(Migration.created_at, Migration.id) < tuple_(last.created_at, last.id)
        )
    query = query.order_by(Migration.created_at.desc(), Migration.id.desc())
    return list(session.scalars(query.limit(limit)))


def of_server(session: Session, server: Server) -> Sequence[Migration]:
    """Return the live migrations of the server that are under way."""
    query = select(Migration).where(
        Migration.server_id == server.id,
        Migration.type == LIVE,
        Migration.status.in_(SHOWN_BY_SERVER),
    )
    return list(session.scalars(query.order_by(Migration.id)))


def get_of_server(session: Session, server: Server, migration_id: str) -> Migration:
    """Return the live migration of the server that has this number. Raises NotFound."""
    for migration in of_server(session, server):
        if str(migration.id) == migration_id:
            return migration
    raise NotFound(
        f"In-progress live migration {migration_id} is not found for server {server.id}. "
        "`openstack server migration list` has those that are."
    )
