"""Servers of Debian's packages for tests and chaos, as processes of whoever starts them.

Each is in a folder of its own, runs as the unprivileged user that its package made (or as whoever
starts it), and is gone when the process that started it is.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError

# Found in no log, command line or file but the settings; tests look for it.
PASSWORD = "canary-4bd1e7"  # noqa: S105 -- of servers that listen on this machine, for a while
START_TIMEOUT_S = 60
_STARTER = ThreadPoolExecutor(1, "server-starter")


@dataclass
class Server:
    """A server process that can be killed and started again on the same data."""

    user: str
    command: Sequence[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    # What ends it quickly, and in peace.
    stop_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # It ends with the thread that started it, and that may be one that soon ends.
        _STARTER.submit(self._start).result()

    def _start(self) -> None:
        log = self.folder / "log"
        environment = {"HOME": str(self.folder), "LC_ALL": "C.UTF-8", **self.environment}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*as_user(self.user), *self._with_us(), *self.command],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=self.folder,
                env={**os.environ, **environment},
                start_new_session=True,
            )  # fmt: skip

    def _with_us(self) -> list[str]:
        """What ends the server when the process that wanted it is killed."""
        return ["setpriv", "--pdeathsig", self.stop_signal.name.removeprefix("SIG")]

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as a power failure would."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def alive(self) -> bool:
        """Return True while it runs. Raises LabError with what it said when it has ended."""
        if self.process is None:
            raise LabError(f"{self.command[0]} was not started.")
        if self.process.poll() is not None:
            said = (self.folder / "log").read_text(errors="replace")[-2000:]
            raise LabError(f"{self.command[0]} ended with {self.process.returncode}: {said}")
        return True


def own_folder(user: str, name: str) -> Path:
    """Return a new folder, short enough for sockets, that belongs to `user`."""
    folder = Path(tempfile.mkdtemp(prefix=f"nvt-{name}-", dir="/dev/shm"))
    if os.geteuid() == 0:
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    return folder


def as_user(user: str) -> list[str]:
    if os.geteuid() != 0:
        return []
    entry = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]


def run_as(user: str, folder: Path, *command: str) -> None:
    done = subprocess.run(
        [*as_user(user), *command], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if done.returncode != 0:
        raise LabError(f"{command[0]} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")


def any_free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
