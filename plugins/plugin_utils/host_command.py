"""Run a shell command on the host over the play's connection, and have what it prints as bytes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any


def runner(connection: Any) -> Callable[[str], tuple[int, bytes, bytes]]:
    """Return a function that runs a command and returns its (code, stdout, stderr).

    Ansible's own would decode what is printed, which a disk's bytes don't survive.
    """

    def run(command: str) -> tuple[int, bytes, bytes]:
        wrapped = f"/bin/sh -c {shlex.quote(command)}"
        if connection.become:
            wrapped = connection.become.build_become_command(wrapped, connection._shell)
        # With input, or it asks for a terminal, and logins on one have things to say.
        code, printed, errors = connection.exec_command(wrapped, in_data=b"\n", sudoable=False)
        return int(code), bytes(printed), bytes(errors)

    return run
