"""The fork server's process: it imports Ansible, listens, and forks for each run.

It reads nothing of what a client sends (see job.py), so nothing of one run can reach another. When
what it imported has changed on disk it starts itself anew in the same process: its socket stays
open, and who comes meanwhile waits or runs plainly.
"""

import gc
import logging
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from controller import fork_server_record
from controller.errors import Conflict, Unavailable
from controller.fork_server_record import ForkServerRecord
from controller.runner.warm import (
    copies,
    fingerprint,
    job,
    parsed,
    preload,
    processes,
    templates,
    waiting,
)
from controller.weight import settle

log = logging.getLogger(__name__)

# How often it looks by itself whether it is stale; each run looks too.
LOOK_EVERY_S = 5.0
BACKLOG = 128
# The number of the listening socket, across its own restart.
SOCKET_VARIABLE = "NOVELLA_FORK_SERVER_SOCKET"
# The kernel's bound of a socket's path.
ADDRESS_MAX = 107


def run(address: Path, environment: dict[str, str], project_dir: Path, record_dir: Path) -> int:
    """Serve at `address` until SIGTERM or SIGINT; return 0.

    `environment` is what the runs have in common. `address` lies in a folder that is ours alone.
    In `record_dir` it says what it does, for the metrics.
    Raises Conflict when another one serves there, Unavailable when nobody can.
    """
    started_with = dict(os.environ)
    renewed = SOCKET_VARIABLE in os.environ
    listening = _listen(address)
    tally = Tally(fork_server_record.begin(record_dir, renewed=renewed), record_dir)
    began = time.time_ns()
    for left in address.parent.glob("server-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="server-", dir=address.parent))
    os.chdir(project_dir)
    warm = _warmed(environment, project_dir, folder)
    log.info("the fork server is ready after %.2f s", (time.time_ns() - began) / 1e9)
    stale = _Server(listening, warm, tally).run(warm.fingerprint.changed_since(began))
    shutil.rmtree(folder, ignore_errors=True)
    if stale is not None:
        log.info("%s has changed: the fork server starts anew", stale)
        os.set_inheritable(listening.fileno(), True)
        _anew({**started_with, SOCKET_VARIABLE: str(listening.fileno())})
    address.unlink(missing_ok=True)
    return 0


def _anew(environment: dict[str, str]) -> NoReturn:
    os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 -- ourselves


def _warmed(environment: dict[str, str], project_dir: Path, folder: Path) -> job.Warm:
    """Import all that runs need, and return what they are to know of it."""
    placeholders = {name: str(folder / name) for name in ("HOME", "ANSIBLE_HOME")}
    own = {
        **environment,
        **placeholders,
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "AWX_ISOLATED_DATA_DIR": str(folder),
    }
    preload.set_environment(own)
    preload.import_ansible(project_dir / "collections")
    preload.build_archives(project_dir / "collections")
    copies.spare()
    waiting.until_a_task_ends()
    parsed.keep(project_dir)
    templates.keep()
    templates.compile_ahead(project_dir)
    return job.Warm(
        environment=own,
        fingerprint=fingerprint.take(project_dir, environment["ANSIBLE_CONFIG"]),
        placeholders={path: preload.constants_with(path) for path in placeholders.values()},
        archives=preload.archive_folder(),
    )


def _listen(address: Path) -> socket.socket:
    if (inherited := os.environ.pop(SOCKET_VARIABLE, None)) is not None:
        listening = socket.socket(fileno=int(inherited))
        os.set_inheritable(listening.fileno(), False)
        return listening
    if len(os.fsencode(address)) > ADDRESS_MAX:
        raise Unavailable(
            f"{address} is too long for a socket. Set `runs_dir` to a shorter path, or "
            "`fork_server = false`."
        )
    listening = socket.socket(socket.AF_UNIX)
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(address)) == 0:
            raise Conflict(f"A fork server serves at {address} already. Stop it first.")
    address.unlink(missing_ok=True)
    listening.bind(str(address))
    address.chmod(0o600)
    listening.listen(BACKLOG)
    return listening


@dataclass(frozen=True, slots=True)
class Tally:
    """What the server counts of itself, and where it says so."""

    record: ForkServerRecord
    folder: Path

    def count(self) -> None:
        """Count a fork."""
        self.record.forked += 1
        self.record.write(self.folder)


class _Server:
    """Accepts and forks. `run` returns what has changed on disk, None when it was told to stop."""

    def __init__(self, listening: socket.socket, warm: job.Warm, tally: Tally) -> None:
        self._listening, self._warm, self._tally = listening, warm, tally
        self._stopping = False
        self._stale: str | None = None

    def run(self, unsure: str | None) -> str | None:
        """Serve until told to stop, or until what was imported is stale.

        `unsure` names what changed while it was imported: who knows which of the two was read.
        """
        self._stale = unsure
        # What was there before a fork is never collected in it: its pages stay shared.
        settle()
        gc.disable()
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        self._listening.setblocking(False)
        poll = select.poll()
        poll.register(self._listening, select.POLLIN)
        poll.register(reading, select.POLLIN)
        while not self._stopping and self._stale is None:
            ready = {number for number, _ in poll.poll(LOOK_EVERY_S * 1000)}
            if reading in ready:
                os.read(reading, 4096)
                self._reap()
            if self._listening.fileno() in ready:
                self._accept()
            if not ready:
                self._stale = self._warm.fingerprint.changed()
        return None if self._stopping else self._stale

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _reap(self) -> None:
        for _pid, status in processes.reap():
            if os.waitstatus_to_exitcode(status) == job.STALE:
                self._stale = self._warm.fingerprint.changed()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        with connection:
            if os.fork() == 0:
                self._monitor(connection)
            # Behind the fork: no run waits for it.
            self._tally.count()

    def _monitor(self, connection: socket.socket) -> None:
        """Be the monitor of one client; never returns."""
        status = job.SERVED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A stop is for the server; the run goes on for as long as its client.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._listening.close()
            os.setsid()
            processes.set_name("novella-run")
            status = job.serve(connection, self._warm)
        except Exception:
            log.exception("a run was not served")
        finally:
            os._exit(status)
