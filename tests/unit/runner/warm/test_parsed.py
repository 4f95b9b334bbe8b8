"""Our files are parsed once, and mean what they meant."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from controller.runner.variables import unsafe_yaml
from controller.runner.warm.parsed import KEPT_ROLES
from controller.settings import PROJECT_DIR

# In a process of its own: what it changes in Ansible stays for good.
TRY = """
import json, sys
from pathlib import Path
from ansible.cli import playbook
from ansible.parsing.dataloader import DataLoader
from ansible.template import is_trusted_as_template

from ansible.parsing import dataloader
from controller.runner.warm import parsed

project, path = Path(sys.argv[1]), sys.argv[2]
count = []
plainly = dataloader.from_yaml
dataloader.from_yaml = lambda *a, **k: count.append(1) or plainly(*a, **k)
parsed.keep(project)
before = len(count)
for text in sys.argv[3:]:
    Path(path).write_text(text)
    found = DataLoader().load_from_file(path, trusted_as_template=True)
    trusted = [] if isinstance(found, list) else [*filter(is_trusted_as_template, found.values())]
    found = [found, trusted] if isinstance(found, dict) else found
    print(json.dumps([found, len(count) - before]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "a.yml").write_text("[{x: 1}]")
    return tmp_path


def loaded(project: Path, *texts: str) -> list[tuple[object, int]]:
    """Return what a file with each of `texts` in turn is loaded as, and how many were parsed; of a
    mapping also those of its values that are trusted as templates.
    """
    argv = [sys.executable, "-c", TRY, str(project), str(project / "playbooks" / "a.yml"), *texts]
    done = subprocess.run(argv, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_a_file_is_not_parsed_again(project: Path) -> None:
    assert loaded(project, "[{x: 1}]") == [([{"x": 1}], 0)]


def test_a_changed_file_is(project: Path) -> None:
    assert loaded(project, "[{x: 2}]") == [([{"x": 2}], 1)]


def test_what_a_run_was_given_it_may_change(project: Path) -> None:
    assert loaded(project, "[{x: 1}]", "[{x: 1}]") == [([{"x": 1}], 0), ([{"x": 1}], 1)]


def test_the_roles_are_where_ansible_finds_them() -> None:
    from controller.runner.warm import parsed

    found = list(parsed._files(PROJECT_DIR))
    assert {path.parts[-3] for path in found if path.name == "argument_specs.yml"} == {*KEPT_ROLES}


def test_a_runs_arguments_are_read_without_yaml_and_never_trusted(project: Path) -> None:
    value = {"name": "{{ 7*7 }}", "count": 1}
    written = unsafe_yaml(value)
    by_hand = '!unsafe {name: "{{ 7*7 }}", count: 1}'
    assert loaded(project, written, by_hand) == [([value, []], 0), ([value, []], 1)]
    assert loaded(project, written.removeprefix("!unsafe ")) == [([value, ["{{ 7*7 }}"]], 1)]
