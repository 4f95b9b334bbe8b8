"""Find a host's processes. The kernel is asked each time, so no pid file can be stale."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lab.waiting import wait_until

NETNS_DIR = Path("/run/netns")


def netns_exists(netns: str) -> bool:
    """Return whether a network namespace of this name is registered."""
    return (NETNS_DIR / netns).exists()


def pids_in_netns(netns: str) -> list[int]:
    """Return the processes (ids as seen here) in a named network namespace."""
    try:
        wanted = (NETNS_DIR / netns).stat()
    except FileNotFoundError:
        return []
    return [pid for pid in _all_pids() if _is_in(pid, wanted)]


def host_init_pid(netns: str) -> int | None:
    """Return the pid, as seen here, of pid 1 of the host in `netns`; None when it is not running.

    It is the one process there that is 1 in a pid namespace directly below ours, so an init of a
    container inside the host is not taken for it.
    """
    for pid in pids_in_netns(netns):
        inner = _inner_pids(pid)
        if len(inner) == 2 and inner[1] == 1:
            return pid
    return None


def kill_netns(netns: str) -> None:
    """Kill every process of a host and return when none is left, not even as a zombie.

    SIGKILL of its pid 1 makes the kernel kill all of its pid namespace, wherever they moved.
    """
    init = host_init_pid(netns)
    # Its parent, unshare, ends by itself once it has reaped it. Killed first, it would leave a
    # zombie to the machine's init, which takes its time.
    spared = _parent_pid(init) if init is not None else None
    if init is not None:
        _kill(init)

    def none_left() -> bool:
        pids = pids_in_netns(netns)
        for pid in pids:
            if pid != spared:
                _kill(pid)
        return not pids

    wait_until(none_left, what=f"all processes in {netns} ended", timeout_s=20)


def _all_pids() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def _is_in(pid: int, wanted: os.stat_result) -> bool:
    try:
        found = Path(f"/proc/{pid}/ns/net").stat()
    except OSError:  # it ended meanwhile, or is a zombie that has no namespace any more
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)


def _inner_pids(pid: int) -> list[int]:
    return [int(word) for word in _status_field(pid, "NSpid")]


def _parent_pid(pid: int) -> int | None:
    words = _status_field(pid, "PPid")
    return int(words[0]) if words else None


def _status_field(pid: int, name: str) -> list[str]:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return []
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1:]
    return []


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, signal.SIGKILL)
