"""What site.yml writes is what the controller reads: settings of every kind, awkward texts too."""

import dataclasses
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from controller.runner.variables import write_variables
from controller.settings import Settings, load

ROOT = Path(__file__).resolve().parents[4]
TEMPLATE = ROOT / "roles/controller/templates/novella.toml.j2"
AWKWARD = "a \"b\" 'c' \\ \n\t {{ 7*7 }} # ü 🦊 \x7f\x01"


def write(folder: Path, settings: dict[str, Any]) -> Path:
    """Have Ansible write the file, as the role does."""
    arguments, path = folder / "arguments.yml", folder / "novella.toml"
    given = {
        "controller_state_path": "/srv/novella",
        "controller_settings": settings,
        "controller_secret_settings": {},
    }
    write_variables(arguments, given)
    subprocess.run(
        [Path(sys.executable).with_name("ansible"), "localhost", "-c", "local", "-m", "template",
         "-a", f"src={TEMPLATE} dest={path}", "-e", f"@{arguments}"],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "ansible"),
        },
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return path


def test_the_controller_reads_a_setting_of_each_kind_as_it_was_given(tmp_path: Path) -> None:
    given = {
        "region": AWKWARD,
        "poll_s": 2.5,
        "lease_s": 2,
        "runs_dir": "/somewhere/else",
        "scheduler_weighers": ["Cpu", AWKWARD],
        "default_quota": {"instances": 20, "port": -1, "cores": 0},
    }
    settings = load(write(tmp_path, given))
    read = {name: getattr(settings, name) for name in given}
    as_read = {"runs_dir": Path("/somewhere/else"), "scheduler_weighers": ("Cpu", AWKWARD)}
    assert read == {**given, **as_read}


def test_the_controller_reads_every_setting_back_as_it_is(tmp_path: Path) -> None:
    defaults = dataclasses.asdict(Settings())
    texts = {name: str(value) for name, value in defaults.items() if isinstance(value, Path)}
    assert load(write(tmp_path, {**defaults, **texts})) == Settings()


def test_the_state_folder_is_written_with_nothing_else_given(tmp_path: Path) -> None:
    assert tomllib.loads(write(tmp_path, {}).read_text()) == {"state_dir": "/srv/novella"}
