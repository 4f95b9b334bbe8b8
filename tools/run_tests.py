"""Run the checks and the tests, say how long each took, and fail when one of them failed.

`make test` runs everything that is quick enough for every change; `--full` adds the slow rest.
All stages run even when an early one fails, so that one run shows everything.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What is decided by a database's own locks and types: races, the life of a server, lists.
ON_EVERY_DATABASE = (
    "tests/unit/db",
    "tests/unit/placement",
    "tests/unit/conductor/test_server_create.py",
    "tests/unit/conductor/test_delete.py",
    "tests/unit/conductor/test_port_update.py",
    "tests/api/compute/test_server_list.py",
    "tests/api/network/test_networks.py",
)
# What knows of databases at all.
WITH_A_DATABASE = ("tests/api", "tests/unit/conductor", "tests/unit/db", "tests/unit/placement")
ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CODE = ("controller", "lab", "plugins", "tools", "bench", "tests")


@dataclass(frozen=True)
class Stage:
    """A command of a group: lint, unit, databases, lab or molecule."""

    name: str
    group: str
    command: Sequence[str]
    # True for what only `make test-full` runs.
    slow: bool = False


def stages() -> list[Stage]:
    """Return every stage, quick ones first."""
    python = str(BIN / "python")
    tests = [python, "-m", "pytest"]
    return [
        Stage("ruff check", "lint", [str(BIN / "ruff"), "check", *CODE]),
        Stage("ruff format", "lint", [str(BIN / "ruff"), "format", "--check", *CODE]),
        Stage("mypy", "lint", [str(BIN / "mypy")]),
        Stage("import-linter", "lint", [str(BIN / "lint-imports")]),
        Stage("yamllint", "lint", [str(BIN / "yamllint"), "--strict", "."]),
        Stage("ansible-lint", "lint", [str(BIN / "ansible-lint"), "--offline", "-q"]),
        # Slow the first time: ansible-test installs each test's tools into environments of its own.
        Stage("ansible-test sanity", "lint", [python, "-m", "tools.run_sanity"], slow=True),
        Stage("unit and API tests", "unit", [*tests, "-n2", "-m", "not lab and not slow"]),
        *(_on_database(kind, ON_EVERY_DATABASE) for kind in ("postgresql", "mariadb")),
        *(_on_database(kind, WITH_A_DATABASE, slow=True) for kind in ("postgresql", "mariadb")),
        Stage("tests on lab hosts", "lab", [*tests, "-m", "lab and not slow", "--durations=10"]),
        Stage("molecule", "molecule", [python, "-m", "tools.run_molecule"]),
        Stage("slow tests", "slow", [*tests, "-m", "slow", "--durations=10"], slow=True),
    ]


def _on_database(kind: str, paths: Sequence[str], *, slow: bool = False) -> Stage:
    """Return the stage of these tests on a database server that they start themselves."""
    setting = f"NOVELLA_TEST_DATABASE={kind}"
    command = [str(BIN / "python"), "-m", "pytest", "-n2", "-m", "not lab and not slow", *paths]
    name = f"{'all' if slow else 'races and lists'} on {kind}"
    return Stage(name, "databases", ["env", setting, *command], slow=slow)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stages; return 0 when all passed."""
    parser = argparse.ArgumentParser(prog="python -m tools.run_tests", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the slow stages too")
    parser.add_argument("--only", help="one group: lint, unit, databases, lab, molecule or slow")
    arguments = parser.parse_args(argv)
    wanted = [
        stage
        for stage in stages()
        if (arguments.full or not stage.slow) and arguments.only in (None, stage.group)
    ]
    # The order is by cost: what fails quickly is seen quickly.
    outcomes = [(stage, *_run(stage)) for stage in wanted]
    print("\n==> summary")
    for stage, status, seconds in outcomes:
        print(f"  {'passed' if status == 0 else 'FAILED':<7} {seconds:7.1f} s  {stage.name}")
    failed = sum(status != 0 for _, status, _ in outcomes)
    print(f"stages: {len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _run(stage: Stage) -> tuple[int, float]:
    print(f"\n==> {stage.name}: {' '.join(Path(word).name for word in stage.command)}", flush=True)
    began = time.monotonic()
    path = f"{BIN}:{os.environ.get('PATH', '')}"
    status = subprocess.run(
        stage.command, cwd=ROOT, env={**os.environ, "PATH": path}, check=False
    ).returncode
    return status, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
