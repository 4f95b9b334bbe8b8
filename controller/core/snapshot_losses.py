"""What would lose the snapshots inside a server's disks: refused while there are any."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.db.models import DiskSnapshot, Server
from controller.errors import InvalidState

# Actions that make the disks anew, or take only what they are now elsewhere.
LOSING = frozenset({"rebuild", "resize", "migrate", "live_migrate", "shelve", "shelve_offload"})


def refuse(session: Session, servers: Sequence[Server], action: str) -> None:
    """Raise InvalidState if `action` would lose a server's snapshots."""
    if action not in LOSING:
        return
    query = select(DiskSnapshot.server_id).where(
        DiskSnapshot.server_id.in_([server.id for server in servers])
    )
    server_id = session.scalar(query.limit(1))
    if server_id is not None:
        raise InvalidState(
            f"Cannot {action.replace('_', ' ')} server {server_id}: it has disk snapshots, which "
            "would be lost. Delete them first."
        )
