"""A module's archive goes to a host once, and runs there as if Ansible had sent it."""

import json
import os
import shlex
import subprocess
import sys
import zipfile
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.plugin_utils import kept_modules, module_keeper

DAY_S = 86400
MODULE = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"text": {"type": "str"}}, supports_check_mode=True)
module.exit_json(changed=False, said=module.params["text"], by=__file__)
"""
BUILD = """
import sys
from ansible.executor import module_common
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

init_plugin_loader([])
built = module_common.modify_module(
    module_name="say", module_path=sys.argv[1], module_args={"text": sys.argv[2]},
    templar=Templar(loader=DataLoader()), module_compression="ZIP_DEFLATED",
    task_vars={"ansible_python_interpreter": sys.argv[3]},
)
sys.stdout.buffer.write(built.b_module_data)
"""


class Host:
    """A host's shell: this machine's own. `sent` has how many bytes went over, each time."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def execute(self, command: str, data: bytes) -> dict[str, Any]:
        self.sent.append(len(data))
        done = subprocess.run(["sh", "-c", command], input=data, capture_output=True, check=False)
        return {
            "rc": done.returncode,
            "stdout": done.stdout.decode(),
            "stderr": done.stderr.decode(),
        }


def program(folder: Path, text: str, source: str = MODULE) -> bytes:
    """Return what Ansible sends to run the module `say` with `text`."""
    path = folder / "say.py"
    path.write_text(source)
    # Ansible's loader changes how the whole process imports.
    command = [sys.executable, "-c", BUILD, str(path), text, sys.executable]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def say(tmp_path_factory: pytest.TempPathFactory) -> kept_modules.Module:
    module = kept_modules.taken_from(program(tmp_path_factory.mktemp("module"), "{{ 7*7 }} 'é'"))
    assert module is not None
    return module


def run(host: Host, module: kept_modules.Module, folder: Path) -> dict[str, Any]:
    done = kept_modules.run(
        host.execute, shlex.quote(sys.executable), module, str(folder / "modules")
    )
    assert done["rc"] == 0, done
    answer: dict[str, Any] = json.loads(done["stdout"])
    return answer


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*.py*")
    }


def test_the_archive_goes_over_once(say: kept_modules.Module, tmp_path: Path) -> None:
    host = Host()
    first, second = run(host, say, tmp_path), run(host, say, tmp_path)
    assert first["said"] == second["said"] == "{{ 7*7 }} 'é'"
    assert first["by"].startswith(str(tmp_path / "modules" / say.key))
    asked, sent, again = host.sent
    assert asked == again < sent - len(say.archive) + 100


def test_a_shell_may_greet(say: kept_modules.Module, tmp_path: Path) -> None:
    class Greeting(Host):
        def execute(self, command: str, data: bytes) -> dict[str, Any]:
            answer = super().execute(command, data)
            return {**answer, "stdout": f"welcome\n{answer['stdout']}"}

    host = Greeting()
    folder = str(tmp_path / "modules")
    said = kept_modules.run(host.execute, shlex.quote(sys.executable), say, folder)["stdout"]
    assert json.loads(said.removeprefix("welcome\n"))["said"]


def test_a_run_writes_nothing_of_its_own(say: kept_modules.Module, tmp_path: Path) -> None:
    run(Host(), say, tmp_path)
    before = files(tmp_path)
    compiled = {path for path in before if path.endswith(".pyc")}
    assert len(compiled) == len(before) / 2
    run(Host(), say, tmp_path)
    assert files(tmp_path) == before


def test_only_its_owner_may_write_there(say: kept_modules.Module, tmp_path: Path) -> None:
    run(Host(), say, tmp_path)
    kept = [tmp_path / "modules", *(tmp_path / "modules").rglob("*")]
    assert not [path for path in kept if path.stat().st_mode & 0o077]


def test_another_content_is_another_archive(say: kept_modules.Module, tmp_path: Path) -> None:
    other = kept_modules.taken_from(program(tmp_path, "x", MODULE.replace("said=", "answered=")))
    assert other is not None
    host = Host()
    assert run(host, say, tmp_path)["said"]
    assert run(host, other, tmp_path)["answered"] == "x"
    assert run(host, say, tmp_path)["said"]
    assert len(list((tmp_path / "modules").iterdir())) == 2


def test_the_times_in_an_archive_make_no_difference(say: kept_modules.Module) -> None:
    packed = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(b64decode(say.archive))) as old,
        zipfile.ZipFile(packed, "w") as new,
    ):
        for name in reversed(old.namelist()):
            new.writestr(zipfile.ZipInfo(name, (1999, 1, 1, 0, 0, 0)), old.read(name))
    archive = b64encode(packed.getvalue()).decode()
    assert kept_modules.key_of(archive) == say.key


def test_several_runs_may_be_the_first(say: kept_modules.Module, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: run(Host(), say, tmp_path), range(4)))
    assert {answer["said"] for answer in answers} == {"{{ 7*7 }} 'é'"}
    assert len(list((tmp_path / "modules").iterdir())) == 1


def test_what_nobody_runs_goes_when_another_comes(say: kept_modules.Module, tmp_path: Path) -> None:
    # A killed run leaves one of these.
    left = tmp_path / "modules" / "new-abc"
    left.mkdir(parents=True)
    old = left.stat().st_mtime - module_keeper.KEPT_S - DAY_S
    os.utime(left, (old, old))
    run(Host(), say, tmp_path)
    (kept,) = (tmp_path / "modules").iterdir()
    os.utime(kept, (old, old))
    run(Host(), say, tmp_path)
    assert kept.stat().st_mtime > old + module_keeper.KEPT_S


def test_what_another_run_moves_meanwhile_disturbs_no_clean_up(tmp_path: Path) -> None:
    # As `listdir` names what is renamed before it is looked at.
    (tmp_path / "new-moved").symlink_to(tmp_path / "gone")
    module_keeper._age(str(tmp_path))


def test_a_host_with_something_in_the_way_says_so(say: kept_modules.Module, tmp_path: Path) -> None:
    (tmp_path / "modules").write_text("in the way")
    done = kept_modules.run(Host().execute, sys.executable, say, str(tmp_path / "modules"))
    assert done["rc"] != 0
    assert "File exists" in done["stderr"]


def test_what_runs_otherwise_is_left_to_ansible(tmp_path: Path) -> None:
    built = program(tmp_path, "x")
    assert kept_modules.taken_from(built) is not None
    debugged = built.replace(b"extensions={}", b"extensions={'debugpy': {}}")
    limited = built.replace(b"rlimit_nofile=0", b"rlimit_nofile=1024")
    damaged = built.replace(b"zip_data='", b"zip_data='', other='")
    for other in (b"#!/bin/sh\necho", debugged, limited, damaged):
        assert other != built
        assert kept_modules.taken_from(other) is None
