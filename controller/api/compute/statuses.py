"""A server's status in the compute API: its state, unless its task says more. As OpenStack Nova."""

from controller.states import (
    ACTIVE,
    BUILDING,
    DELETED,
    ERROR,
    PAUSED,
    RESCUED,
    RESIZED,
    SHELVED,
    SHELVED_OFFLOADED,
    SOFT_DELETED,
    STOPPED,
    SUSPENDED,
)

BY_STATE = {
    BUILDING: "BUILD",
    ACTIVE: "ACTIVE",
    PAUSED: "PAUSED",
    SUSPENDED: "SUSPENDED",
    STOPPED: "SHUTOFF",
    RESCUED: "RESCUE",
    RESIZED: "VERIFY_RESIZE",
    SHELVED: "SHELVED",
    SHELVED_OFFLOADED: "SHELVED_OFFLOADED",
    SOFT_DELETED: "SOFT_DELETED",
    ERROR: "ERROR",
    DELETED: "DELETED",
}
_REBUILDING = ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")
_RESIZING = ("resize_prep", "resize_migrating", "resize_migrated", "resize_finish")
BY_TASK = {
    (ACTIVE, "rebooting"): "REBOOT",
    (ACTIVE, "rebooting_hard"): "HARD_REBOOT",
    (ACTIVE, "updating_password"): "PASSWORD",
    (ACTIVE, "migrating"): "MIGRATING",
    (PAUSED, "migrating"): "MIGRATING",
    (RESIZED, "resize_reverting"): "REVERT_RESIZE",
    **{(state, task): "REBUILD" for state in (ACTIVE, STOPPED, ERROR) for task in _REBUILDING},
    **{(state, task): "RESIZE" for state in (ACTIVE, STOPPED) for task in _RESIZING},
}
# No server has it, and a filter may name it all the same.
UNKNOWN = "UNKNOWN"


def of(state: str, task_state: str | None) -> str:
    """Return the status of a server in this state that this is being done to."""
    return BY_TASK.get((state, task_state or "")) or BY_STATE.get(state, UNKNOWN)


def states_of(status: str) -> list[tuple[str, str | None]]:
    """Return the (state, task state) pairs that are shown as `status`; none if it is no status.

    A task state of None stands for any: a filter by ACTIVE finds what is being rebooted too.
    """
    found: list[tuple[str, str | None]] = [
        (state, None) for state, name in BY_STATE.items() if name == status
    ]
    return found + [pair for pair, name in BY_TASK.items() if name == status]
