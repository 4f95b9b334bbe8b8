"""What a run costs beside its work: eight STUB steps for a server, as plain tasks and as ours.

A stub step is the module `instance_directory`, asked to see that a folder that was never there is
absent: it is started, checks its arguments, takes a look and reports. No server is made.

The baseline is what people do: a playbook of eight tasks with that module, by ansible-runner as it
comes, already pipelined and with the connection open. Beside it, in the same round: one server by
the executor (`apply`, fork server), then ten and fifty in one run, then eight runs of one server
each at the same time. What is given is time and CPU for each server, as a ratio to the baseline of
the round. CPU is counted by cgroups: the controller's includes this process, ansible-runner, the
fork server and ssh; the host's is all that runs in the lab host.
"""

import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.cpu import CpuGroup, groups
from bench.report import Report
from controller.core import host_access
from controller.core import hosts as host_rows
from controller.db.session import Database
from controller.runner.ansible import AnsibleExecutor
from controller.runner.requests import OK, Run
from controller.runner.run_folder import run_folder
from controller.runner.warm import launch, processes
from controller.settings import PROJECT_DIR, Settings, load
from controller.ssh import HostAccess
from lab import hosts
from lab.cloud import Cloud
from lab.waiting import wait_until

STEPS = 8
SIZES = (1, 10, 50)
AT_ONCE = 8
# Wall and CPU for each server, as ratios to the baseline (issue 3).
AIMS = {1: ("at most 0.15", "at most 0.12"), 10: ("at most 0.04",) * 2, 50: ("at most 0.015",) * 2}
STEP = """- name: Stub {number}
  novella.cloud.instance_directory:
    id: "{{{{ server.id }}}}"
    state: absent
"""
PLAIN = """- name: Eight stub steps, a task each
  hosts: compute_hosts
  gather_facts: false
  vars:
    server: "{{ servers[0] }}"
  tasks:
"""
OURS = """- name: Eight stub steps, one execution
  hosts: compute_hosts
  gather_facts: false
  tasks:
    - name: Eight stub steps, one execution
      novella.cloud.apply:
        steps: stub.yml
        items: "{{ servers }}"
"""


@dataclass(frozen=True)
class Cost:
    """Of one server: seconds of wall, and of CPU on either side."""

    wall: float
    controller: float
    host: float

    @property
    def cpu(self) -> float:
        return self.controller + self.host


def measure(cloud: Cloud, report: Report, rounds: int = 5) -> None:
    """Add the figures to `report`. `cloud` has its hosts enrolled; its first one is used."""
    folder = cloud.directory / "dispatch"
    settings = _project(folder, load(cloud.config))
    host = first_host(load(cloud.config))
    pid = next(each.pid for each in hosts.status(cloud.lab_dir) if each.name == host.name)
    assert pid is not None
    server = start_fork_server(folder, settings)
    executor = AnsibleExecutor(settings)
    costs: dict[str, list[Cost]] = {}
    try:
        below = [pid, *processes.descendants(pid)]
        with groups([server.pid], below) as (ours, theirs):
            bench = _Bench(executor, settings, host, ours, theirs)
            # The first of each opens the connection, and fills caches of the operating system.
            for number in range(rounds + 1):
                for name, cost in bench.round():
                    if number:
                        costs.setdefault(name, []).append(cost)
    finally:
        executor.close()
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    _report(report, costs)


class _Bench:
    def __init__(
        self,
        executor: AnsibleExecutor,
        settings: Settings,
        host: HostAccess,
        ours: CpuGroup,
        theirs: CpuGroup,
    ) -> None:
        self.executor, self.settings, self.host = executor, settings, host
        self.ours, self.theirs = ours, theirs

    def round(self) -> list[tuple[str, Cost]]:
        found = [("baseline", self._cost(1, self._plain))]
        for size in SIZES:
            found.append((f"{size} in a run", self._cost(size, lambda size=size: self._warm(size))))
        found.append((f"{AT_ONCE} runs at once", self._cost(AT_ONCE, self._at_once)))
        return found

    def _cost(self, servers: int, work: Callable[[], None]) -> Cost:
        before = (time.monotonic(), self.ours.seconds(), self.theirs.seconds())
        work()
        after = (time.monotonic(), self.ours.seconds(), self.theirs.seconds())
        return Cost(*((end - start) / servers for start, end in zip(before, after, strict=True)))

    def _run(self, playbook: str, size: int) -> Run:
        servers = [{"id": str(uuid.uuid4()), "name": f"server{n}"} for n in range(size)]
        return Run(str(uuid.uuid4()), playbook, (self.host,), {"servers": servers})

    def _warm(self, size: int) -> None:
        result = self.executor.run(self._run("stub_apply", size))
        if result.status != OK or not result.warm or len(result.of(self.host.id).items) != size:
            raise SystemExit(f"bench: a run ended {result.status}: {result.message}")

    def _at_once(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda _number: self._warm(1), range(AT_ONCE)))

    def _plain(self) -> None:
        """Do the eight tasks by ansible-runner as it comes, with the runner's own inventory."""
        import ansible_runner

        run = self._run("stub_tasks", 1)
        # ansible-runner sets its callback itself, and takes one that it finds for the user's.
        common = launch.environment(self.settings)
        for name in ("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_CALLBACK_PLUGINS"):
            del common[name]
        with run_folder(self.executor._own_folder(), run) as folder:
            done = ansible_runner.run(
                private_data_dir=str(folder.path),
                project_dir=str(self.settings.project_dir),
                playbook=str(self.settings.project_dir / "playbooks" / "stub_tasks.yml"),
                inventory=str(folder.inventory),
                cmdline=f"-e @{folder.arguments}",
                envvars={
                    **common,
                    "HOME": str(folder.home),
                    "ANSIBLE_HOME": str(folder.home),
                },
                quiet=True,
            )
            if done.status != "successful":
                raise SystemExit(f"bench: the baseline ended {done.status}: {done.stdout.read()}")


def _project(folder: Path, settings: Settings) -> Settings:
    """Make a project of the two playbooks with this checkout's plugins; return settings for it."""
    tasks = folder / "playbooks" / "tasks"
    tasks.mkdir(parents=True)
    for name in ("ansible.cfg", "plugins", "collections", "roles"):
        (folder / name).symlink_to(PROJECT_DIR / name)
    steps = "".join(STEP.format(number=number) for number in range(1, STEPS + 1))
    (tasks / "stub.yml").write_text(steps)
    indented = "".join(f"    {line}\n" for line in steps.splitlines())
    (folder / "playbooks" / "stub_tasks.yml").write_text(PLAIN + indented)
    (folder / "playbooks" / "stub_apply.yml").write_text(OURS)
    return replace(settings, project_dir=folder, state_dir=folder / "state")


def first_host(settings: Settings) -> HostAccess:
    """Return how the first of the cloud's hosts is reached."""
    db = Database(settings.db_url)
    with db.read() as session:
        row = host_rows.list_hosts(session)[0]
        found = host_access.of_host(settings, row)
    db.dispose()
    return found


def start_fork_server(folder: Path, settings: Settings) -> subprocess.Popen[bytes]:
    """Return a fork server for `settings` that is ready; its files lie in `folder`."""
    config = folder / "novella.toml"
    names = ("state_dir", "project_dir", "runs_dir")
    config.write_text("".join(f'{name} = "{getattr(settings, name)}"\n' for name in names))
    command = [sys.executable, "-m", "controller.cli", "--config", str(config), "fork-server"]
    log = folder / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, stderr=file)
    wait_until(
        lambda: "is ready" in log.read_text() or server.poll() is not None,
        what="the fork server is ready", timeout_s=60,
    )  # fmt: skip
    return server


def _report(report: Report, costs: dict[str, list[Cost]]) -> None:
    base = costs.pop("baseline")
    label = "dispatch, stub steps"
    report.add(f"{label}: baseline, eight plain tasks", "s", [cost.wall for cost in base])
    _add_cpu(report, f"{label}: baseline", base)
    for name, found in costs.items():
        pairs = list(zip(found, base, strict=True))
        wall_aim, cpu_aim = AIMS.get(int(name.split()[0]) if "in a" in name else 0, ("", ""))
        each = f"{label}: {name}, each server"
        report.add(f"{each}", "s", [cost.wall for cost in found])
        _add_cpu(report, each, found)
        report.add(f"{each} / baseline", "x", [c.wall / b.wall for c, b in pairs], wall_aim)
        report.add(f"{each}, CPU / baseline", "x", [c.cpu / b.cpu for c, b in pairs], cpu_aim)
        if name.endswith("at once"):
            rates: list[Any] = [b.wall / c.wall for c, b in pairs]
            report.add(f"{label}: {name}, rate / baseline", "x", rates, "at least 8")


def _add_cpu(report: Report, name: str, costs: list[Cost]) -> None:
    report.add(f"{name}, CPU of controller", "s", [cost.controller for cost in costs])
    report.add(f"{name}, CPU of host", "s", [cost.host for cost in costs])
