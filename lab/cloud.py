"""A whole cloud on this machine: a lab, and a controller that has its hosts.

The demo, the integration tests and the benchmarks are built from it. Everything lies in one folder:
`novella.toml`, `clouds.yaml`, `controller/` (the controller's state), `lab/` and `novella.log`.
Runs the `novella` command, as a user would; imports nothing of the controller.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import hosts
from lab.access import known_hosts_path, operator_key
from lab.errors import LabError
from lab.record import load_existing
from lab.waiting import wait_until

FIRST_PORT = 8774
METRICS_ABOVE = 1000
# Bounds what hangs; a machine that much else loads takes a minute.
START_TIMEOUT_S = 180


@dataclass(frozen=True)
class Cloud:
    """A cloud's folder. Nothing is kept in memory: any process can go on from what is there."""

    directory: Path

    @property
    def config(self) -> Path:
        return self.directory / "novella.toml"

    @property
    def lab_dir(self) -> Path:
        return self.directory / "lab"

    @property
    def log(self) -> Path:
        return self.directory / "novella.log"

    @property
    def pid_file(self) -> Path:
        return self.directory / "novella.pid"

    @property
    def clouds_yaml(self) -> Path:
        return self.directory / "clouds.yaml"

    @property
    def url(self) -> str:
        """The controller's address, without a trailing slash."""
        for line in self.config.read_text().splitlines():
            if line.startswith("public_url"):
                return str(json.loads(line.partition("=")[2]))
        raise LabError(f"{self.config} has no public_url. Remove the file and run this again.")

    def configure(self, first_port: int = FIRST_PORT, /, **settings: str | int | float) -> None:
        """Write the settings on the first call: a free port, everything inside the folder.

        Clouds that are set up at the same time look from different ports on.
        """
        if self.config.exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        port = free_port(first_port)
        values: dict[str, str | int | float] = {
            "state_dir": str(self.directory.absolute() / "controller"),
            "listen_host": "127.0.0.1",
            "listen_port": port,
            "public_url": f"http://127.0.0.1:{port}",
            "metrics_listen": f"127.0.0.1:{free_port(first_port + METRICS_ABOVE)}",
            **settings,
        }
        # JSON's strings and numbers are TOML's too.
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
        self.config.write_text("".join(lines))

    def novella(
        self, *arguments: str, secrets: Mapping[str, str] | None = None, timeout_s: float = 300
    ) -> str:
        """Return what `novella ARGUMENTS` printed. `secrets` go into its environment alone."""
        done = subprocess.run(
            [*self.command, *arguments],
            env={**os.environ, **(secrets or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-4000:]
            raise LabError(f"`novella {' '.join(arguments)}` failed: {said}")
        return done.stdout

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "controller.cli", "--config", str(self.config.absolute())]

    def prepare_database(self, admin_password: str) -> None:
        """Migrate the database and make the administrator."""
        self.novella("db", "upgrade")
        self.novella("db", "bootstrap", secrets={"NOVELLA_ADMIN_PASSWORD": admin_password})

    # --- the controller ---------------------------------------------------------------------

    def controller_pid(self) -> int | None:
        """Return the pid of `novella serve`, None when it doesn't run."""
        try:
            pid = int(self.pid_file.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self.config.absolute()).encode() in words else None

    def start_controller(self) -> None:
        """Start `novella serve` unless it runs, and wait until it answers and says it is ready."""
        if self.controller_pid() is None:
            self.pid_file.unlink(missing_ok=True)
            with self.log.open("ab") as log:
                # A session of its own and nobody's child: it outlives whoever starts it.
                subprocess.run(
                    ["setsid", "--fork", "sh", "-c", 'echo $$ > "$0"; exec "$@"',
                     str(self.pid_file), *self.command, "serve"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
                )  # fmt: skip
        try:
            wait_until(self.is_ready, what="the controller answers", timeout_s=START_TIMEOUT_S)
        except LabError as error:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise LabError(f"{error} Its log, {self.log}, ends with:\n{tail}") from error

    def is_ready(self) -> bool:
        """Return whether the controller answers and says that it is ready."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:  # noqa: S310 -- our own URL
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop_controller(self, *, kill: bool = False) -> None:
        """Stop `novella serve` and wait until it has gone; `kill` gives it no time to tidy up."""
        pid = self.controller_pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        wait_until(lambda: not self.processes(), what="the controller has gone", timeout_s=90)
        self.pid_file.unlink(missing_ok=True)

    def processes(self) -> dict[int, str]:
        """Return the controller's processes: pid to what it is (serve, api or worker)."""
        config = str(self.config.absolute()).encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            # Processes end while we look.
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if config in words and b"controller.cli" in words:
                    found[int(path.parent.name)] = words[-2].decode()
        return found

    # --- its hosts --------------------------------------------------------------------------

    def start_lab(self, names: Sequence[str], *, name: str, **limits: Mapping[str, int]) -> None:
        """Bring the lab's hosts up."""
        hosts.up(self.lab_dir, names, name=name, **limits)

    def enroll(self, name: str) -> None:
        """Enrol a host of the lab, as its operator."""
        record = load_existing(self.lab_dir)
        address = record.names.mgmt_ip(record.host(name).number)
        self.novella(
            "host", "enroll", name, address,
            "--private-key", str(operator_key(self.lab_dir).absolute()),
            "--fingerprint", self._fingerprint(address),
            "--variable", 'compute_flat_interfaces={"physnet1": "eth1"}',
        )  # fmt: skip

    def _fingerprint(self, address: str) -> str:
        """Return the fingerprint of the host's key, which its operator knows for certain."""
        listed = subprocess.run(
            ["ssh-keygen", "-l", "-F", address, "-f", str(known_hosts_path(self.lab_dir))],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return next(word for word in listed.split() if word.startswith("SHA256:"))

    def destroy(self) -> None:
        """Stop the controller, take the lab down and remove the hosts' disks."""
        self.stop_controller()
        if self.lab_dir.exists():
            hosts.down(self.lab_dir, purge=True)


def free_port(first: int = FIRST_PORT) -> int:
    """Return `first`, or the next port above it that nobody listens on."""
    for port in range(first, first + 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise LabError(f"No port between {first} and {first + 200} is free on 127.0.0.1.")
