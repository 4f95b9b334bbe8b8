"""Transitions: the only place that gives a server its state, by the rows of `controller.states`.

A task state belongs to the action that is shown: an operation that ends late, after a delete was
accepted, must not wipe out 'deleting'. So each row touches only task states of its own.
"""

from datetime import datetime
from typing import Any

from controller.db.models import Server
from controller.states import (
    ACTIVE,
    BUILDING,
    DELETED,
    ERROR,
    POWER_AFTER,
    POWER_RUNNING,
    POWER_SHUT_DOWN,
    SOFT_DELETED,
    STOPPED,
    Transition,
)

# What a row shows beyond the task state that it begins with.
_RESIZING = frozenset({"resize_migrating", "resize_migrated", "resize_finish"})
PROGRESS: dict[str, frozenset[str]] = {
    "create": frozenset({"networking", "spawning"}),
    "create_image": frozenset({"image_uploading"}),
    "create_backup": frozenset({"image_uploading"}),
    "shelve": frozenset({"image_uploading"}),
    "resize": _RESIZING,
    "migrate": _RESIZING,
    "rebuild": frozenset({"rebuild_spawning", "powering-off"}),
    "evacuate": frozenset({"rebuild_spawning"}),
}


def progress(server: Server, row: Transition, task_state: str) -> None:
    """Show how far the row's operation has come, unless another action is shown by now."""
    if _is_shown(server, row):
        server.task_state = task_state


def succeed(server: Server, row: Transition, now: datetime, state: str | None = None) -> None:
    """The row's operation did what was asked. `state` where that depends on what it was before."""
    _leave_task_state(server, row)
    after = state or row.after_success
    if after is not None:
        _enter(server, after, now)
        server.fault = None


def fail(
    server: Server,
    row: Transition,
    now: datetime,
    message: str,
    details: str,
    state: str | None = None,
) -> None:
    """The row's operation failed. `message` is for the tenant, `details` for operators; `state`
    where it depends on how much of it could be undone.
    """
    _leave_task_state(server, row)
    after = state or row.after_failure
    if after is None:
        return
    _enter(server, after, now)
    server.fault = _fault(message, details, now)


def refuse(server: Server, row: Transition, state: str) -> None:
    """The row's operation was forbidden before anything was done; the server was in `state`.

    One that was to be made isn't there to go back to: it is in error.
    """
    _leave_task_state(server, row)
    if state not in (BUILDING, server.state):
        server.state = state
        server.fault = None


def give_way(server: Server, row: Transition) -> None:
    """The row's operation was cancelled for another action, which decides what becomes of it."""
    _leave_task_state(server, row)


def reset(server: Server, state: str) -> None:
    """An administrator says that the server's state is `state`; nothing on its host changes."""
    server.state = state
    server.task_state = None
    server.soft_deleted_at = None
    if state != ERROR:
        server.fault = None


def release_lost(server: Server, now: datetime) -> None:
    """Free a server whose task state no operation stands for, so that its owner can act again."""
    server.task_state = None
    if server.state == BUILDING:
        server.state = ERROR
        server.fault = _fault(
            "The build of the server was lost. Delete the server and create it again.",
            "building, without a live operation",
            now,
        )


def seen_off(server: Server, now: datetime) -> None:
    """The server's guest has shut itself down, or was ended behind our back."""
    _enter(server, STOPPED, now)


def seen_running(server: Server, now: datetime) -> None:
    """The server's guest was started behind our back."""
    _enter(server, ACTIVE, now)


def seen_power(server: Server, *, runs: bool) -> None:
    """The server's guest runs or is off, and its state may stand for either."""
    server.power_state = POWER_RUNNING if runs else POWER_SHUT_DOWN


def _is_shown(server: Server, row: Transition) -> bool:
    own = PROGRESS.get(row.action, frozenset()) | {row.task_state}
    return server.task_state in own


def _leave_task_state(server: Server, row: Transition) -> None:
    if _is_shown(server, row):
        server.task_state = None


def _enter(server: Server, state: str, now: datetime) -> None:
    if server.state == DELETED:
        return
    server.state = state
    server.power_state = POWER_AFTER.get(state, server.power_state)
    server.soft_deleted_at = now if state == SOFT_DELETED else None
    if state == ACTIVE and server.launched_at is None:
        server.launched_at = now
    if state == DELETED:
        server.task_state = None
        server.unique_name = None
        server.terminated_at = server.deleted_at = now


def _fault(message: str, details: str, now: datetime) -> dict[str, Any]:
    return {
        "code": 500,
        "message": message,
        "details": details,
        "created": f"{now.replace(microsecond=0).isoformat()}Z",
    }
