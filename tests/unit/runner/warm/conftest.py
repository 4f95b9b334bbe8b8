"""A fork server of a project of its own, and its client started as ansible-runner would."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.runner.warm import launch, processes
from controller.settings import Settings
from lab.errors import LabError
from lab.waiting import wait_until

# Writes down what the process of the run is like, seen from a task within it.
PROBE = """
import json, locale, multiprocessing, os, random, time
from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.vars import get_unique_id

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        if "sleep" in self._task.args:
            # In Ansible's own worker, not in a program that it starts.
            with open(self._task.args["to"] + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(self._task.args["to"] + ".new", self._task.args["to"])
            time.sleep(self._task.args["sleep"])
        play = os.getppid()
        old = os.umask(0o77); os.umask(old)
        seen = {
            "pid": os.getpid(), "play": play, "environment": dict(os.environ),
            "folder": os.getcwd(), "umask": old, "timezone": time.tzname,
            "files": [os.readlink(f"/proc/{play}/fd/{n}") for n in os.listdir(f"/proc/{play}/fd")],
            "temporary": constants.DEFAULT_LOCAL_TMP,
            "archives": os.listdir(constants.DEFAULT_LOCAL_TMP),
            "chance": [random.random(), os.urandom(4).hex(), get_unique_id(),
                       multiprocessing.current_process().authkey.hex()],
            "constants": {name: str(value) for name, value in vars(constants).items()
                          if name.isupper() and isinstance(value, (str, list, int, dict))},
        }
        with open(self._task.args["to"], "w") as file:
            json.dump(seen, file)
        return {"changed": False, "version": VERSION}

VERSION = 1
"""
CONFIGURATION = """[defaults]
action_plugins = {path}/plugins/action
"""


@dataclass(frozen=True)
class Ran:
    """How a client ended. `warm` is what it noted, `why` the reason for a plain run."""

    status: int
    said: str
    warm: bool
    why: str


class WarmProject:
    """A project with the plugin `probe`, and its fork server."""

    def __init__(self, path: Path, runs_dir: Path) -> None:
        self.path = path
        self.plugin = path / "plugins" / "action" / "probe.py"
        self.plugin.parent.mkdir(parents=True)
        self.plugin.write_text(PROBE)
        (path / "playbooks").mkdir()
        (path / "ansible.cfg").write_text(CONFIGURATION.format(path=path))
        (path / "state").mkdir()
        self.settings = Settings(
            state_dir=path / "state", project_dir=path, runs_dir=runs_dir, artifacts_kept=3
        )
        self.config = path / "novella.toml"
        self.config.write_text(
            "".join(f'{name} = "{getattr(self.settings, name)}"\n'
                    for name in ("state_dir", "project_dir", "runs_dir"))
        )  # fmt: skip
        self.server: subprocess.Popen[bytes] | None = None
        self.launcher = launch.Launcher.make(self.settings)
        self.log = path / "server.log"
        self._runs = 0

    def start(self, **environment: str) -> None:
        """Start the server and wait until it listens."""
        command = [sys.executable, "-m", "controller.cli", "--config", str(self.config)]
        before = self.readied()
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(
                [*command, "fork-server"], stderr=log, env={**os.environ, **environment}
            )
        try:
            self.await_ready(before)
        except LabError as error:
            self.stop()
            raise LabError(f"{error} It said: {self.log.read_text()[-2000:]}") from error

    def readied(self) -> int:
        """Return how often the server has said that it is ready."""
        return self.log.read_text().count("is ready") if self.log.exists() else 0

    def await_ready(self, before: int) -> None:
        assert self.server is not None
        ended = self.server.poll
        wait_until(
            lambda: self.readied() > before or ended() is not None,
            what="the fork server is ready", timeout_s=60,
        )  # fmt: skip
        assert self.readied() > before, self.log.read_text()[-2000:]

    def stop(self) -> None:
        if self.server is not None:
            # It may be stopped, or killed already.
            self.server.send_signal(signal.SIGCONT)
            self.server.terminate()
            self.server.wait(30)
            self.server = None

    def environment(self, **changes: str) -> dict[str, str]:
        self._runs += 1
        home = self.path / f"home{self._runs}"
        home.mkdir()
        return {
            **launch.environment(self.settings),
            "HOME": str(home),
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
            "AWX_ISOLATED_DATA_DIR": str(home),
            **self.launcher.variables(home / "launch"),
            **changes,
        }

    def client(
        self,
        tasks: Sequence[dict[str, Any]],
        *arguments: str,
        folder: Path | None = None,
        umask: int = 0o022,
        without: Sequence[str] = (),
        **changes: str,
    ) -> tuple[subprocess.Popen[str], Path]:
        """Start a client for a play of `tasks`; return it and the file of its launch record."""
        environment = self.environment(**changes)
        for name in without:
            del environment[name]
        playbook = self.path / "playbooks" / f"play{self._runs}.yml"
        play = {"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}
        playbook.write_text(yaml.safe_dump([{**play, "connection": "local"}]))
        # A file, not a pipe: what outlives a run must not keep a test waiting.
        with (self.path / f"said{self._runs}").open("w+") as said:
            started = subprocess.Popen(
                [*self.launcher.command, *arguments, "-i", "localhost,", str(playbook)],
                env=environment, cwd=folder or self.path, umask=umask, text=True,
                stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip
        return started, Path(environment["NOVELLA_LAUNCH"])

    def run(self, *tasks: dict[str, Any], arguments: Sequence[str] = (), **more: Any) -> Ran:
        """Run a play of `tasks` to its end."""
        started, record = self.client(tasks, *arguments, **more)
        said = self.path / f"said{self._runs}"
        status = started.wait(120)
        return Ran(status, said.read_text(errors="replace"), *launch.how(record))

    def probe(self, **more: Any) -> dict[str, Any]:
        """Return what a warm run is like, seen from within."""
        out = self.path / f"seen{self._runs + 1}"
        ran = self.run({"name": "Look", "probe": {"to": str(out)}}, **more)
        assert (ran.status, ran.warm) == (0, True), ran
        seen: dict[str, Any] = json.loads(out.read_text())
        return seen

    def below(self) -> list[int]:
        """Return the processes of the server's runs."""
        assert self.server is not None
        return processes.descendants(self.server.pid)


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="nv-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, short_dir: Path) -> Iterator[WarmProject]:
    """A server that tests share, which leave it as it is."""
    made = WarmProject(tmp_path_factory.mktemp("shared") / "project", short_dir / "shared")
    made.start(LEAKED_TOKEN="c4n4ry-of-the-server")
    yield made
    made.stop()


@pytest.fixture
def warm(tmp_path: Path, short_dir: Path) -> Iterator[WarmProject]:
    """A server of the test's own, to change and to kill."""
    made = WarmProject(tmp_path / "project", Path(tempfile.mkdtemp(dir=short_dir)))
    made.start()
    yield made
    with contextlib.suppress(ProcessLookupError):
        made.stop()
