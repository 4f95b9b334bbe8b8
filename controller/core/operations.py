"""Operations as the API writes them: a row in the same transaction as the change it belongs to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.orm import Session

from controller.core import server_locks, snapshot_losses
from controller.core.context import Context
from controller.core.sealing import seal
from controller.db.base import new_id, utcnow
from controller.db.models import Operation, Server, ServerAction
from controller.db.session import wake_after
from controller.errors import InvalidState, QueueFull
from controller.settings import Settings
from controller.states import IGNORE_LOCK, TABLE, refusal

FORMAT_VERSION = 1

QUEUED, RUNNING, SUCCEEDED, FAILED = "queued", "running", "succeeded", "failed"
UNFINISHED = (QUEUED, RUNNING)
# What a request that is only tried out becomes; see core.dry_runs.
DRY_RUN = "dry_run"
# In `info` of a session.
_SUBMITTED = "submitted"


def submit(
    session: Session,
    kind: str,
    *,
    context: Context | None = None,
    server: Server | None = None,
    action_id: int | None = None,
    host_id: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    sealed: bytes | None = None,
    not_before: datetime | None = None,
) -> Operation:
    """Write an operation of `kind` and have a worker woken after the commit, unless it waits for a
    time.

    `context` is the caller's; None where the controller itself asks, on behalf of the server's
    owner if it is about one. `sealed` is kept only until the operation ends.
    """
    now = utcnow()
    operation = Operation(
        id=new_id(),
        kind=kind,
        format_version=FORMAT_VERSION,
        server_id=server.id if server else None,
        host_id=host_id,
        action_id=action_id,
        project_id=context.project_id if context else server and server.project_id,
        user_id=(context.user_id or None) if context else server and server.user_id,
        request_id=context.request_id if context else None,
        arguments=dict(arguments or {}),
        sealed=sealed,
        # The same: what may start at once may by any machine's clock.
        created_at=now,
        not_before=not_before or now,
    )
    session.add(operation)
    session.info.setdefault(_SUBMITTED, []).append(operation)
    if not_before is None:
        wake_after(session)
    return operation


def submitted(session: Session) -> list[Operation]:
    """Return the operations that this session has submitted."""
    return list(session.info.get(_SUBMITTED, []))


def queue_is_full(session: Session, settings: Settings) -> bool:
    """Return whether more of what users asked for waits for a worker than may.

    The controller's own work doesn't count: after a power failure it starts what should run, and
    as many starts as there are servers must not keep everybody out.
    """
    # Counts no further than it must.
    some = (
        select(Operation.id)
        .where(
            Operation.state == QUEUED,
            or_(Operation.action_id.is_not(None), Operation.kind == DRY_RUN),
            Operation.user_id.is_not(None),
        )
        .limit(settings.queue_max + 1)
        .subquery()
    )
    return (session.scalar(select(func.count()).select_from(some)) or 0) > settings.queue_max


def _check_room(session: Session, settings: Settings, action: str) -> None:
    """Refuse what is only queued to wait for ever. A delete is work that makes others' needless."""
    if action != "delete" and queue_is_full(session, settings):
        raise QueueFull(
            f"Cannot {action.replace('_', ' ')} servers now: more than {settings.queue_max} "
            "actions wait for a worker. Try again later."
        )


def check_allowed(server: Server, action: str) -> None:
    """Raise InvalidState, with the reason and the way out, unless `action` is allowed now."""
    reason = refusal(action, server.state, server.task_state)
    if reason:
        raise InvalidState(f"Cannot {action.replace('_', ' ')} server {server.id}: {reason}.")


def begin_action(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    action: str,
    *,
    record_as: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    bounded: bool = True,
) -> Operation:
    """Accept `action` on `server`, as `begin_actions` does, and return its operation."""
    (operation,) = begin_actions(
        session,
        settings,
        context,
        [server],
        action,
        record_as=record_as,
        arguments=arguments,
        secrets=secrets,
        bounded=bounded,
    )
    return operation


def begin_actions(
    session: Session,
    settings: Settings,
    context: Context,
    servers: Sequence[Server],
    action: str,
    *,
    record_as: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    bounded: bool = True,
) -> list[Operation]:
    """Accept `action` on `servers`: check the state table, record it, submit its operations.

    `record_as` is the name in os-instance-actions where that differs from ours (a hard reboot is
    a 'reboot' there). `secrets` are kept encrypted. What isn't `bounded`, the controller's own
    work, is accepted however much waits. Raises InvalidState with the reason and the way out,
    Conflict for a locked server, QueueFull. As many statements for many servers as for one.
    """
    row = TABLE[action]
    if bounded:
        _check_room(session, settings, action)
    for server in servers:
        if action not in IGNORE_LOCK:
            server_locks.check(context, server)
        check_allowed(server, action)
    snapshot_losses.refuse(session, servers, action)
    assert row.operation is not None  # noqa: S101 -- rename and the like have no operation
    entries = [
        {
            "server_id": server.id,
            "request_id": context.request_id,
            "action": record_as or action,
            "user_id": context.user_id,
            "project_id": context.project_id or server.project_id,
        }
        for server in servers
    ]
    # Not by the session, which would send each by itself to learn of its number.
    statement = insert(ServerAction).returning(ServerAction.server_id, ServerAction.id)
    action_ids = {row.server_id: row.id for row in session.execute(statement, entries)}
    operations = []
    for server in servers:
        if row.task_state is not None:
            # An action that shows nothing leaves what another shows by now.
            server.task_state = row.task_state
        operation = submit(
            session,
            row.operation,
            context=context,
            server=server,
            action_id=action_ids[server.id],
            host_id=server.host_id,
            arguments=arguments,
            sealed=seal(settings, dict(secrets)) if secrets else None,
        )
        operations.append(operation)
    return operations


# Those that give up when the image is deleted that they make.
IMAGE_MAKERS = frozenset({"server_create_image", "server_create_backup"})


def cancel_making(session: Session, image_id: str) -> None:
    """Have the operation that makes this image give up, if there is one."""
    session.execute(
        update(Operation)
        .where(
            Operation.kind.in_(IMAGE_MAKERS),
            Operation.state.in_(UNFINISHED),
            Operation.undoing.is_(None),
            Operation.arguments["image_id"].as_string() == image_id,
        )
        .values(cancel_requested=True)
        .execution_options(synchronize_session=False)
    )
