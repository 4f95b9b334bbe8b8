"""Runs by the real ansible-runner, on this machine itself as the host."""

import contextlib
import json
import os
import resource
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.runner import bounds, leftovers
from controller.runner.ansible import AnsibleExecutor
from controller.runner.requests import CANCELLED, FAILED, OK, TIMEOUT, UNREACHABLE, Run, RunResult
from controller.settings import Settings
from controller.ssh import HostAccess
from lab.waiting import wait_until

HOST = HostAccess(
    id="aaaa", name="h1", address="127.0.0.1", port=9, private_key=Path("/nonexistent"),
    host_keys=("ssh-ed25519 AAAA",), variables={"ansible_connection": "local"},
)  # fmt: skip
# By its name it stands for ours: results are taken from it.
APPLY = """
from ansible.plugins.action import ActionBase
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        return {"results": self._task.args["results"], "failed": self._task.args.get("fail", False)}
"""


class Project:
    """A project of one playbook, and an executor for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "playbooks").mkdir(parents=True)
        (path / "plugins").mkdir()
        (path / "plugins" / "apply.py").write_text(APPLY)
        (path / "ansible.cfg").write_text(f"[defaults]\naction_plugins={path}/plugins\n")
        self.settings = Settings(
            state_dir=path / "state", project_dir=path, runs_dir=path / "runs", artifacts_kept=3
        )
        self.settings.state_dir.mkdir()
        self.executor = AnsibleExecutor(self.settings)

    def run(self, *tasks: dict[str, Any], host: HostAccess = HOST, **changes: Any) -> RunResult:
        # A module that is killed in mid-run leaves its unpacked program there, not in /tmp.
        own = {"TMPDIR": str(self.path)}
        play = [
            {
                "hosts": "compute_hosts", "gather_facts": False, "environment": own,
                "tasks": list(tasks),
            }
        ]  # fmt: skip
        (self.path / "playbooks" / "play.yml").write_text(yaml.safe_dump(play))
        known: dict[str, Any] = {"id": "run1", "arguments": {}, "keep_as": ("op1",), **changes}
        return self.executor.run(Run(playbook="play", hosts=(host,), **known))

    def artifact(self, name: str) -> str:
        return (self.settings.artifacts_dir / "op1" / "001-play" / name).read_text()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    made.executor.close()


def shell(command: str, **more: Any) -> dict[str, Any]:
    return {"name": "Shell", "ansible.builtin.shell": command, **more}


def test_tenant_text_stays_text_and_secrets_stay_secret(project: Project, tmp_path: Path) -> None:
    text, secret = "{{ 7*7 }} {{ lookup('pipe', 'id') }}", "c4n4ry-s3cret"
    out = tmp_path / "out"
    result = project.run(
        {
            "name": "Write what was passed",
            "ansible.builtin.copy": {
                "content": "{{ [servers[0].name, server_secrets.s1.admin_pass] | to_json }}",
                "dest": str(out),
            },
            "no_log": True,
        },
        shell("tr '\\0' '\\n' < /proc/*/cmdline | grep -c c4n4ry-s3[c]ret", register="seen",
              failed_when="seen.stdout != '0'"),
        arguments={"servers": [{"id": "s1", "name": text}]},
        secrets={"s1": {"admin_pass": secret}},
    )  # fmt: skip
    assert (result.status, result.message) == (OK, "")
    assert json.loads(out.read_text()) == [text, secret]
    kept = [path for path in project.settings.artifacts_dir.rglob("*") if path.is_file()]
    assert {path.name for path in kept} == {
        "inventory.yml", "known_hosts", "arguments.yml", "result.json", "diff.txt", "stdout.txt"
    }  # fmt: skip
    assert all(secret not in path.read_text() for path in kept)
    assert "7*7" in project.artifact("arguments.yml")
    assert list(project.executor._own_folder().iterdir()) == []


def test_results_of_apply_are_the_items_of_the_run(project: Project) -> None:
    items = [{"id": "s1", "changed": True, "failed": False, "msg": "", "steps": [
        {"name": "Make it", "diff": {"before": "old\n", "after": "new\n"}}]}]  # fmt: skip
    result = project.run({"name": "Apply", "apply": {"results": [*items, "no item"], "fail": True}})
    assert result.status == FAILED
    assert result.of("aaaa").items == items
    assert "-old\n+new\n" in project.artifact("diff.txt")


def test_the_result_of_a_lone_server_comes_before_its_run_has_ended(
    project: Project, tmp_path: Path
) -> None:
    taken, told = tmp_path / "taken", []

    def on_item(host_id: str, item: dict[str, Any]) -> None:
        told.append((host_id, item["id"]))
        taken.touch()

    result = project.run(
        {"name": "Apply", "apply": {"results": [{"id": "s1"}]}},
        {"name": "Look", "ansible.builtin.wait_for": {"path": str(taken), "timeout": 30}},
        arguments={"servers": [{"id": "s1"}]},
        on_item=on_item,
    )
    assert (result.status, told) == (OK, [("aaaa", "s1")])


def test_a_run_forks_for_no_task_that_only_people_need(project: Project) -> None:
    result = project.run(
        shell("exit 1", tags="one_by_one"), shell("exit 1", tags="always"), shell("true")
    )
    assert result.status == OK
    assert result.stats["ok"] == {"h1": 1}


def test_a_hosts_own_variables_are_checked_by_the_roles_specs(project: Project) -> None:
    own = replace(HOST, variables={**HOST.variables, "server_lock_timeout_s": "3 min"})
    checked = {"name": "Check", "ansible.builtin.fail": {"msg": "refused"}, "tags": "always"}
    assert project.run(checked, host=own).message == "Check: refused"
    flat = replace(HOST, variables={**HOST.variables, "compute_flat_interfaces": {"p": "eth1"}})
    assert project.run(checked, shell("true"), host=flat).status == OK


def test_nothing_of_our_environment_reaches_a_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKED_TOKEN", "c4n4ry")
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "minimal")
    result = project.run(
        shell(
            "env", register="seen", failed_when="'c4n4ry' in seen.stdout or 'SSH_' in seen.stdout"
        )
    )
    assert result.status == OK


def test_a_failed_task_is_told_by_its_name_and_message(project: Project) -> None:
    result = project.run({"name": "Refuse it", "ansible.builtin.fail": {"msg": "no room"}})
    assert (result.status, result.message) == (FAILED, "Refuse it: no room")
    assert result.of("aaaa").status == FAILED


def test_a_playbook_that_can_not_be_read_is_told_of(project: Project) -> None:
    result = project.run({"name": "Nonsense", "no.such.module": {}})
    assert result.status == FAILED
    assert "no.such.module" in result.message
    assert result.of("aaaa").status == FAILED


def test_a_host_that_does_not_answer_is_unreachable(project: Project, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("no key")
    silent = HostAccess(
        id="aaaa", name="h1", address="127.0.0.1", port=9, private_key=key, host_keys=()
    )
    result = project.run(shell("true"), host=silent)
    assert result.status == UNREACHABLE
    assert result.of("aaaa").status == UNREACHABLE


def test_a_run_past_its_time_is_ended_with_its_processes(project: Project, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    result = project.run(shell(f"echo $$ > {pid}; exec sleep 60"), timeout_s=4)
    assert result.status == TIMEOUT
    assert result.of("aaaa").status == TIMEOUT
    wait_until(
        lambda: not pid.exists() or not Path(f"/proc/{pid.read_text().strip()}").exists(),
        what="the run's process is gone", timeout_s=60,
    )  # fmt: skip


def test_a_cancelled_run_ends_soon(project: Project, tmp_path: Path) -> None:
    started, cancel = tmp_path / "started", threading.Event()
    result: list[RunResult] = []

    def run() -> None:
        task = shell(f"touch {started}; exec sleep 60")
        result.append(project.run(task, cancelled=cancel.is_set))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(started.exists, what="the task is under way", timeout_s=60)
    cancel.set()
    thread.join(20)
    assert [each.status for each in result] == [CANCELLED]


def test_artifacts_are_bounded_in_number(project: Project) -> None:
    for number in range(5):
        (project.settings.artifacts_dir / f"old{number}").mkdir(parents=True)
        os.utime(project.settings.artifacts_dir / f"old{number}", (number, number))
    project.run(shell("true"))
    left = {path.name for path in project.settings.artifacts_dir.iterdir()}
    assert left == {"op1", "old4", "old3"}


def test_a_run_folder_is_ours_alone(project: Project) -> None:
    own = project.executor._own_folder()
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE(own.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_can_read_is_refused(project: Project) -> None:
    project.settings.runs_dir.mkdir(mode=0o755)
    project.settings.runs_dir.chmod(0o755)
    result = project.run(shell("true"))
    assert result.status == FAILED
    assert "Refused to keep runs" in result.message


def test_the_results_of_a_large_batch_all_come(project: Project) -> None:
    """ansible-runner's callback emptied results past 700,000 bytes."""
    items = [{"id": f"s{number}", "msg": "x" * 40_000} for number in range(50)]
    result = project.run({"name": "Apply", "apply": {"results": items}})
    assert result.status == OK
    assert result.of("aaaa").items == items


# --- a host that says too much ------------------------------------------------------------------

SAY = "head -c {} /dev/zero | tr '\\0' x"


def test_a_host_that_returns_too_much_at_once_fails_the_run_and_is_not_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "EVENT_MAX_BYTES", 1 << 20)
    long = "{{ [{'id': 's1', 'msg': 'x' * 3000000}] }}"
    result = project.run({"name": "Apply", "apply": {"results": long}})
    assert result.status == FAILED
    assert result.of("aaaa").items == []
    assert result.message.startswith(bounds.TOO_MUCH)
    for path in project.settings.artifacts_dir.rglob("*"):
        assert path.stat().st_size < 2 << 20
    assert list(project.executor._own_folder().iterdir()) == []


def test_a_run_that_prints_without_end_is_ended(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OUTPUT_MAX_BYTES", 1 << 20)
    result = project.run(
        {"name": "Print", "ansible.builtin.debug": {"msg": "{{ 'x' * 1000000 }}"},
         "loop": "{{ range(1000) | list }}"},
    )  # fmt: skip
    assert result.status == FAILED
    assert result.message.startswith(bounds.TOO_MUCH)
    assert not processes_of(project)


def test_a_host_that_returns_gigabytes_takes_no_more_memory_than_its_bound(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MEMORY_MAX_BYTES", 512 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = project.run({"name": "Say", "ansible.builtin.raw": SAY.format(8 << 30)}, timeout_s=120)
    assert result.status in (FAILED, UNREACHABLE)
    # The worker has taken in next to nothing of it. In KiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
    assert not processes_of(project)


def processes_of(project: Project) -> list[str]:
    mark = f"{leftovers.MARK}={project.settings.runs_dir}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text())
    return found


@pytest.mark.parametrize(
    ("hosts", "task", "status"),
    [
        # Nothing of ours is asked whether the dead host answers.
        ("localhost", {"ansible.builtin.command": "true"}, OK),
        ("h1", {"ansible.builtin.command": "true", "delegate_to": "localhost"}, OK),
        ("localhost", {"ansible.builtin.command": "false"}, FAILED),
        # A play that found no host, or skipped all it has, proves nothing.
        ("nobody", {"ansible.builtin.command": "true"}, FAILED),
        ("localhost", {"ansible.builtin.command": "true", "when": "false"}, FAILED),
        ("localhost", {"ansible.builtin.command": "true", "tags": "always"}, OK),
    ],
)
def test_an_operators_own_playbook_is_done_when_a_task_of_it_was(
    project: Project, tmp_path: Path, hosts: str, task: dict[str, Any], status: str
) -> None:
    play = {"hosts": hosts, "gather_facts": False, "tasks": [{"name": "Fence", **task}]}
    own = tmp_path / "fence.yml"
    own.write_text(yaml.safe_dump([play]))
    dead = replace(HOST, variables={"bmc_address": "192.0.2.99"})
    arguments = {"fenced_host": {"name": "h1", "address": "127.0.0.1"}}
    run = Run(
        id="run1", playbook="host_fence", hosts=(dead,), arguments=arguments, own_playbook=own
    )
    assert project.executor.run(run).of(dead.id).status == status
