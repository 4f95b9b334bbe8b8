"""What is killed: each kind by a function that kills, and brings back what does not come back."""

import contextlib
import os
import random
import signal
import socket
import sqlite3
import threading
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lab import hosts
from lab.broker import Broker
from lab.chaos.backing import Backing
from lab.cloud import Cloud
from lab.database_servers import DatabaseServer
from lab.errors import LabError
from lab.waiting import wait_until

STATE_PATH = "/var/lib/novella"
# The controller's queue; only a queue of this name is lost.
WAKE_UPS = "novella.wakeups"
BACK_S = 180.0
LOOK_EVERY_S = 0.25


@dataclass
class Kill:
    """`at` is when it was killed, `back_at` when it answered again: None where nothing could.

    `over_at` is when what we did to it ended: power back on, disk freed.
    Times are those of time.monotonic(). `url` is that of the controller that was hit, with all or
    a part of it; empty where it was something else, or all controllers at once.
    """

    kind: str
    target: str
    at: float
    over_at: float = 0.0
    back_at: float | None = None
    url: str = ""

    def __post_init__(self) -> None:
        # A process is killed in a moment.
        self.over_at = self.over_at or self.at

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Killer(threading.Thread):
    """Kills at random until told to stop. `weights` says how often each kind; 0 is never.

    Of `controllers` the first has the lab.
    """

    def __init__(
        self,
        controllers: Sequence[Cloud],
        backing: Backing,
        weights: Mapping[str, int],
        seed: int,
        pause_s: tuple[float, float],
        limit: int,
    ) -> None:
        super().__init__(name="killer", daemon=True)
        self._controllers, self._backing = controllers, backing
        self._lab_dir = controllers[0].lab_dir
        self._restarts = 0
        self._pause_s, self._limit = pause_s, limit
        self._dice = random.Random(seed)  # noqa: S311 -- a test's dice
        self._stopping = threading.Event()
        self.kills: list[Kill] = []
        self.failure: BaseException | None = None
        self._functions: dict[str, Callable[[], Kill | None]] = {
            "worker": lambda: self._process("worker"),
            "api": lambda: self._process("api"),
            "fork-server": self._fork_server,
            "controller": self._controller,
            "restart": self._restart,
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
            missed = False
            while not self._stopping.wait(self._dice.uniform(*self._pause_s)):
                kind = first.pop() if first and not missed else self._dice.choice(self._kinds)
                kill = self._functions[kind]()
                missed = kill is None
                if kill is not None:
                    self.kills.append(kill)
                elif kind in self.spared() and kind not in first:
                    # There was none, such as a connection while nothing ran: later, then.
                    first.insert(0, kind)
                if self.is_done():
                    return
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        """Kill nothing more; raises what the killing failed by."""
        self._stopping.set()
        self.join(2 * BACK_S)
        if self.failure is not None:
            raise self.failure

    def is_done(self) -> bool:
        """Return whether it has killed as often as it was to, each kind at least once, or failed.

        A kind that nothing is found of is not waited for beyond twice that many kills.
        """
        count = len(self.kills)
        enough = count >= (2 * self._limit if self.spared() else self._limit)
        return enough or self.failure is not None

    def spared(self) -> list[str]:
        """Return the kinds that were to be killed and were not."""
        return sorted(set(self._kinds) - {kill.kind for kill in self.kills})

    def _any_controller(self) -> Cloud:
        return self._dice.choice(self._controllers)

    def _process(self, what: str) -> Kill | None:
        cloud = self._any_controller()
        pids = _pids(cloud, what)
        if not pids:
            return None
        # Of gunicorn's processes any: the one that listens, or one that answers.
        pid = self._dice.choice(sorted(pids))
        kill = Kill(what, str(pid), time.monotonic(), url=cloud.url)
        _kill_process(pid)

        def is_back() -> bool:
            there = set(_pids(cloud, what)) - {pid}
            return bool(there) and (what != "api" or cloud.is_ready())

        _await(is_back, f"a process {what} runs again")
        kill.back_at = time.monotonic()
        return kill

    def _fork_server(self) -> Kill | None:
        """The process itself, not one of its forks, which are runs."""
        cloud = self._any_controller()
        serve = cloud.controller_pid()
        pids = [pid for pid in _pids(cloud, "fork-server") if _parent(pid) == serve]
        if not pids:
            return None
        # Runs under way hold the old socket open: it would answer for a server that is gone.
        old = _fork_servers(cloud)
        kill = Kill("fork-server", str(pids[0]), time.monotonic(), url=cloud.url)
        _kill_process(pids[0])
        _await(lambda: _fork_servers(cloud) - old, "a fork server answers")
        kill.back_at = time.monotonic()
        return kill

    def _controller(self) -> Kill:
        """All of it at once, as by a power cut of its machine."""
        cloud = self._any_controller()
        kill = Kill("controller", "", time.monotonic(), url=cloud.url)
        cloud.stop_controller(kill=True)
        cloud.start_controller()
        kill.back_at = time.monotonic()
        return kill

    def _restart(self) -> Kill:
        """No kill: a controller is stopped in peace and started again, each in its turn."""
        cloud = self._controllers[self._restarts % len(self._controllers)]
        self._restarts += 1
        kill = Kill("restart", "", time.monotonic(), url=cloud.url)
        cloud.stop_controller()
        cloud.start_controller()
        kill.back_at = time.monotonic()
        return kill

    def _ssh(self) -> Kill | None:
        """An SSH connection of a controller to a host, with the runs that go over it."""
        folders = [os.fsencode(_runs_dir(cloud)) + b"/" for cloud in self._controllers]
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command = path.read_bytes()
                if command.startswith(b"ssh") and any(folder in command for folder in folders):
                    found.append(int(path.parent.name))
        if not found:
            return None
        pid = self._dice.choice(sorted(found))
        kill = Kill("ssh", str(pid), time.monotonic())
        _kill_process(pid)
        return kill

    def _libvirtd(self) -> Kill:
        host = self._any_host()
        kill = Kill("libvirtd", host, time.monotonic())
        script = 'kill -9 "$(cat /run/libvirtd.pid)"'
        hosts.run(self._lab_dir, host, ["sh", "-c", script], check=False)
        _await(lambda: _answers(self._lab_dir, host), f"libvirtd answers on {host}")
        kill.back_at = time.monotonic()
        return kill

    def _host(self) -> Kill:
        host = self._any_host()
        kill = Kill("host", host, time.monotonic())
        hosts.kill(self._lab_dir, host)
        self._stopping.wait(self._dice.uniform(1.0, 6.0))
        kill.over_at = time.monotonic()
        hosts.start(self._lab_dir, host)
        kill.back_at = time.monotonic()
        return kill

    def _disk(self) -> Kill | None:
        """Fill the disk of a host that has one of its own, for some seconds."""
        limited = [host for host in self._hosts() if _has_own_disk(self._lab_dir, host)]
        if not limited:
            return None
        host = self._dice.choice(limited)
        kill = Kill("disk", host, time.monotonic())
        filler = f"{STATE_PATH}/.chaos-filler"
        script = f"dd if=/dev/zero of={filler} bs=1M 2>/dev/null"
        hosts.run(self._lab_dir, host, ["sh", "-c", script], check=False, timeout_s=BACK_S)
        self._stopping.wait(self._dice.uniform(2.0, 5.0))
        hosts.run(self._lab_dir, host, ["rm", "-f", filler])
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
        """All that the controllers have, whatever is being said on them."""
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
        _await(lambda: broker.has_queue(WAKE_UPS), f"queue {WAKE_UPS} is there again")

    def _database_lock(self) -> Kill | None:
        """Keep everybody out of the database for longer than they wait for it."""
        path = Path(str(_setting(self._controllers[0], "state_dir"))) / "novella.db"
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
        _await(
            lambda: all(cloud.is_ready() for cloud in self._controllers), "each controller is ready"
        )

    def _hosts(self) -> list[str]:
        return [status.name for status in hosts.status(self._lab_dir)]

    def _any_host(self) -> str:
        return self._dice.choice(self._hosts())


def bring_all_back(controllers: Sequence[Cloud]) -> None:
    """Have every host and controller up, and libvirt answer everywhere."""
    lab_dir = controllers[0].lab_dir
    for status in hosts.status(lab_dir):
        if status.pid is None:
            hosts.start(lab_dir, status.name)
    for cloud in controllers:
        cloud.start_controller()
    for status in hosts.status(lab_dir):
        _await(partial(_answers, lab_dir, status.name), f"libvirtd answers on {status.name}")


def _await(is_back: Callable[[], object], what: str) -> None:
    wait_until(is_back, what=what, timeout_s=BACK_S, interval_s=LOOK_EVERY_S)


def _pids(cloud: Cloud, what: str) -> list[int]:
    return [pid for pid, name in cloud.processes().items() if name == what]


def _parent(pid: int) -> int | None:
    # Processes end while we look.
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return None


def _kill_process(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _fork_servers(cloud: Cloud) -> set[tuple[int, int]]:
    """Return the sockets that answer, by inode and time of making."""
    found = set()
    for path in Path(_runs_dir(cloud)).glob("warm-*/socket"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
            found.add((path.stat().st_ino, path.stat().st_ctime_ns))
    return found


def _answers(lab_dir: Path, host: str) -> bool:
    return any(each.name == host and each.libvirtd_answers for each in hosts.status(lab_dir))


def _has_own_disk(lab_dir: Path, host: str) -> bool:
    found = hosts.run(lab_dir, host, ["mountpoint", "-q", STATE_PATH], check=False)
    return found.returncode == 0 and _source(lab_dir, host).startswith("/dev/loop")


def _source(lab_dir: Path, host: str) -> str:
    argv = ["findmnt", "-n", "-o", "SOURCE", "--target", STATE_PATH]
    return hosts.run(lab_dir, host, argv, check=False).stdout.strip()


def _runs_dir(cloud: Cloud) -> str:
    return str(_setting(cloud, "runs_dir", "/dev/shm/novella"))  # noqa: S108 -- the controller's own default


def _setting(cloud: Cloud, name: str, default: str | None = None) -> Any:
    value = tomllib.loads(cloud.config.read_text()).get(name, default)
    if value is None:
        raise LabError(f"{cloud.config} has no {name}.")
    return value
