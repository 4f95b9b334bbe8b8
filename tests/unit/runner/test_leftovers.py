"""What a killed worker leaves behind is ended and removed; what a living one has is left alone."""

import subprocess
import sys
from pathlib import Path

from controller.runner import leftovers

OWN = """
import os, subprocess, sys
from pathlib import Path
from controller.runner import leftovers
own = leftovers.OwnFolder(Path(sys.argv[1]))
(own.path / "secrets.yml").write_text("secret")
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         env={leftovers.MARK: str(own.path / "run")})
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
PROJECT = Path(__file__).resolve().parents[3]


def test_runs_of_a_killed_worker_are_ended_and_its_secrets_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWN, str(tmp_path)]
    killed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    orphan = int(killed.stdout)
    assert (Path("/proc") / str(orphan)).exists()

    assert leftovers.remove_dead(tmp_path) == 1

    assert list(tmp_path.iterdir()) == []
    status = Path(f"/proc/{orphan}/status")
    # Killed; whether it was reaped yet is its parent's business.
    assert not status.exists() or "(zombie)" in status.read_text()


def test_runs_of_a_living_worker_are_left_alone(tmp_path: Path) -> None:
    own = leftovers.OwnFolder(tmp_path)
    assert leftovers.remove_dead(tmp_path) == 0
    assert own.path.is_dir()
    own.close()
    assert list(tmp_path.iterdir()) == []


def test_processes_without_the_mark_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], env={"OTHER": str(tmp_path)}) as bystander:
        leftovers.end_processes(tmp_path)
        assert bystander.poll() is None
        bystander.kill()
