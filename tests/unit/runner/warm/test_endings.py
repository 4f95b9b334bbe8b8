"""However a warm run ends, and whoever is killed in the middle of it, no process is left behind."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from controller.runner.ansible import AnsibleExecutor
from controller.runner.requests import CANCELLED, FAILED, OK, TIMEOUT, Run, RunResult
from controller.runner.warm import client, processes
from controller.ssh import HostAccess
from lab.waiting import wait_until

HOST = HostAccess(
    id="aaaa", name="h1", address="127.0.0.1", port=9, private_key=Path("/nonexistent"),
    host_keys=(), variables={"ansible_connection": "local"},
)  # fmt: skip


class Sleeper:
    """A play that starts a process which tells its pid and would sleep for long."""

    def __init__(self, folder: Path) -> None:
        self.pid_file = folder / "pid"
        self.playbook = (
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Sleep\n"
            "      ansible.builtin.raw: "
            f"echo $$ > {self.pid_file}.new; mv {self.pid_file}.new {self.pid_file}; "
            "trap '' TERM HUP; sleep 300; sleep 300\n"
        )

    def await_start(self) -> None:
        wait_until(self.pid_file.exists, what="the task is under way", timeout_s=120)

    def await_end(self) -> None:
        pid = self.pid_file.read_text().strip()
        wait_until(lambda: not alive(int(pid)), what="its process is gone", timeout_s=30)


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def sleeper(tmp_path: Path) -> Sleeper:
    return Sleeper(tmp_path)


def run(warm: Any, sleeper: Sleeper, into: list[RunResult], **more: Any) -> threading.Thread:
    """Run the sleeper by an executor, in a thread."""
    (warm.path / "playbooks" / "sleep.yml").write_text(sleeper.playbook)
    executor = AnsibleExecutor(warm.settings)

    def work() -> None:
        asked = Run(id="run1", playbook="sleep", hosts=(HOST,), arguments={}, **more)
        into.append(executor.run(asked))
        executor.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def assert_nothing_left(warm: Any, sleeper: Sleeper) -> None:
    sleeper.await_end()
    wait_until(lambda: not warm.below(), what="nothing is below the server", timeout_s=30)


def test_a_cancelled_run_leaves_no_process(shared: Any, sleeper: Sleeper) -> None:
    results: list[RunResult] = []
    cancel = threading.Event()
    thread = run(shared, sleeper, results, cancelled=cancel.is_set)
    sleeper.await_start()
    cancel.set()
    thread.join(60)
    assert [(result.status, result.warm) for result in results] == [(CANCELLED, True)]
    assert_nothing_left(shared, sleeper)


def test_a_run_past_its_time_leaves_no_process(shared: Any, sleeper: Sleeper) -> None:
    results: list[RunResult] = []
    thread = run(shared, sleeper, results, timeout_s=3)
    thread.join(120)
    assert [(result.status, result.warm) for result in results] == [(TIMEOUT, True)]
    if sleeper.pid_file.exists():
        assert_nothing_left(shared, sleeper)


def test_a_killed_client_takes_its_run_with_it(shared: Any, sleeper: Sleeper) -> None:
    results: list[RunResult] = []
    thread = run(shared, sleeper, results)
    sleeper.await_start()
    os.kill(client_of(shared), signal.SIGKILL)
    thread.join(60)
    assert [result.status for result in results] == [FAILED]
    assert_nothing_left(shared, sleeper)


def test_a_killed_run_is_a_failed_one(shared: Any, sleeper: Sleeper) -> None:
    results: list[RunResult] = []
    thread = run(shared, sleeper, results)
    sleeper.await_start()
    [monitor] = children(shared.server.pid)
    os.kill(play_of(monitor), signal.SIGKILL)
    thread.join(60)
    assert [result.status for result in results] == [FAILED]
    assert_nothing_left(shared, sleeper)


def test_a_killed_monitor_takes_its_run_with_it(shared: Any, sleeper: Sleeper) -> None:
    results: list[RunResult] = []
    thread = run(shared, sleeper, results)
    sleeper.await_start()
    [monitor] = children(shared.server.pid)
    os.kill(monitor, signal.SIGKILL)
    thread.join(60)
    assert [result.status for result in results] == [FAILED]
    assert_nothing_left(shared, sleeper)


def test_a_killed_monitor_takes_ansibles_workers_with_it(shared: Any, sleeper: Sleeper) -> None:
    inside = {"name": "Sleep", "probe": {"to": str(sleeper.pid_file), "sleep": 300}}
    started, _ = shared.client([inside])
    sleeper.await_start()
    [monitor] = children(shared.server.pid)
    os.kill(monitor, signal.SIGKILL)
    assert started.wait(60) == client.LOST
    assert_nothing_left(shared, sleeper)


@pytest.mark.parametrize("killed", ["client", "run"])
def test_what_a_run_has_in_the_background_ends_when_it_is_killed(
    shared: Any, sleeper: Sleeper, tmp_path: Path, killed: str
) -> None:
    new, begun = f"{sleeper.pid_file}.new", tmp_path / "begun"
    orphan = f"setsid sh -c 'echo $$ > {new}; mv {new} {sleeper.pid_file}; exec sleep 300' &"
    started, _ = shared.client([
        {"name": "Leave", "ansible.builtin.raw": f"({orphan}) >/dev/null 2>&1 </dev/null"},
        {"name": "Go on", "ansible.builtin.raw": f"touch {begun}; exec sleep 300"},
    ])  # fmt: skip
    wait_until(begun.exists, what="its parent is gone", timeout_s=60)
    [monitor] = children(shared.server.pid)
    victim = started.pid if killed == "client" else play_of(monitor)
    os.kill(victim, signal.SIGKILL)
    assert started.wait(60) == -signal.SIGKILL
    assert_nothing_left(shared, sleeper)


def test_a_killed_server_does_not_disturb_what_runs(warm: Any, tmp_path: Path) -> None:
    go, out = tmp_path / "go", tmp_path / "out"
    started, record = warm.client([
        {"name": "Wait", "ansible.builtin.raw":
         f"touch {out}.begun; while [ ! -e {go} ]; do sleep 0.05; done; echo done > {out}"}
    ])  # fmt: skip
    wait_until(Path(f"{out}.begun").exists, what="the task is under way", timeout_s=60)
    below = warm.below()
    warm.server.kill()
    warm.server.wait()
    say = {"name": "Say", "ansible.builtin.debug": {"msg": "said"}}
    assert not warm.run(say).warm
    # Its successor comes beside what still runs.
    warm.start()
    assert warm.run(say).warm
    go.touch()
    assert started.wait(60) == 0
    assert (out.read_text(), record.read_text()) == ("done\n", "warm")
    wait_until(lambda: not any(map(alive, below)), what="its processes end", timeout_s=30)


WORKER = """
import sys
from pathlib import Path
from controller.runner.ansible import AnsibleExecutor
from controller.runner.requests import Run
from controller.settings import load
from controller.ssh import HostAccess
host = HostAccess(id="aaaa", name="h1", address="127.0.0.1", port=9, private_key=Path("/x"),
                  host_keys=(), variables={"ansible_connection": "local"})
executor = AnsibleExecutor(load(Path(sys.argv[1])))
executor.run(Run(id="run1", playbook="sleep", hosts=(host,), arguments={}))
"""


def test_a_killed_worker_takes_its_runs_with_it(shared: Any, sleeper: Sleeper) -> None:
    (shared.path / "playbooks" / "sleep.yml").write_text(sleeper.playbook)
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(shared.config)])
    sleeper.await_start()
    worker.kill()
    worker.wait()
    assert_nothing_left(shared, sleeper)


def test_a_signal_reaches_the_run(shared: Any, sleeper: Sleeper) -> None:
    new = f"{sleeper.pid_file}.new"
    raw = f"echo $$ > {new}; mv {new} {sleeper.pid_file}; exec sleep 300"
    started, _ = shared.client([{"name": "Sleep", "ansible.builtin.raw": raw}])
    sleeper.await_start()
    started.send_signal(signal.SIGTERM)
    # As a plain one would end by it.
    assert started.wait(60) == -signal.SIGTERM


def test_runs_side_by_side_each_have_their_own_answers(shared: Any) -> None:
    def one(number: int) -> Any:
        say = {"name": "Say", "ansible.builtin.debug": {"msg": "{{ lookup('env', 'OWN') }}"}}
        return shared.client([say], OWN=f"answer-{number}-"), number

    # Started one after the other, for they share a counter; they run at the same time.
    started = [one(number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda each: each[0][0].wait(120), started))
    assert statuses == [0] * 6
    for (_client, record), number in started:
        said = (shared.path / f"said{record.parent.name.removeprefix('home')}").read_text()
        assert record.read_text() == "warm"
        assert {n for n in range(6) if f"answer-{n}-" in said} == {number}


def test_a_warm_run_by_ansible_runner_has_its_events(shared: Any) -> None:
    (shared.path / "playbooks" / "fail.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - name: Refuse it\n      ansible.builtin.fail: {msg: no room}\n"
    )
    executor = AnsibleExecutor(shared.settings)
    result = executor.run(Run(id="run1", playbook="fail", hosts=(HOST,), arguments={}))
    executor.close()
    assert (result.status, result.message, result.warm) == (FAILED, "Refuse it: no room", True)
    assert OK not in {host.status for host in result.hosts.values()}


def client_of(warm: Any) -> int:
    program = str(warm.launcher.program).encode()
    return next(
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if program in path.read_bytes().split(b"\0")
    )


def children(pid: int) -> list[int]:
    below = processes.descendants(pid)
    return [each for each in below if processes._parent(Path(f"/proc/{each}")) == pid]


def play_of(monitor: int) -> int:
    """Return the run below a monitor; beside it are orphans of the run's."""
    forks = (pid for pid in children(monitor) if b"fork-server" in cmdline(pid))
    return next(forks)


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
