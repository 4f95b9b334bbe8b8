"""What Python has no names for: death signals, subreapers, and all descendants of a process."""

import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
# A process that was killed is gone after this, or will never be.
END_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends. Forks don't inherit it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """Set what `ps -o comm` shows, for this process and its forks; 15 characters count."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def _prctl(option: int, value: object) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def descendants(root: int) -> list[int]:
    """Return all processes below `root`, which is not among them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _parent(process: Path) -> int | None:
    try:
        # The name may have spaces and brackets in it; after its last bracket come state and parent.
        state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state == "Z" else int(parent)


def is_shared_connection(pid: int) -> bool:
    """Whether it is ssh's connection for all runs on a host, whichever of them opened it."""
    try:
        return b"[mux]" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def end_descendants() -> None:
    """Kill all that this process has started, at any depth, and wait until it is gone.

    What they start meanwhile is found at the next look, for orphans come to us (adopt_orphans).
    """
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        left = [pid for pid in descendants(os.getpid()) if not is_shared_connection(pid)]
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        reap()
        time.sleep(0.005)


def reap() -> list[tuple[int, int]]:
    """Take note of the children that have ended: pids and wait statuses."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))
