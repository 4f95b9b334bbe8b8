"""`novella operation`: an operator finds, reads and repeats what the cloud did."""

import json
import logging
import shlex
from pathlib import Path
from typing import Any

import pytest

from controller.cli import main
from controller.conductor.engine import Engine
from controller.core import hosts, operations, sealing
from controller.core.context import Context
from controller.db.base import Base, utcnow
from controller.db.models import CloudSetting, Domain, Operation, Server, User
from controller.db.session import Database
from controller.errors import Conflict
from controller.keys import make_keys
from controller.runner.simulated import SimulatedExecutor
from controller.settings import Settings, load

FORGED = "web\nfault       none\x1b[2J"


class Shell:
    """A cloud with one server, and the commands as an operator types them."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = directory / "novella.toml"
        self.config.write_text(
            f'state_dir = "{directory / "state"}"\nruns_dir = "{directory / "runs"}"\n'
            'executor = "simulated"\n'
        )
        self.settings: Settings = load(self.config)
        self.capsys = capsys
        self.db = Database(self.settings.db_url)
        self.executor = SimulatedExecutor()
        make_keys(self.settings)
        Base.metadata.create_all(self.db.engine)
        with self.db.write() as session:
            session.add(CloudSetting(name="cloud_id", value="3f0c0000-0000-4000-8000-000000000000"))
            session.add(Domain(id="default", name="Default"))
            session.flush()
            session.add(User(id="u" * 32, name="alice", domain_id="default"))
            host = hosts.enroll_record(session, "h1", "192.0.2.1", host_keys=["ssh-ed25519 AAAA"])
            facts = {"cpus": 8, "memory_mb": 8704, "disk_gb": 100}
            hosts.record_facts(session, self.settings, host, facts, utcnow())

    def create(self) -> str:
        """Accept and do a create; return the operation's id."""
        context = Context("req-1", user_id="u" * 32, project_id="p" * 32)
        with self.db.write() as session:
            server = Server(
                project_id=context.project, user_id=context.user_id, name=FORGED, hostname="web",
                flavor={"vcpus": 1, "memory_mb": 128, "disk_gb": 1}, reservation_id="r-1",
                image_id="5f2c4c9e-1111-4222-8333-444455556666", image={"disk_format": "qcow2"},
                sealed_user_data=sealing.seal_user_data(self.settings, "c4n4ry-userdata"),
            )  # fmt: skip
            session.add(server)
            session.flush()
            operation = operations.begin_action(
                session, self.settings, context, server, "create",
                secrets={"admin_pass": "c4n4ry-password"},
            )  # fmt: skip
            session.flush()
            operation_id = operation.id
        Engine(self.settings, self.db, self.executor).run_until_idle()
        return operation_id

    def type(self, *words: str, status: int = 0) -> str:
        assert main(["--config", str(self.config), "operation", *words]) == status
        said = self.capsys.readouterr()
        return said.out if status == 0 else said.err

    def json(self, *words: str) -> Any:
        return json.loads(self.type(*words, "--json"))


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    made = Shell(tmp_path, capsys)
    yield made
    made.db.dispose()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_show_tells_who_what_when_where_and_each_step(shell: Shell) -> None:
    operation_id = shell.create()
    found = shell.json("show", operation_id[:12])
    assert (found["id"], found["kind"], found["state"]) == (
        operation_id, "server_create", "succeeded"
    )  # fmt: skip
    assert found["user"] == {"id": "u" * 32, "name": "alice"}
    assert found["host"]["name"] == "h1"
    assert (found["request_id"], found["generation"], found["attempts"]) == ("req-1", 1, 0)
    assert found["seconds"] >= 0
    steps = {step["name"]: step for step in found["steps"]}
    assert list(steps) == ["choose_host", "bind_ports", "spawn", "Pretend"]
    for step in steps.values():
        assert step["result"] == "Success"
        assert step["seconds"] >= 0
    text = shell.type("show", operation_id)
    for part in ("server_create", "alice", "on h1", "choose_host", "rerun", "succeeded"):
        assert part in text


def test_show_tells_the_fault_in_words_for_operators(shell: Shell) -> None:
    shell.executor.fails = lambda run, _id: (
        "no room on /dev/vda" if "create" in run.playbook else None
    )
    operation_id = shell.create()
    found = shell.json("show", operation_id)
    assert found["state"] == "failed"
    assert found["fault"]["host_failed"] is False
    assert found["failures"] == ["no room on /dev/vda"]
    assert any(step["details"] == "no room on /dev/vda" for step in found["steps"])
    assert "no room on /dev/vda" in shell.type("show", operation_id)


def test_text_of_a_tenant_begins_no_line(shell: Shell) -> None:
    text = shell.type("show", shell.create())
    assert "\x1b" not in text
    assert not any(line.startswith("fault") for line in text.splitlines())


def test_secrets_are_in_none_of_it(shell: Shell) -> None:
    operation_id = shell.create()
    for words in (("show", operation_id), ("rerun", operation_id, "--check"), ("list",)):
        assert "c4n4ry" not in shell.type(*words) + str(shell.json(*words))


def test_list_finds_by_server_host_state_and_kind(shell: Shell) -> None:
    operation_id = shell.create()
    [listed] = shell.json("list")
    server_id = listed["server_id"]
    assert operation_id in shell.type("list")
    for words in (
        ("--server", server_id), ("--server", server_id[:8]), ("--server", FORGED),
        ("--host", "h1"), ("--state", "succeeded"), ("--kind", "server_create"),
    ):  # fmt: skip
        assert [each["id"] for each in shell.json("list", *words)] == [operation_id]
    for words in (("--server", "%"), ("--host", "h2"), ("--state", "failed"), ("--kind", "x")):
        assert shell.json("list", *words) == []


def test_rerun_does_the_play_and_says_what_came_of_it(shell: Shell) -> None:
    operation_id = shell.create()
    said = shell.json("rerun", operation_id[:8], "--check")
    assert (said["status"], said["check"], said["host"]) == ("ok", True, "h1")
    assert "server_create on h1: ok" in shell.type("rerun", operation_id, "--check")
    with shell.db.write() as session:
        session.add(Operation(kind="server_stop", server_id=session.query(Server.id).scalar()))
    assert "is queued. Wait until" in shell.type("rerun", operation_id, "--check", status=1)


@pytest.mark.parametrize("fails", [False, True])
def test_after_a_rerun_for_real_the_rules_are_set_from_the_database(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """It may have set rules that were taken back meanwhile, and no operation looks at that."""
    operation_id = shell.create()
    if fails:
        monkeypatch.setattr(SimulatedExecutor, "run", _raise)
    shell.type("rerun", operation_id, "--check", status=int(fails))
    assert shell.json("list", "--kind", "port_update") == []
    shell.type("rerun", operation_id, status=int(fails))
    [update] = shell.json("list", "--kind", "port_update")
    assert (update["state"], update["host"]) == ("queued", "h1")


def _raise(*_arguments: object) -> None:
    raise Conflict("the run was ended")


def test_nothing_is_made_up_for_an_id_that_is_not_there(shell: Shell) -> None:
    assert "No operation zz was found" in shell.type("show", "zz", status=1)


def test_the_command_by_hand_names_what_is_kept(shell: Shell) -> None:
    operation_id = shell.create()
    folder = shell.settings.artifacts_dir / operation_id / "001-server_create"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text('{"status": "ok", "check": false, "hosts": {"x": {}}}')
    (folder / "diff.txt").write_text("== x: Make it ==\n+\x1b[2Jnew\n")
    found = shell.json("show", operation_id)
    [run] = found["runs"]
    words = shlex.split(run["again"])
    assert words[-3:] == [
        str(shell.settings.project_dir / "playbooks" / "server_create.yml"), "--check", "--diff"
    ]  # fmt: skip
    assert str(folder / "inventory.yml") in words
    assert f"@{folder / 'arguments.yml'}" in words
    assert r"+\x1b[2Jnew" in shell.type("show", operation_id)
    assert found["diff"].startswith("== x: Make it ==")
