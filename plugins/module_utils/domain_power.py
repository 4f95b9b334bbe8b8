"""Starting, stopping and removing a domain, waiting until libvirt says that it is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import domain_memory, libvirt_connection, work
from .libvirt_connection import explained

POLL_S = 0.05
TERMINATE_TRIES = 3
OFF_STATES = frozenset({"stopped", "crashed", "absent"})
QEMU_LOGS = "/var/log/libvirt/qemu"
_LOG_TAIL_BYTES = 1500


@dataclass(frozen=True)
class Outcome:
    state: str  # one of libvirt_connection.STATE_NAMES' values, or "absent"
    changed: bool


def state_of(domain: Any | None) -> str:
    return "absent" if domain is None else libvirt_connection.state_name(domain)


def bring_to(state: str, domain: Any | None, params: dict[str, Any], check_mode: bool) -> Outcome:
    """Bring `domain` into the module's `state` (not absent); what changed, and its state then.

    Raises WorkError when it does not get there in the time that `params` gives it.
    """
    before = state_of(domain)
    reached, act = _plan(state, domain, before, params.get("start_from", "disk"))
    if act is None or check_mode:
        return Outcome(reached, changed=act is not None)
    act(domain, params)
    return Outcome(state_of(domain), changed=True)


def _plan(
    state: str, domain: Any | None, before: str, start_from: str
) -> tuple[str, Callable[[Any, dict[str, Any]], None] | None]:
    """What the state will be, and the function that gets there; None when it is so already."""
    if state in ("defined", "plugged"):
        return ("stopped" if before == "absent" else before), None
    if state == "paused":
        return domain_memory.plan_pause(domain, before)
    if state == "saved":
        return domain_memory.plan_save(domain, before, OFF_STATES)
    if state == "running" and start_from == "memory":
        return domain_memory.plan_going_on(domain, before, OFF_STATES)
    if state == "running":
        return "running", None if before == "running" else start
    if state == "restarted":
        return "running", restart
    # Stopped or destroyed: a domain that is not there does not run either.
    if before in OFF_STATES:
        forgets = state == "destroyed" and domain_memory.is_saved(domain)
        return before, domain_memory.discard if forgets else None
    return "stopped", stop if state == "stopped" else _destroy_step


def start(domain: Any, params: dict[str, Any]) -> None:
    """Start, resume or wake `domain`, and wait until it runs."""
    timeout_s = params["start_timeout_s"]
    before = state_of(domain)
    if before == "shutting down":
        _wait_for(domain, OFF_STATES, params["shutdown_timeout_s"])
        before = state_of(domain)
    with explained(f"start domain {domain.name()}"):
        if before == "paused":
            domain.resume()
        elif before == "suspended":
            domain.pMWakeup(0)
        elif before != "running":
            domain_memory.start_from_disk(domain)
    # One that went off again will not come by itself.
    _wait_for(domain, {"running", *OFF_STATES}, timeout_s)
    reached = state_of(domain)
    if reached != "running":
        raise work.WorkError(
            f"Domain {domain.name()} did not come to run within {timeout_s} s; it is {reached}. "
            f"Its log ends: {_log_tail(domain.name())}"
        )


def stop(domain: Any, params: dict[str, Any]) -> None:
    """Press the power button, again at an interval; cut `domain` off when its time is up.

    `shutdown_timeout_s` 0 cuts it off at once.
    """
    import libvirt

    deadline = time.monotonic() + params["shutdown_timeout_s"]
    while (left_s := deadline - time.monotonic()) > 0:
        if state_of(domain) == "paused":
            # A paused guest hears no button.
            break
        try:
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
                break  # it went off meanwhile
            if error.get_error_code() not in (
                libvirt.VIR_ERR_NO_SUPPORT,
                libvirt.VIR_ERR_INVALID_ARG,
            ):
                raise work.WorkError(
                    f"Cannot shut domain {domain.name()} down: {error.get_error_message()}."
                ) from error
            # Drivers other than QEMU's know one way only.
            domain.shutdown()
        if _wait_for(domain, OFF_STATES, min(left_s, params["shutdown_interval_s"])):
            return
    destroy(domain)


def restart(domain: Any, params: dict[str, Any]) -> None:
    """Soft reboot: shut the guest down, then start it; it is cut off when its time is up."""
    if state_of(domain) not in OFF_STATES:
        stop(domain, params)
    start(domain, params)


def _destroy_step(domain: Any, _params: dict[str, Any]) -> None:
    destroy(domain)


def destroy(domain: Any) -> None:
    """End the domain's process and wait until it is gone; nothing of its data is touched."""
    import libvirt

    for attempt in range(1, TERMINATE_TRIES + 1):
        try:
            domain.destroy()
            return
        except libvirt.libvirtError as error:
            if error.get_error_code() in (
                libvirt.VIR_ERR_OPERATION_INVALID,
                libvirt.VIR_ERR_NO_DOMAIN,
            ):
                return  # it runs no more
            # A process in the middle of disk I/O outlives SIGKILL for a while; libvirt gives up
            # after 15 s, and the next try mostly succeeds.
            busy = error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR
            if busy and attempt < TERMINATE_TRIES:
                continue
            raise work.WorkError(
                f"Cannot end domain {domain.name()} after {attempt} tries: "
                f"{error.get_error_message()}. Look at the host's disks and kernel log.",
                libvirt_code=error.get_error_code(),
            ) from error


def remove(connection: Any, domain_id: str, keep_nvram: bool) -> None:
    """End and undefine the domain; again if it came back meanwhile. One that is away is fine."""
    for _ in range(TERMINATE_TRIES):
        domain = libvirt_connection.lookup(connection, domain_id)
        if domain is None:
            return
        destroy(domain)
        _undefine(domain, keep_nvram)
    if libvirt_connection.lookup(connection, domain_id) is not None:
        raise work.WorkError(
            f"Cannot remove domain {domain_id}: it came back {TERMINATE_TRIES} times. Something "
            "else on this host starts it; find that first."
        )


def _undefine(domain: Any, keep_nvram: bool) -> None:
    import libvirt

    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    )
    nvram = (
        libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM if keep_nvram else libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )
    try:
        domain.undefineFlags(flags | nvram | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        # Transient domains are gone with their process.
        if code in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            return
        if code not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise work.WorkError(
                f"Cannot undefine domain {domain.name()}: {error.get_error_message()}.",
                libvirt_code=code,
            ) from error
        # Only QEMU's driver knows of NVRAM and checkpoints.
        with explained(f"undefine domain {domain.name()}"):
            domain.undefineFlags(flags)


def _wait_for(domain: Any, states: Any, timeout_s: float) -> bool:
    """Return whether `domain` came into one of `states` within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while state_of(domain) not in states:
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def _log_tail(name: str) -> str:
    """The last words of QEMU, for operators."""
    text = work.read_file(f"{QEMU_LOGS}/{name}.log") or "(no log)"
    return text[-_LOG_TAIL_BYTES:].strip()
