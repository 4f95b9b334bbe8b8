"""A server's metadata: its owner's items, which its guest is served as soon as they change."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import quotas, server_locks
from controller.core.context import Context
from controller.core.operations import QUEUED, begin_action, check_allowed, submit
from controller.db.models import Operation, Server
from controller.errors import NotFound
from controller.settings import Settings

ACTION = "update_metadata"
KIND = "server_update_metadata"


def change(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    items: Mapping[str, str],
    *,
    replace: bool,
) -> dict[str, str]:
    """Add `items` to the server's metadata, or put them in its place; return what it is then.

    Raises QuotaExceeded for too many, InvalidState, Conflict for a locked server.
    """
    _check(context, server)
    metadata = dict(items) if replace else {**server.meta, **items}
    quotas.check_metadata(session, settings, server.project_id, metadata)
    _set(session, settings, context, server, metadata)
    return metadata


def item(server: Server, key: str) -> str:
    if key not in server.meta:
        raise NotFound(f"Metadata item was not found: server {server.id} has no {key!r}.")
    return str(server.meta[key])


def remove_item(
    session: Session, settings: Settings, context: Context, server: Server, key: str
) -> None:
    item(server, key)
    _check(context, server)
    left = {name: value for name, value in server.meta.items() if name != key}
    _set(session, settings, context, server, left)


def _check(context: Context, server: Server) -> None:
    server_locks.check(context, server)
    check_allowed(server, ACTION)


def _set(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    metadata: dict[str, str],
) -> None:
    """Write it, and have it pushed."""
    if metadata == server.meta:
        return
    server.meta = metadata
    push(session, settings, context, server)


def push(session: Session, settings: Settings, context: Context, server: Server) -> None:
    """Have the guest served what the database says, unless a push that hasn't begun will."""
    if _needs_push(session, server):
        begin_action(session, settings, context, server, ACTION)


def push_names(session: Session, context: Context, server: Server) -> None:
    """Have the guest served its new names, whatever state it is in, and locked or not.

    No action of its own: its owner asked for an update, which is none in OpenStack Nova either.
    """
    if _needs_push(session, server):
        submit(session, KIND, context=context, server=server, host_id=server.host_id)


def _needs_push(session: Session, server: Server) -> bool:
    """Whether a host has the server, and no push waits that will tell it all the same."""
    waiting = select(Operation.id).where(
        Operation.server_id == server.id, Operation.kind == KIND, Operation.state == QUEUED
    )
    return server.host_id is not None and session.scalar(waiting.limit(1)) is None
