"""The state table: what may be done to a server when, and what it becomes.

One row per action. The core asks it whether an action is allowed and which task state to show
while it runs; the conductor asks it what the server is after success and after failure, and which
playbooks do the work. Nobody else assigns a server's state.
"""

from dataclasses import dataclass

BUILDING = "building"
ACTIVE = "active"
STOPPED = "stopped"
ERROR = "error"
DELETED = "deleted"

STATES = frozenset({BUILDING, ACTIVE, STOPPED, ERROR, DELETED})
LIVING = STATES - {DELETED}

# Nova's numbers, as the API shows them.
POWER_UNKNOWN, POWER_RUNNING, POWER_SHUT_DOWN = 0, 1, 4
POWER_AFTER = {ACTIVE: POWER_RUNNING, STOPPED: POWER_SHUT_DOWN}


@dataclass(frozen=True, slots=True)
class Transition:
    """A row. `after_*` None means that the state stays as it was before the action."""

    action: str
    allowed_in: frozenset[str]
    # Shown as the server's task state from acceptance to the end; None for what is done at once.
    task_state: str | None
    # The conductor's operation; None for what the API does by itself, such as rename.
    operation: str | None
    after_success: str | None
    after_failure: str | None
    playbooks: tuple[str, ...] = ()
    # Task states that it may interrupt; otherwise a server that is being worked on refuses it.
    interrupts: frozenset[str] = frozenset()
    # True when any task state may be interrupted: only for delete.
    interrupts_all: bool = False


def _row(
    action: str,
    allowed_in: frozenset[str],
    task_state: str | None,
    operation: str | None,
    after: tuple[str | None, str | None],
    playbooks: tuple[str, ...],
    interrupts: frozenset[str] = frozenset(),
    interrupts_all: bool = False,
) -> tuple[str, Transition]:
    return action, Transition(
        action, allowed_in, task_state, operation, *after, playbooks, interrupts, interrupts_all
    )


# action, allowed in, task state, operation, (after success, after failure), playbooks
TABLE: dict[str, Transition] = dict(
    [
        _row("create", frozenset({BUILDING}), "scheduling", "server_create", (ACTIVE, ERROR),
             ("server_create", "server_delete")),
        _row("delete", LIVING, "deleting", "server_delete", (DELETED, ERROR),
             ("server_delete",), interrupts_all=True),
        _row("start", frozenset({STOPPED}), "powering-on", "server_start", (ACTIVE, None),
             ("server_start",)),
        _row("stop", frozenset({ACTIVE, ERROR}), "powering-off", "server_stop", (STOPPED, None),
             ("server_stop",)),
        _row("reboot", frozenset({ACTIVE}), "rebooting", "server_reboot", (ACTIVE, ERROR),
             ("server_reboot",)),
        _row("hard_reboot", frozenset({ACTIVE, STOPPED, ERROR}), "rebooting_hard",
             "server_hard_reboot", (ACTIVE, ERROR), ("server_hard_reboot",),
             interrupts=frozenset({"rebooting"})),
        # An administrator says which state it has; what runs goes on, and its end decides again.
        _row("reset_state", LIVING, None, None, (None, None), (), interrupts_all=True),
        _row("rename", LIVING, None, None, (None, None), (), interrupts_all=True),
    ]
)  # fmt: skip

BY_OPERATION = {row.operation: row for row in TABLE.values() if row.operation}


def refusal(action: str, state: str, task_state: str | None) -> str | None:
    """Return why `action` is not allowed now, with the way out; None when it is allowed."""
    row = TABLE[action]
    if state not in row.allowed_in:
        allowed = " or ".join(sorted(row.allowed_in))
        return f"it is {state}, and this is allowed when it is {allowed}"
    if task_state and not row.interrupts_all and task_state not in row.interrupts:
        return f"it is busy ({task_state}). Wait until that has ended"
    return None
