"""Snapshots inside a server's disks, as they are asked for: our own extension.

They are part of the disks' files. So what makes the disks anew, or takes only their present content
elsewhere, is refused while there are any (core.snapshot_losses).
"""

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from controller.core import server_images, server_locks
from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.models import DiskSnapshot, Server
from controller.errors import Conflict, NotFound
from controller.settings import Settings

CREATING, AVAILABLE, REVERTING = "creating", "available", "reverting"
DELETING, ERROR = "deleting", "error"


def of_server(session: Session, server: Server) -> list[DiskSnapshot]:
    """Return the server's snapshots, oldest first."""
    query = select(DiskSnapshot).where(DiskSnapshot.server_id == server.id)
    return list(session.scalars(query.order_by(DiskSnapshot.created_at, DiskSnapshot.id)))


def get(session: Session, server: Server, snapshot_id: str) -> DiskSnapshot:
    """Return one of the server's. Raises NotFound."""
    snapshot = session.get(DiskSnapshot, snapshot_id)
    if snapshot is None or snapshot.server_id != server.id:
        raise NotFound(f"Server {server.id} has no disk snapshot {snapshot_id}.")
    return snapshot


def create(
    session: Session, settings: Settings, context: Context, server: Server, name: str
) -> DiskSnapshot:
    """Accept a snapshot of the server's disks as they will be in a moment. Its row must be locked.

    Raises Conflict when it has as many as it may, InvalidState as the state table has it.
    """
    _check(context, server, "create_snapshot")
    count = session.scalar(
        select(func.count()).select_from(DiskSnapshot).where(DiskSnapshot.server_id == server.id)
    )
    if (count or 0) >= settings.disk_snapshots_max:
        raise Conflict(
            f"Cannot take a disk snapshot of server {server.id}: it has {count}, and may have "
            f"{settings.disk_snapshots_max}. Delete one first."
        )
    snapshot = DiskSnapshot(server_id=server.id, name=name, status=CREATING)
    session.add(snapshot)
    session.flush()
    arguments = {"snapshot_id": snapshot.id, "quiesce": server_images.quiesce(server)}
    _begin(session, settings, context, server, "create_snapshot", arguments)
    return snapshot


def revert(
    session: Session, settings: Settings, context: Context, server: Server, snapshot_id: str
) -> None:
    """Accept that the disks become what they were. Raises Conflict for one that isn't whole."""
    snapshot = get(session, server, snapshot_id)
    _check(context, server, "revert_snapshot")
    if snapshot.status != AVAILABLE:
        raise Conflict(
            f"Cannot revert server {server.id} to disk snapshot {snapshot.id}: that is "
            f"{snapshot.status}. Choose another."
        )
    snapshot.status = REVERTING
    _begin(session, settings, context, server, "revert_snapshot", {"snapshot_id": snapshot.id})


def remove(
    session: Session, settings: Settings, context: Context, server: Server, snapshot_id: str
) -> None:
    """Accept that the snapshot goes."""
    snapshot = get(session, server, snapshot_id)
    _check(context, server, "delete_snapshot")
    snapshot.status = DELETING
    _begin(session, settings, context, server, "delete_snapshot", {"snapshot_id": snapshot.id})


def forget(session: Session, server_id: str) -> None:
    """The server's disks are gone, and its snapshots with them."""
    session.execute(
        delete(DiskSnapshot)
        .where(DiskSnapshot.server_id == server_id)
        .execution_options(synchronize_session=False)
    )


def _check(context: Context, server: Server, action: str) -> None:
    """Raise what `begin_action` would, before rows are written that it would leave."""
    server_locks.check(context, server)
    check_allowed(server, action)


def _begin(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    action: str,
    arguments: dict[str, str],
) -> None:
    begin_action(
        session, settings, context, server, action,
        record_as=f"novella:{action}", arguments=arguments,
    )  # fmt: skip
