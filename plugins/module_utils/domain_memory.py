"""A guest's memory: held still, put into a file of libvirt's, gone on from, thrown away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from . import work
from .libvirt_connection import explained

Act = Callable[[Any, dict[str, Any]], None]

AGENT_TIMEOUT_S = 5


def is_saved(domain: Any | None) -> bool:
    """Whether libvirt would go on from a file when it starts `domain`."""
    if domain is None:
        return False
    with explained(f"look for the saved memory of domain {domain.name()}"):
        return bool(domain.hasManagedSaveImage(0))


def plan_pause(domain: Any, before: str) -> tuple[str, Act | None]:
    """What the state will be, and the function that gets there; None when it is so already.

    Raises WorkError for a guest that isn't there to be held: it would not be what it was.
    """
    if before == "paused":
        return before, None
    if before != "running":
        raise _nothing_there(domain, "pause", before)
    return "paused", pause


def plan_save(domain: Any, before: str, off_states: frozenset[str]) -> tuple[str, Act | None]:
    """As plan_pause, for a guest that is to be off with its memory in a file."""
    if before not in off_states:
        return "stopped", save
    if is_saved(domain):
        return before, None
    raise _nothing_there(domain, "save the memory of", before)


def plan_going_on(domain: Any, before: str, off_states: frozenset[str]) -> tuple[str, Act | None]:
    """As plan_pause, for a guest that is to run from where it was held or saved."""
    if before == "running":
        return before, None
    if before == "paused":
        return "running", resume
    if before in off_states and is_saved(domain):
        return "running", restore
    raise _nothing_there(domain, "go on with", before)


def pause(domain: Any, _params: dict[str, Any]) -> None:
    with explained(f"pause domain {domain.name()}"):
        domain.suspend()


def resume(domain: Any, _params: dict[str, Any]) -> None:
    with explained(f"go on with domain {domain.name()}"):
        domain.resume()
    _set_clock(domain)


def save(domain: Any, _params: dict[str, Any]) -> None:
    """Put the memory into a file, with which the guest ends. When that fails it goes on running."""
    import libvirt

    with explained(f"save the memory of domain {domain.name()}"):
        # Whoever paused it behind our back: a server that is resumed runs.
        domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)


def restore(domain: Any, _params: dict[str, Any]) -> None:
    """Start from the file, which libvirt removes then."""
    with explained(f"start domain {domain.name()} from its saved memory"):
        domain.create()
    _set_clock(domain)


def discard(domain: Any, _params: dict[str, Any] | None = None) -> None:
    with explained(f"remove the saved memory of domain {domain.name()}"):
        domain.managedSaveRemove(0)


def start_from_disk(domain: Any) -> None:
    """Start `domain` as if it had just been switched on, whatever memory of it is saved.

    Memory from before a rebuild or a reset of the state would write its caches over the disk.
    """
    import libvirt

    try:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_FORCE_BOOT)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        # Drivers other than QEMU's know no such flag.
        if is_saved(domain):
            discard(domain)
        domain.create()


def _set_clock(domain: Any) -> None:
    """Tell the guest the time through its agent, if it has one: its clock stood still."""
    import libvirt

    with contextlib.suppress(libvirt.libvirtError):
        domain.agentSetResponseTimeout(AGENT_TIMEOUT_S, 0)
        domain.setTime({"seconds": int(time.time()), "nseconds": 0})


def _nothing_there(domain: Any | None, what: str, before: str) -> work.WorkError:
    name = "of the server" if domain is None else domain.name()
    return work.WorkError(
        f"Cannot {what} domain {name}: it is {before}, and no memory of it is saved. A hard reboot "
        "starts it from its disks."
    )
