"""The host's Python that waits for its play: used once, given up without harm, and never left."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

from ansible_collections.novella.cloud.plugins.plugin_utils import head_start as in_play
from ansible_collections.novella.cloud.plugins.plugin_utils import kept_modules
from controller.runner import head_start
from controller.runner.head_start import HeadStarts
from controller.runner.requests import Run
from controller.runner.run_folder import RunFolder, run_folder
from controller.settings import PROJECT_DIR
from controller.ssh import HostAccess
from lab.waiting import wait_until

KEY = "0" * 64
# What stands for a module that the host has: it says what it was given, and who it is.
LOADER = """
import json, os, sys
def run_module(json_params, profile, module_fqn, modlib_path, extensions):
    print(json.dumps({"said": json.loads(json_params), "pid": os.getpid()}))
    sys.exit(json.loads(json_params).get("status", 0))
"""


@pytest.fixture
def host(tmp_path: Path) -> HostAccess:
    state = tmp_path / "state"
    home = state / "modules" / f"{KEY}-{sys.implementation.cache_tag}"
    loader = home / "ansible" / "module_utils" / "_internal" / "_ansiballz"
    loader.mkdir(parents=True)
    for package in (loader, *loader.parents[:3]):
        (package / "__init__.py").touch()
    (loader / "_loader.py").write_text(LOADER)
    return HostAccess(
        id="11111111-1111-4111-8111-111111111111", name="h1", address="192.0.2.1",
        private_key=tmp_path / "key", host_keys=("ssh-ed25519 AAAA",),
        variables={"compute_state_path": str(state)},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's shell in the place of ssh and a host."""
    monkeypatch.setattr(head_start, "INTERPRETER", sys.executable)
    monkeypatch.setattr(
        head_start, "_command", lambda _host, _folder, remote: ["/bin/sh", "-c", remote]
    )


@contextlib.contextmanager
def given(
    starts: HeadStarts, host: HostAccess, tmp_path: Path, **of_run: Any
) -> Iterator[RunFolder]:
    run = Run("r1", "server_create", (host,), {"servers": [{"id": "x"}]}, **of_run)
    own = tmp_path / "runs" / "own"
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    own.parent.chmod(0o700)
    with run_folder(own, run) as folder:
        # As if there were a connection.
        folder.control_path(host).touch()
        with starts.given(run, folder):
            yield folder


@pytest.fixture
def starts() -> HeadStarts:
    made = HeadStarts(PROJECT_DIR)
    made._key = KEY
    return made


def execute(
    monkeypatch: pytest.MonkeyPatch, folder: RunFolder, host: HostAccess, params: dict[str, Any]
) -> dict[str, Any] | None:
    """Do what the action plugin does in the play; None says that it would go the plain way."""
    monkeypatch.setenv(in_play.FOLDER, str(folder.head_start))
    plain = {"rc": -1, "stdout": "", "stderr": "plain"}
    done = kept_modules.run(
        lambda _command, _data: plain, sys.executable,
        kept_modules.Module("say", json.dumps(params), "legacy", "", KEY),
        f"{host.variables['compute_state_path']}/modules",
    )  # fmt: skip
    return None if done is plain else done


def test_a_play_is_served_once(
    starts: HeadStarts, host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with given(starts, host, tmp_path) as folder:
        done = execute(monkeypatch, folder, host, {"text": "{{ 7*7 }}\n'é'"})
        assert done is not None
        assert done["rc"] == 0
        assert json.loads(done["stdout"])["said"] == {"text": "{{ 7*7 }}\n'é'"}
        assert execute(monkeypatch, folder, host, {"text": "again"}) is None


def test_a_host_that_never_stops_talking_is_cut_off(
    starts: HeadStarts, host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_play, "OUTPUT_MAX_BYTES", 1 << 20)
    loader = next(tmp_path.rglob("_loader.py"))
    loader.write_text("def run_module(**_):\n    while True: print('x' * 65536)\n")
    with (
        given(starts, host, tmp_path) as folder,
        pytest.raises(AnsibleActionFail, match="more than is taken in"),
    ):
        execute(monkeypatch, folder, host, {})
    wait_until(lambda: not _marked(folder.path), what="it has ended", timeout_s=30)


def test_a_module_that_fails_is_told_from_a_lost_connection(
    starts: HeadStarts, host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with given(starts, host, tmp_path) as folder:
        done = execute(monkeypatch, folder, host, {"status": 3})
        assert done is not None
        assert done["rc"] == 3


def test_a_connection_that_is_lost_after_the_task_went_over_is_told(
    starts: HeadStarts, host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = next(tmp_path.rglob("_loader.py"))
    loader.write_text("import os, signal\ndef run_module(**_): os.kill(os.getppid(), 9)\n")
    with (
        given(starts, host, tmp_path) as folder,
        pytest.raises(AnsibleConnectionFailure, match="lost in mid-run"),
    ):
        execute(monkeypatch, folder, host, {})


def test_one_that_died_before_harms_nobody(
    starts: HeadStarts, host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_start, "_command", lambda *_: ["/bin/sh", "-c", "echo no such host"])
    with given(starts, host, tmp_path) as folder:
        assert execute(monkeypatch, folder, host, {}) is None


def test_a_host_that_lacks_the_archive_is_sent_it_the_plain_way(
    starts: HeadStarts, host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state" / "modules").rename(tmp_path / "state" / "gone")
    with given(starts, host, tmp_path) as folder:
        assert execute(monkeypatch, folder, host, {}) is None


def test_another_archive_than_was_started_is_run_the_plain_way(
    starts: HeadStarts, host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with given(starts, host, tmp_path) as folder:
        monkeypatch.setenv(in_play.FOLDER, str(folder.head_start))
        other = {"interpreter": sys.executable, "folder": "/elsewhere", "key": KEY}
        assert in_play.run(other, "{}") is None


def test_what_nobody_used_ends_with_the_run_and_ran_nothing(
    starts: HeadStarts, host: HostAccess, tmp_path: Path
) -> None:
    with given(starts, host, tmp_path) as folder:
        (waiting,) = _marked(folder.path)
    wait_until(lambda: not _marked(folder.path), what="it has ended", timeout_s=30)
    assert not Path(f"/proc/{waiting}").exists()


def test_the_next_run_knows_what_this_one_ran(
    host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = HeadStarts(PROJECT_DIR)
    with given(starts, host, tmp_path) as folder:
        assert not _marked(folder.path)
        assert execute(monkeypatch, folder, host, {}) is None
    with given(starts, host, tmp_path) as folder:
        assert execute(monkeypatch, folder, host, {}) is not None


def test_a_run_that_changes_nothing_has_none(
    starts: HeadStarts, host: HostAccess, tmp_path: Path
) -> None:
    with given(starts, host, tmp_path, check=True) as folder:
        assert not _marked(folder.path)


def test_it_is_reached_as_plays_reach_the_host(
    host: HostAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with given(HeadStarts(PROJECT_DIR), host, tmp_path) as folder:
        inventory = json.loads(folder.inventory.read_text())
        words = head_start._command(host, folder, "echo 'a b'")
    variables = inventory["all"]["children"]["compute_hosts"]["hosts"]["h1"]
    assert set(shlex.split(variables["ansible_ssh_common_args"])) <= set(words)
    assert f"ControlPath={variables['ansible_control_path']}" in words
    assert words[-1] == shlex.quote("echo 'a b'")
    assert subprocess.check_output(["/bin/sh", "-c", " ".join(words[-3:])]) == b"a b\n"


def _marked(folder: Path) -> list[int]:
    """Return the processes of the run that are not this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"NOVELLA_RUN={folder}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid() and _is_first(pid, found)]


def _is_first(pid: int, among: list[int]) -> bool:
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return False
    return parent not in among
