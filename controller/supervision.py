"""`novella serve`: the controller's processes, each started again when it ends.

It imports next to nothing, for it lives as long as they do.
"""

import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

log = logging.getLogger(__name__)

# A process that ended is started again after this, doubled for each quick end, up to the bound.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
STOP_S = 60.0


@dataclass(slots=True)
class Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S

    def start(self) -> None:
        # setpriv: a supervisor that is killed takes its processes with it, so that the next one
        # finds the port and the worker's lock free. At once: an API that ends its connections in
        # peace would keep the port for half a minute.
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.command])
        self.started_at = time.monotonic()
        log.info("%s started, pid %d", self.name, self.process.pid)

    def look(self) -> None:
        """Note an end, and start again once the pause is over."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            if now - self.started_at > STEADY_S:
                self.pause_s = FIRST_PAUSE_S
            log.warning(
                "%s ended with %s; starting it again in %.1f s",
                self.name, self.process.returncode, self.pause_s,
            )  # fmt: skip
            self.process = None
            self.start_at = now + self.pause_s
            self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)
        if self.process is None and now >= self.start_at:
            self.start()


def supervise(commands: Mapping[str, Sequence[str]], run_dir: Path) -> int:
    """Run `commands` until SIGTERM or SIGINT, then stop them and return 0."""
    run_dir.mkdir(parents=True, exist_ok=True)
    children = [Child(name, command) for name, command in commands.items()]
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    # Every signal also writes a byte here, so that the loop looks at once when a child ends.
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    while not stopping:
        for child in children:
            child.look()
        if select.select([reading], [], [], 1.0)[0]:
            os.read(reading, 4096)
    _stop([child.process for child in children if child.process])
    return 0


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_S
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("pid %d did not end within %.0f s; killed", process.pid, STOP_S)
            process.kill()
            process.wait()
