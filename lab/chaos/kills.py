"""What is killed: each kind by a function that kills, and brings back what does not come back."""

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab import hosts
from lab.broker import Broker
from lab.chaos.backing import Backing
from lab.chaos.waits import wait_for
from lab.cloud import Cloud
from lab.database_servers import DatabaseServer
from lab.errors import LabError

STATE_PATH = "/var/lib/novella"
# The controller's queue; only a queue of this name is lost.
WAKE_UPS = "novella.wakeups"
BACK_S = 90.0


@dataclass
class Kill:
    """`at` is when it was killed, `back_at` when it answered again: None where nothing could.

    `over_at` is when what we did to it ended: power back on, disk freed.
    Times are those of time.monotonic().
    """

    kind: str
    target: str
    at: float
    over_at: float = 0.0
    back_at: float | None = None

    def __post_init__(self) -> None:
        # A process is killed in a moment.
        self.over_at = self.over_at or self.at

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Killer(threading.Thread):
    """Kills at random until told to stop. `weights` says how often each kind; 0 is never."""

    def __init__(
        self,
        cloud: Cloud,
        backing: Backing,
        weights: Mapping[str, int],
        seed: int,
        pause_s: tuple[float, float],
        limit: int,
    ) -> None:
        super().__init__(name="killer", daemon=True)
        self._cloud, self._backing = cloud, backing
        self._pause_s, self._limit = pause_s, limit
        self._dice = random.Random(seed)  # noqa: S311 -- a test's dice
        self._stopping = threading.Event()
        self.kills: list[Kill] = []
        self.failure: BaseException | None = None
        self._functions: dict[str, Callable[[], Kill | None]] = {
            "worker": lambda: self._process("worker"),
            "api": lambda: self._process("api"),
            "fork-server": lambda: self._process("forkserver"),
            "controller": self._controller,
            "ssh": self._ssh,
            "libvirtd": self._libvirtd,
            "host": self._host,
            "disk": self._disk,
            **self._database_kinds(),
            **self._queue_kinds(),
        }
        self._kinds = [
            kind
            for kind, weight in weights.items()
            for _ in range(weight)
            if kind in self._functions
        ]

    def run(self) -> None:
        try:
            # The first of each kind in turn, so that a short run has them all.
            first = list(dict.fromkeys(self._kinds))
            self._dice.shuffle(first)
            while not self._stopping.wait(self._dice.uniform(*self._pause_s)):
                kind = first.pop() if first else self._dice.choice(self._kinds)
                kill = self._functions[kind]()
                if kill is not None:
                    self.kills.append(kill)
                if len(self.kills) >= self._limit:
                    return
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        """Kill nothing more; raises what the killing failed by."""
        self._stopping.set()
        self.join(2 * BACK_S)
        if self.failure is not None:
            raise self.failure

    def _pids(self, what: str) -> list[int]:
        return [pid for pid, name in self._cloud.processes().items() if name == what]

    def _process(self, what: str) -> Kill | None:
        pids = self._pids(what)
        if not pids:
            return None
        # Of gunicorn's processes any: the one that listens, or one that answers.
        pid = self._dice.choice(sorted(pids))
        kill = Kill(what, str(pid), time.monotonic())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

        def is_back() -> bool | None:
            there = set(self._pids(what)) - {pid}
            return True if there and (what != "api" or self._cloud.is_ready()) else None

        wait_for(is_back, f"a process {what} runs again", BACK_S)
        kill.back_at = time.monotonic()
        return kill

    def _controller(self) -> Kill:
        """All of it at once, as by a power cut of its machine."""
        kill = Kill("controller", "", time.monotonic())
        self._cloud.stop_controller(kill=True)
        self._cloud.start_controller()
        kill.back_at = time.monotonic()
        return kill

    def _ssh(self) -> Kill | None:
        """An SSH connection of the controller to a host, with the runs that go over it."""
        runs_dir = _setting(self._cloud, "runs_dir")
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command = path.read_bytes()
                if command.startswith(b"ssh") and runs_dir.encode() in command:
                    found.append(int(path.parent.name))
        if not found:
            return None
        pid = self._dice.choice(sorted(found))
        kill = Kill("ssh", str(pid), time.monotonic())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return kill

    def _libvirtd(self) -> Kill:
        host = self._any_host()
        kill = Kill("libvirtd", host, time.monotonic())
        script = 'kill -9 "$(cat /run/libvirtd.pid)"'
        hosts.run(self._cloud.lab_dir, host, ["sh", "-c", script], check=False)
        wait_for(
            lambda: True if _answers(self._cloud, host) else None,
            f"libvirtd answers on {host}",
            BACK_S,
        )
        kill.back_at = time.monotonic()
        return kill

    def _host(self) -> Kill:
        host = self._any_host()
        kill = Kill("host", host, time.monotonic())
        hosts.kill(self._cloud.lab_dir, host)
        self._stopping.wait(self._dice.uniform(1.0, 6.0))
        kill.over_at = time.monotonic()
        hosts.start(self._cloud.lab_dir, host)
        kill.back_at = time.monotonic()
        return kill

    def _disk(self) -> Kill | None:
        """Fill the disk of a host that has one of its own, for some seconds."""
        limited = [host for host in self._hosts() if _has_own_disk(self._cloud, host)]
        if not limited:
            return None
        host = self._dice.choice(limited)
        kill = Kill("disk", host, time.monotonic())
        filler = f"{STATE_PATH}/.chaos-filler"
        script = f"dd if=/dev/zero of={filler} bs=1M 2>/dev/null"
        hosts.run(self._cloud.lab_dir, host, ["sh", "-c", script], check=False, timeout_s=BACK_S)
        self._stopping.wait(self._dice.uniform(2.0, 5.0))
        hosts.run(self._cloud.lab_dir, host, ["rm", "-f", filler])
        kill.over_at = time.monotonic()
        return kill

    def _database_kinds(self) -> dict[str, Callable[[], Kill | None]]:
        server = self._backing.database
        if server is None:
            # A file has no connection that could be cut; its counterpart is that it is locked.
            return {"database-lock": self._database_lock}
        return {
            "database-connections": lambda: self._database_connections(server),
            "database-server": lambda: self._database_server(server),
        }

    def _queue_kinds(self) -> dict[str, Callable[[], Kill | None]]:
        broker = self._backing.broker
        if broker is None:
            return {}
        return {
            "rabbitmq": lambda: self._rabbitmq(broker),
            "lost-queue": lambda: self._lost_queue(broker),
        }

    def _database_connections(self, server: DatabaseServer) -> Kill:
        """All that the controller has, whatever is being said on them."""
        kill = Kill("database-connections", "", time.monotonic())
        kill.target = f"{server.cut_connections()} connections"
        self._await_ready()
        kill.back_at = time.monotonic()
        return kill

    def _database_server(self, server: DatabaseServer) -> Kill:
        """The whole server, away for longer than a transaction is tried again."""
        kill = Kill("database-server", "", time.monotonic())
        server.server.kill()
        self._stopping.wait(self._dice.uniform(0.0, 8.0))
        server.start()
        kill.over_at = time.monotonic()
        self._await_ready()
        kill.back_at = time.monotonic()
        return kill

    def _rabbitmq(self, broker: Broker) -> Kill:
        kill = Kill("rabbitmq", "", time.monotonic())
        broker.restart()
        kill.over_at = time.monotonic()
        self._await_queue(broker)
        kill.back_at = time.monotonic()
        return kill

    def _lost_queue(self, broker: Broker) -> Kill:
        kill = Kill("lost-queue", WAKE_UPS, time.monotonic())
        broker.lose_queue(WAKE_UPS)
        self._await_queue(broker)
        kill.back_at = time.monotonic()
        return kill

    def _await_queue(self, broker: Broker) -> None:
        def is_there() -> bool | None:
            return True if broker.has_queue(WAKE_UPS) else None

        wait_for(is_there, f"queue {WAKE_UPS} is there again", BACK_S)

    def _database_lock(self) -> Kill | None:
        """Keep everybody out of the database for longer than they wait for it."""
        path = Path(_setting(self._cloud, "state_dir")) / "novella.db"
        if not path.exists():
            return None
        kill = Kill("database-lock", "sqlite", time.monotonic())
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            self._stopping.wait(self._dice.uniform(5.5, 9.0))
            connection.execute("ROLLBACK")
        finally:
            connection.close()
        kill.over_at = time.monotonic()
        self._await_ready()
        kill.back_at = time.monotonic()
        return kill

    def _await_ready(self) -> None:
        ready = self._cloud.is_ready
        wait_for(lambda: True if ready() else None, "the controller is ready", BACK_S)

    def _hosts(self) -> list[str]:
        return [status.name for status in hosts.status(self._cloud.lab_dir)]

    def _any_host(self) -> str:
        return self._dice.choice(self._hosts())


def bring_all_back(cloud: Cloud) -> None:
    """Have every host and the controller up, and libvirt answer everywhere."""
    for status in hosts.status(cloud.lab_dir):
        if status.pid is None:
            hosts.start(cloud.lab_dir, status.name)
    cloud.start_controller()
    for status in hosts.status(cloud.lab_dir):
        wait_for(
            lambda name=status.name: True if _answers(cloud, name) else None,  # type: ignore[misc]
            f"libvirtd answers on {status.name}",
            BACK_S,
        )


def _answers(cloud: Cloud, host: str) -> bool:
    return any(each.name == host and each.libvirtd_answers for each in hosts.status(cloud.lab_dir))


def _has_own_disk(cloud: Cloud, host: str) -> bool:
    return hosts.run(
        cloud.lab_dir, host, ["mountpoint", "-q", STATE_PATH], check=False
    ).returncode == 0 and bool(_source(cloud, host).startswith("/dev/loop"))


def _source(cloud: Cloud, host: str) -> str:
    argv = ["findmnt", "-n", "-o", "SOURCE", "--target", STATE_PATH]
    return hosts.run(cloud.lab_dir, host, argv, check=False).stdout.strip()


def _setting(cloud: Cloud, name: str) -> str:
    import tomllib

    value = tomllib.loads(cloud.config.read_text()).get(name)
    if value is None and name == "runs_dir":
        return "/dev/shm/novella"  # noqa: S108 -- the controller's own default
    if value is None:
        raise LabError(f"{cloud.config} has no {name}.")
    return str(value)
