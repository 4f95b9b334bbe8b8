"""What a killed worker leaves behind: playbooks that still run, and folders with secrets in them.

Each process keeps its runs in a folder of its own, `<runs_dir>/<name>/`, and holds a lock on
`<runs_dir>/<name>.lock` for as long as it lives; the kernel drops it with the process, SIGKILL
included. A folder whose lock is free is nobody's any more: the processes that bear its mark are
ended, and it is removed. Fencing on the hosts, not this, is what makes a second run safe.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import time
from pathlib import Path

# In the environment of every process of a run; the value is the run's folder.
MARK = "NOVELLA_RUN"
# A killed process dies within milliseconds, unless the kernel holds it up.
DEATH_S = 5.0
POLL_S = 0.005


class OwnFolder:
    """The folder of this process's runs. `close` gives up the lock; the end of the process too."""

    def __init__(self, runs_dir: Path) -> None:
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self.path = runs_dir / name
        self._lock_path = runs_dir / f"{name}.lock"
        # The lock comes first: a folder without a held lock looks dead.
        self._lock = os.open(self._lock_path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path.mkdir(mode=0o700)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)


def remove_dead(runs_dir: Path) -> int:
    """End and remove the runs of every worker that is dead; return how many workers that were."""
    dead = 0
    for lock_path in runs_dir.glob("*.lock"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), lock_path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = lock_path.with_suffix("")
            end_processes(folder)
            shutil.rmtree(folder, ignore_errors=True)
            lock_path.unlink(missing_ok=True)
            dead += 1
    return dead


def end_processes(folder: Path) -> None:
    """Kill the processes of the run whose folder this is, or of all runs within it; no others.

    Ansible's workers and their modules are sessions of their own, which ending its process group
    does not reach. Returns when none is left, those included that were started while we looked;
    after DEATH_S in any case.
    """
    until = time.monotonic() + DEATH_S
    while _kill_all(f"{MARK}={folder}") and time.monotonic() < until:
        time.sleep(POLL_S)


def _kill_all(mark: str) -> int:
    """Kill the processes with `mark`; return how many there were."""
    killed = 0
    for entry in Path("/proc").iterdir():
        # Processes end while we look, and others' environments are closed to us.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and _bears(entry, mark) and not _is_shared(entry):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


def _bears(process: Path, mark: str) -> bool:
    variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
    return any(text == mark or text.startswith(f"{mark}/") for text in variables)


def _is_shared(process: Path) -> bool:
    """Whether it is ssh's connection for all runs on a host, whichever of them opened it."""
    return b"[mux]" in (process / "cmdline").read_bytes()
