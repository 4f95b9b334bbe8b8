"""A password inside a guest, set by its agent: the work of the module `guest_password`."""

from __future__ import annotations

import re
from typing import Any

from . import libvirt_connection, running_guest, work

# The agent that is not there must not hold up the run.
ANSWER_TIMEOUT_S = 15
# What the agents of Linux and Windows guests know as a user; an image's owner chose it.
USER = re.compile(r"[^\s:/\x00-\x1f]{1,64}")

ARGUMENT_SPEC: dict[str, Any] = {
    **running_guest.ARGUMENT_SPEC,
    "user": {"type": "str", "default": "root"},
    "password": {"type": "str", "required": True, "no_log": True},
}
RUNS = frozenset({"running"})


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have the guest's agent set the password of `user`; the module's work.

    Raises WorkError when there is no agent that answers; then nothing has changed.
    """
    user = params.get("user") or "root"
    if not USER.fullmatch(user):
        raise work.WorkError(f"Refused the user {user!r}: it is no user's name. Correct it.")
    with libvirt_connection.connected(params.get("uri")) as connection:
        domain = running_guest.find(connection, params, RUNS)
        doing = f"have the agent of the guest of server {params['server_id']} set a password"
        if not check_mode:
            with libvirt_connection.explained(doing):
                domain.agentSetResponseTimeout(ANSWER_TIMEOUT_S, 0)
                domain.setUserPassword(user, params["password"], 0)
    # Nobody can read whether it was the same before.
    diff = work.text_diff(f"password of {user}", "", "set anew\n")
    return {"changed": True, "diff": diff}
