"""Locks on servers: while one holds, only administrators act on the server. As OpenStack Nova."""

from sqlalchemy.orm import Session

from controller.core import server_actions
from controller.core.context import Context
from controller.db.models import Server
from controller.errors import Conflict


def lock(session: Session, context: Context, server: Server, reason: str | None) -> None:
    """Lock the server. Its owner changes nothing of a lock that holds; an administrator may."""
    by = _lock_of(context, server)
    if server.locked and by == "owner":
        return
    server_actions.record(session, context, server, "lock")
    server.locked, server.locked_by = True, by
    # Without a reason the one before stays.
    server.locked_reason = reason or server.locked_reason


def needs_override(context: Context, server: Server) -> bool:
    """Whether another kind of caller, owner or admin, locked the server."""
    return server.locked_by not in (None, _lock_of(context, server))


def unlock(session: Session, context: Context, server: Server) -> None:
    server_actions.record(session, context, server, "unlock")
    server.locked, server.locked_by, server.locked_reason = False, None, None


def check(context: Context, server: Server) -> None:
    """Refuse an action on a locked server to all but administrators. Raises Conflict."""
    if not server.locked or context.is_admin:
        return
    way = "Unlock it first" if server.locked_by == "owner" else "Ask an administrator to unlock it"
    why = f" ({server.locked_reason})" if server.locked_reason else ""
    raise Conflict(f"Instance {server.id} is locked{why}. {way}.")


def _lock_of(context: Context, server: Server) -> str:
    return "owner" if server.project_id == context.project_id else "admin"
