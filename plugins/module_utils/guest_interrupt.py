"""A non-maskable interrupt to a guest: the work of the module `guest_interrupt`."""

from __future__ import annotations

from typing import Any

from . import libvirt_connection, running_guest, work

ARGUMENT_SPEC: dict[str, Any] = dict(running_guest.ARGUMENT_SPEC)
# A paused one takes it when it goes on.
STATES = frozenset({"running", "paused"})


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Interrupt the guest, which dumps its kernel's memory if it was set up to; the module's work.

    Raises WorkError for a guest that is off.
    """
    with libvirt_connection.connected(params.get("uri")) as connection:
        domain = running_guest.find(connection, params, STATES)
        if not check_mode:
            with libvirt_connection.explained(f"interrupt the guest of {params['server_id']}"):
                domain.injectNMI(0)
    diff = work.text_diff(f"guest of {params['server_id']}", "", "interrupted\n")
    return {"changed": True, "diff": diff}
