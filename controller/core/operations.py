"""Operations as the API writes them: a row in the same transaction as the change it belongs to."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from controller.core.context import Context
from controller.core.sealing import seal
from controller.db.models import Operation, Server, ServerAction
from controller.db.session import wake_after
from controller.errors import InvalidState
from controller.settings import Settings
from controller.states import TABLE, refusal

FORMAT_VERSION = 1

QUEUED, RUNNING, SUCCEEDED, FAILED = "queued", "running", "succeeded", "failed"
UNFINISHED = (QUEUED, RUNNING)


def submit(
    session: Session,
    settings: Settings,
    context: Context,
    kind: str,
    *,
    server: Server | None = None,
    action: ServerAction | None = None,
    host_id: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Operation:
    """Write an operation of `kind` and have a worker woken after the commit.

    `secrets` are kept encrypted, and only until the operation ends.
    """
    operation = Operation(
        kind=kind,
        format_version=FORMAT_VERSION,
        server_id=server.id if server else None,
        host_id=host_id,
        action_id=action.id if action else None,
        project_id=context.project_id,
        user_id=context.user_id or None,
        request_id=context.request_id,
        arguments=dict(arguments or {}),
        sealed=seal(settings, dict(secrets)) if secrets else None,
    )
    session.add(operation)
    wake_after(session)
    return operation


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
) -> Operation:
    """Accept `action` on `server`: check the state table, record it, submit its operation.

    `record_as` is the name in os-instance-actions where that differs from ours (a hard reboot is
    a 'reboot' there). Raises InvalidState with the reason and the way out.
    """
    row = TABLE[action]
    reason = refusal(action, server.state, server.task_state)
    if reason:
        raise InvalidState(f"Cannot {action.replace('_', ' ')} server {server.id}: {reason}.")
    assert row.operation is not None  # noqa: S101 -- rename and the like have no operation
    entry = ServerAction(
        server_id=server.id,
        request_id=context.request_id,
        action=record_as or action,
        user_id=context.user_id,
        project_id=context.project_id or server.project_id,
    )
    session.add(entry)
    session.flush()
    server.task_state = row.task_state
    return submit(
        session,
        settings,
        context,
        row.operation,
        server=server,
        action=entry,
        host_id=server.host_id,
        arguments=arguments,
        secrets=secrets,
    )
