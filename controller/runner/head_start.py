"""Start the host's Python while the play that needs it is still being loaded.

A quarter of a second passes from the start of ssh until the first step of `apply`: the host's
Python starts, and imports. The play takes as long to load and to template. So the worker starts ssh
as soon as it knows the run, over the connection that is open already, and leaves both its ends in
the run's folder, where the play finds them (plugins/plugin_utils/head_start.py). The host has no
task before the play sends one. A run that does without it only ends it.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from controller import metrics, ssh
from controller.runner import bounds, leftovers
from controller.runner.requests import Run
from controller.runner.run_folder import INTERPRETER, RunFolder
from controller.ssh import HostAccess

VARIABLE = "NOVELLA_HEAD_START"
# The bound of plugins/plugin_utils/module_keeper.py, which a FIFO has to take before it is read.
PROGRAM_MAX_BYTES = 32 << 10
DEFAULT_STATE_PATH = "/var/lib/novella"
# As kept_modules.py starts it; and it says how it ended, for who reads that is not its parent.
_REMOTE = (
    "{python} -c 'import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))' {length};"
    r" printf '\nended %d\n' $?"
)
_UTILS = "ansible_collections.novella.cloud.plugins.module_utils"
# What every run of `apply` imports, and what takes long of the rest.
IMPORTS = ("ansible.module_utils.basic", f"{_UTILS}.apply", f"{_UTILS}.libvirt_domain", "libvirt")
_KEY = re.compile(r"[0-9a-f]{64}")


class HeadStarts:
    """Gives runs their head start. Threads may share it.

    It learns from each run which module archive hosts have. Until then, and for the first run after
    an upgrade, there is none.
    """

    def __init__(self, project_dir: Path) -> None:
        self._keeper = project_dir / "plugins" / "plugin_utils" / "module_keeper.py"
        self._key: str | None = None

    @contextlib.contextmanager
    def given(self, run: Run, folder: RunFolder) -> Iterator[None]:
        """Have the host's Python ready for the run within the block, where that can be done."""
        if run.check or len(run.hosts) != 1 or not run.arguments.get("servers"):
            yield
            return
        folder.head_start.mkdir(mode=0o700)
        try:
            with contextlib.ExitStack() as stack:
                (host,) = run.hosts
                if self._key and _is_usual(host) and folder.control_path(host).exists():
                    # It saves time, and nothing else depends on it.
                    with contextlib.suppress(OSError):
                        stack.enter_context(self._started(host, folder, self._key))
                yield
        finally:
            self._learn(folder.head_start / "key")

    def _learn(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if _KEY.fullmatch(text := path.read_text()):
                self._key = text

    @contextlib.contextmanager
    def _started(self, host: HostAccess, folder: RunFolder, key: str) -> Iterator[None]:
        program = self._keeper.read_bytes()
        if len(program) > PROGRAM_MAX_BYTES:
            raise OSError("the program is too long for a FIFO")
        state_path = host.variables.get("compute_state_path", DEFAULT_STATE_PATH)
        about = {"interpreter": INTERPRETER, "folder": f"{state_path}/modules", "key": key}
        head = {"folder": about["folder"], "key": key, "imports": IMPORTS}
        remote = _REMOTE.format(python=INTERPRETER, length=len(program))
        place = folder.head_start
        from_us, task = _fifo(place / "in")
        said, to_us = _fifo(place / "out")
        # Ours stay open, so that neither side finds the other gone before the play has come.
        with task, said:
            os.write(task.fileno(), program + json.dumps(head).encode() + b"\n")
            with from_us, to_us, (place / "err").open("wb") as errors:
                process = subprocess.Popen(
                    _command(host, folder, remote),
                    stdin=from_us, stdout=to_us, stderr=errors,
                    env={"PATH": os.defpath, leftovers.MARK: str(folder.path)},
                )  # fmt: skip
            try:
                # The last: who finds it finds all.
                (place / "about").write_text(json.dumps(about))
                yield
            finally:
                process.kill()
                process.wait()
                # Who uses it takes its name away.
                used = not (place / "in").exists()
                metrics.HEAD_STARTS.labels("yes" if used else "no").inc()


def _is_usual(host: HostAccess) -> bool:
    """Whether plays reach it as we do: its operator set nothing of Ansible's."""
    return not any(name.startswith("ansible_") for name in host.variables)


def _fifo(path: Path) -> tuple[BinaryIO, BinaryIO]:
    """Make a FIFO; return its ends to read from and to write to."""
    os.mkfifo(path, 0o600)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(path, os.O_WRONLY)
    os.set_blocking(reading, True)
    return os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)


def _command(host: HostAccess, folder: RunFolder, remote: str) -> list[str]:
    """Return what has `remote` run as root on the host, bounded, and ends with who started it."""
    words = ["/bin/sh", "-c", shlex.quote(remote)]
    if host.user != "root":
        words = ["sudo", "-H", "-n", *words]
    command = ssh.command(host, folder.known_hosts, *words)
    shared = ["-o", "ControlMaster=no", "-o", f"ControlPath={folder.control_path(host)}"]
    ending = ["setpriv", "--pdeathsig", "KILL", "--"]
    return [*ending, *bounds.command(), *command[:1], *shared, *command[1:]]
