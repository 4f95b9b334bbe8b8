"""Whether a supervised service serves yet, and in whose words it fails.

A supervisor only tells that it starts the program, again and again if need be. A program serves
when it has its socket and has become the user that it is to run as.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from dataclasses import dataclass

from . import service_s6, service_units, work

POLL_S = 0.02
# One that dies is started again after a second; one that lives may be slow to start.
DEAD_TIMEOUT_S = 3.0
SLOW_TIMEOUT_S = 30.0
TRIAL_S = 2.0
_WORDS_BYTES = 1500


@dataclass(frozen=True)
class Listener:
    """What `service` serves: `kind` is tcp, udp, udp6 or raw6, whose port is a protocol.

    `user` is whom it runs as in the end.
    `pid` is its process, as far as somebody has just looked.
    """

    service: service_units.Service
    kind: str
    port: int
    user: str
    pid: int | None = None


def wait(listener: Listener, backend: str, where: str) -> int:
    """Return the process of `listener` once it serves.

    Raises WorkError, with the program's own words, if it doesn't.
    `where` is for the message: what has no service then.
    """
    if listener.pid and serves(listener.pid, listener):
        return listener.pid
    began = time.monotonic()
    while True:
        pid = service_units.status(listener.service.name, backend)["pid"]
        if pid and serves(pid, listener):
            return int(pid)
        if time.monotonic() - began >= (SLOW_TIMEOUT_S if pid else DEAD_TIMEOUT_S):
            break
        time.sleep(POLL_S)
    program = os.path.basename(listener.service.argv[0])
    state = "runs without having its socket" if pid else "ends as soon as it is started"
    raise work.WorkError(
        f"Cannot serve {where}: {listener.service.description} ({program}, {listener.kind} port "
        f"{listener.port}) {state}. Started once more, it says: {_own_words(listener.service)}. "
        "Mend that on the host and run this again."
    )


def serves(pid: int, listener: Listener) -> bool:
    """Whether the process has a socket on the listener's port, and is its user by now."""
    try:
        is_user = _user_of(pid) == pwd.getpwnam(listener.user).pw_uid
        return is_user and not _sockets(pid, listener).isdisjoint(_open_files(pid))
    except (OSError, KeyError):
        # It ended meanwhile, or nobody has that name.
        return False


def _user_of(pid: int) -> int:
    # Not the owner of /proc/<pid>, which stays root for a process that gave its rights up.
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next(int(line.split()[2]) for line in file if line.startswith("Uid:"))


def _sockets(pid: int, listener: Listener) -> set[str]:
    """The sockets that listen on the port in the process's network namespace, as links to them."""
    listening = {"tcp": "0A", "udp": "07", "udp6": "07", "raw6": "07"}[listener.kind]
    with open(f"/proc/{pid}/net/{listener.kind}", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return {
        f"socket:[{row[9]}]"
        for row in rows
        if row[1].endswith(f":{listener.port:04X}") and row[3] == listening
    }


def _open_files(pid: int) -> set[str]:
    found = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return found


def _own_words(service: service_units.Service) -> str:
    """What the program says when it is started for this alone: where a log goes is the host's."""
    argv = ["timeout", "--kill-after=1", str(TRIAL_S), *service_s6.command(service)]
    try:
        work.run_command(argv)
    except work.WorkError as error:
        said = str(error.details.get("stderr") or "").strip()
        return repr(said[-_WORDS_BYTES:]) if said else "nothing"
    return "nothing"
