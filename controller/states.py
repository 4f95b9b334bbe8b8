"""The state table: what may be done to a server when, and what it becomes.

One row per action. The core asks it whether an action is allowed and which task state to show
while it runs; the conductor asks it what the server is after success and after failure, and which
playbooks do the work. Nobody else assigns a server's state.
"""

from dataclasses import dataclass

# Nova's names, as the API shows them.
BUILDING = "building"
ACTIVE = "active"
PAUSED = "paused"
# Its memory is in a file on its host.
SUSPENDED = "suspended"
STOPPED = "stopped"
# A rescue image runs, with the server's own disk beside it.
RESCUED = "rescued"
# It runs where and as large as asked for; the old side waits for confirm or revert.
RESIZED = "resized"
# Off, its image taken; still on its host until it is offloaded.
SHELVED = "shelved"
SHELVED_OFFLOADED = "shelved_offloaded"
# Off, and deleted for its owner; to be restored until it is reclaimed.
SOFT_DELETED = "soft-delete"
ERROR = "error"
DELETED = "deleted"

STATES = frozenset(
    {
        BUILDING, ACTIVE, PAUSED, SUSPENDED, STOPPED, RESCUED, RESIZED, SHELVED,
        SHELVED_OFFLOADED, SOFT_DELETED, ERROR, DELETED,
    }
)  # fmt: skip
LIVING = STATES - {DELETED}
# A server that isn't reclaimed yet takes nothing of its project's quota, as in Nova.
COUNTED = LIVING - {SOFT_DELETED}

# Nova's numbers, as the API shows them.
POWER_UNKNOWN, POWER_RUNNING, POWER_PAUSED, POWER_SHUT_DOWN = 0, 1, 3, 4
# A state that isn't here leaves the power state to what the operation says.
POWER_AFTER = {
    ACTIVE: POWER_RUNNING,
    PAUSED: POWER_PAUSED,
    SUSPENDED: POWER_SHUT_DOWN,
    STOPPED: POWER_SHUT_DOWN,
    RESCUED: POWER_RUNNING,
    SHELVED: POWER_SHUT_DOWN,
    SHELVED_OFFLOADED: POWER_SHUT_DOWN,
    SOFT_DELETED: POWER_SHUT_DOWN,
    DELETED: POWER_UNKNOWN,
}
# A domain's states, as hosts name them; both of OFF are a guest that isn't there.
RUNS, STANDS_STILL = "running", "paused"
OFF = frozenset({"stopped", "crashed"})
# What the domain of a server in this state is while nothing is done to it. It has one in no other.
DOMAIN_STATES = {
    ACTIVE: frozenset({RUNS}),
    PAUSED: frozenset({STANDS_STILL}),
    SUSPENDED: OFF,
    STOPPED: OFF,
    RESCUED: frozenset({RUNS}),
    # A server that was off is resized without being started.
    RESIZED: OFF | {RUNS},
    SHELVED: OFF,
    SOFT_DELETED: OFF,
}


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
        # After its host's boot, what ran and is not merely ACTIVE: it keeps its state.
        _row("start_again", frozenset({RESCUED, RESIZED}), "powering-on", "server_start",
             (None, None), ("server_start",)),
        _row("stop", frozenset({ACTIVE, ERROR}), "powering-off", "server_stop", (STOPPED, None),
             ("server_stop",)),
        _row("reboot", frozenset({ACTIVE}), "rebooting", "server_reboot", (ACTIVE, ERROR),
             ("server_reboot",)),
        _row("hard_reboot", frozenset({ACTIVE, STOPPED, PAUSED, SUSPENDED, ERROR}),
             "rebooting_hard", "server_hard_reboot", (ACTIVE, ERROR),
             ("server_hard_reboot",), interrupts=frozenset({"rebooting"})),
        # No task state, as upstream: what else is asked for meanwhile waits for its end.
        _row("attach_interface", frozenset({ACTIVE, PAUSED, STOPPED}), None,
             "server_attach_interface", (None, None),
             ("server_attach_interface", "server_detach_interface")),
        _row("detach_interface", frozenset({ACTIVE, PAUSED, STOPPED}), None,
             "server_detach_interface", (None, None),
             ("server_detach_interface", "server_attach_interface")),
        # One that was off is started and stopped again, as in Nova (conductor/server_rebuild.py).
        _row("rebuild", frozenset({ACTIVE, STOPPED, ERROR}), "rebuilding", "server_rebuild",
             (ACTIVE, ERROR), ("server_rebuild", "server_stop")),
        _row("pause", frozenset({ACTIVE}), "pausing", "server_pause", (PAUSED, None),
             ("server_pause",)),
        _row("unpause", frozenset({PAUSED}), "unpausing", "server_unpause", (ACTIVE, None),
             ("server_unpause",)),
        _row("suspend", frozenset({ACTIVE}), "suspending", "server_suspend", (SUSPENDED, None),
             ("server_suspend",)),
        _row("resume", frozenset({SUSPENDED}), "resuming", "server_resume", (ACTIVE, None),
             ("server_resume",)),
        _row("resize", frozenset({ACTIVE, STOPPED}), "resize_prep", "server_resize",
             (RESIZED, None),
             ("server_resize", "server_move_out", "server_revert_resize", "server_delete")),
        # A move without another size: the same work, for administrators.
        _row("migrate", frozenset({ACTIVE, STOPPED}), "resize_prep", "server_resize",
             (RESIZED, None),
             ("server_resize", "server_move_out", "server_revert_resize", "server_delete")),
        # From a host that is proved to be off; one that was stopped stays so, as in Nova.
        _row("evacuate", frozenset({ACTIVE, STOPPED, ERROR}), "rebuilding", "server_evacuate",
             (ACTIVE, ERROR), ("server_evacuate", "server_delete")),
        _row("confirm_resize", frozenset({RESIZED}), "resize_confirming", "server_confirm_resize",
             (ACTIVE, ERROR), ("server_confirm_resize",)),
        # What it was before: a server that was off is off again.
        _row("revert_resize", frozenset({RESIZED}), "resize_reverting", "server_revert_resize",
             (ACTIVE, ERROR),
             ("server_revert_resize", "server_stop", "server_start", "server_move_out",
              "server_delete")),
        # Our own extension: other sizes within limits, while it runs on.
        _row("live_resize", frozenset({ACTIVE, STOPPED}), "live_resizing", "server_live_resize",
             (None, None), ("server_live_resize",)),
        # Our own extension, too: snapshots inside the disks.
        _row("create_snapshot", frozenset({ACTIVE, STOPPED}), "snapshot_creating",
             "server_create_snapshot", (None, None),
             ("server_create_snapshot", "server_delete_snapshot")),
        _row("revert_snapshot", frozenset({STOPPED}), "snapshot_reverting",
             "server_revert_snapshot", (None, None), ("server_revert_snapshot",)),
        _row("delete_snapshot", frozenset({ACTIVE, STOPPED}), "snapshot_deleting",
             "server_delete_snapshot", (None, None), ("server_delete_snapshot",)),
        # It runs on, or stays paused, whatever becomes of the move.
        _row("live_migrate", frozenset({ACTIVE, PAUSED}), "migrating", "server_live_migrate",
             (None, None),
             ("server_live_migrate", "server_receive", "server_converge", "server_delete")),
        # Deleted for its owner, while a setting leaves time to restore it. States that need more
        # than a start to be as they were are deleted at once.
        _row("soft_delete", frozenset({ACTIVE, PAUSED, SUSPENDED, STOPPED, ERROR}),
             "soft-deleting", "server_soft_delete", (SOFT_DELETED, ERROR),
             ("server_soft_delete",), interrupts_all=True),
        _row("restore", frozenset({SOFT_DELETED}), "restoring", "server_restore", (ACTIVE, None),
             ("server_restore",)),
        # Whatever is being done to the server ends first. No task state, as upstream.
        _row("update_metadata", frozenset({ACTIVE, PAUSED, SUSPENDED, STOPPED}), None,
             "server_update_metadata", (None, None), ("server_update_metadata",),
             interrupts_all=True),
        _row("rescue", frozenset({ACTIVE, STOPPED, ERROR}), "rescuing", "server_rescue",
             (RESCUED, ERROR), ("server_rescue", "server_unrescue")),
        _row("unrescue", frozenset({RESCUED}), "unrescuing", "server_unrescue", (ACTIVE, ERROR),
             ("server_unrescue",)),
        # The server stays as it is, whatever becomes of the image.
        _row("create_image", frozenset({ACTIVE, STOPPED, PAUSED, SUSPENDED}),
             "image_snapshot_pending", "server_create_image", (None, None),
             ("server_create_image",)),
        _row("create_backup", frozenset({ACTIVE, STOPPED, PAUSED, SUSPENDED}), "image_backup",
             "server_create_backup", (None, None), ("server_create_backup",)),
        _row("shelve", frozenset({ACTIVE, STOPPED, PAUSED, SUSPENDED}), "shelving", "server_shelve",
             (SHELVED, None), ("server_shelve", "server_start")),
        _row("shelve_offload", frozenset({SHELVED}), "shelving_offloading",
             "server_shelve_offload", (SHELVED_OFFLOADED, None), ("server_shelve_offload",)),
        _row("unshelve", frozenset({SHELVED, SHELVED_OFFLOADED}), "unshelving", "server_unshelve",
             (ACTIVE, None), ("server_unshelve", "server_start", "server_shelve_offload")),
        # What an operator asks for where a host is not as it should be; see conductor/drift.py.
        _row("converge", frozenset({ACTIVE, PAUSED, STOPPED}), None,
             "server_converge", (None, None), ("server_converge",)),
        _row("change_password", frozenset({ACTIVE}), "updating_password",
             "server_change_password", (None, None), ("server_change_password",)),
        # Nothing is shown of it, as upstream: the guest itself knows what comes of it.
        _row("trigger_crash_dump", frozenset({ACTIVE, PAUSED, RESCUED, RESIZED, ERROR}), None,
             "server_trigger_crash_dump", (None, None), ("server_trigger_crash_dump",)),
        # An administrator says which state it has; what runs goes on, and its end decides again.
        _row("reset_state", LIVING, None, None, (None, None), (), interrupts_all=True),
        _row("rename", LIVING, None, None, (None, None), (), interrupts_all=True),
    ]
)  # fmt: skip

# What a locked server does all the same; rename and reset_state, too, which begin no operation.
IGNORE_LOCK = frozenset({"create", "create_image", "create_backup"})

# Where two rows share an operation (resize and migrate), the first one stands for both.
BY_OPERATION = {row.operation: row for row in reversed(TABLE.values()) if row.operation}


def refusal(action: str, state: str, task_state: str | None) -> str | None:
    """Return why `action` is not allowed now, with the way out; None when it is allowed."""
    row = TABLE[action]
    if state not in row.allowed_in:
        allowed = " or ".join(sorted(row.allowed_in))
        return f"it is {state}, and this is allowed when it is {allowed}"
    if task_state and not row.interrupts_all and task_state not in row.interrupts:
        return f"it is busy ({task_state}). Wait until that has ended"
    return None
