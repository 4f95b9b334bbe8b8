"""Run the checks and the tests, say how long each took, and fail when one of them failed.

`make test` runs everything that is quick enough for every change; `--full` adds the slow rest.
All stages run even when an early one fails, so that one run shows everything. Checks that take one
core each, and what works on lab hosts, run two at a time; each one's output is shown whole, when
it has ended.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import groupby
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
# How many stages run side by side; `make test` is meant for two cores.
AT_ONCE = 2
SAY_EVERY_S = 60.0
CODE = ("controller", "lab", "plugins", "tools", "bench", "tests")


@dataclass(frozen=True)
class Stage:
    """A command of a group: lint, unit, databases, lab or molecule."""

    name: str
    group: str
    command: Sequence[str]
    # True for what only `make test-full` runs.
    slow: bool = False
    # True for what takes one core at most, and changes nothing that another of them reads.
    beside_others: bool = False


def stages() -> list[Stage]:
    """Return every stage, quick ones first."""
    python = str(BIN / "python")
    tests = [python, "-m", "pytest"]
    return [
        # The two that take longest first, side by side.
        _check("mypy", "mypy"),
        _check("ansible-lint", "ansible-lint", "--offline", "-q"),
        _check("ruff check", "ruff", "check", *CODE),
        _check("ruff format", "ruff", "format", "--check", *CODE),
        _check("import-linter", "lint-imports"),
        _check("yamllint", "yamllint", "--strict", "."),
        # Slow the first time: ansible-test installs each test's tools into environments of its own.
        Stage("ansible-test sanity", "lint", [python, "-m", "tools.run_sanity"], slow=True),
        Stage("unit and API tests", "unit", [*tests, "-n2", "-m", "not lab and not slow"]),
        *(_on_database(kind, ON_EVERY_DATABASE) for kind in ("postgresql", "mariadb")),
        *(_on_database(kind, WITH_A_DATABASE, slow=True) for kind in ("postgresql", "mariadb")),
        # Each has a lab of its own, and waits for its guests most of the time. The third begins
        # when the first ends, and is through before the second.
        _on_lab_hosts("with a controller", "cloud"),
        _on_lab_hosts("by hand", "not cloud"),
        Stage("molecule", "molecule", [python, "-m", "tools.run_molecule"], beside_others=True),
        Stage("slow tests", "slow", [*tests, "-m", "slow", "--durations=10"], slow=True),
    ]


def _check(name: str, program: str, *arguments: str) -> Stage:
    # A home of its own: a copy of our collection in the user's would stand before the checkout's.
    command = ["env", f"ANSIBLE_HOME={ROOT / '.ansible'}", str(BIN / program), *arguments]
    return Stage(name, "lint", command, beside_others=True)


def _on_lab_hosts(name: str, which: str) -> Stage:
    command = [str(BIN / "python"), "-m", "pytest", "-m", f"lab and not slow and {which}"]
    name = f"tests on lab hosts, {name}"
    return Stage(name, "lab", [*command, "--durations=10"], beside_others=True)


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
    outcomes = list(_outcomes(wanted))
    print("\n==> summary")
    for stage, status, seconds in outcomes:
        print(f"  {'passed' if status == 0 else 'FAILED':<7} {seconds:7.1f} s  {stage.name}")
    failed = sum(status != 0 for _, status, _ in outcomes)
    print(f"stages: {len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _outcomes(wanted: Iterable[Stage]) -> Iterator[tuple[Stage, int, float]]:
    """Run the stages; yield each with its exit status and seconds."""
    for beside_others, stages in groupby(wanted, key=lambda stage: stage.beside_others):
        if beside_others:
            yield from _side_by_side(list(stages))
            continue
        for stage in stages:
            _announce(stage)
            began = time.monotonic()
            status = subprocess.run(
                stage.command, cwd=ROOT, env=_environment(), check=False
            ).returncode
            yield stage, status, time.monotonic() - began


def _side_by_side(stages: Sequence[Stage]) -> Iterator[tuple[Stage, int, float]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(_collect, stage): stage for stage in stages}
        while running:
            ended, left = wait(running, timeout=SAY_EVERY_S, return_when=FIRST_COMPLETED)
            if not ended:
                names = [stage.name for future, stage in running.items() if future.running()]
                print(f"... at work: {', '.join(names)}; {len(left)} to go", flush=True)
            for future in ended:
                stage = running.pop(future)
                status, seconds, said = future.result()
                _announce(stage)
                sys.stdout.write(said)
                yield stage, status, seconds


def _announce(stage: Stage) -> None:
    print(f"\n==> {stage.name}: {' '.join(Path(word).name for word in stage.command)}", flush=True)


def _collect(stage: Stage) -> tuple[int, float, str]:
    """Run a stage; return its exit status, seconds and output."""
    began = time.monotonic()
    done = subprocess.run(
        stage.command, cwd=ROOT, env=_environment(), check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    return done.returncode, time.monotonic() - began, done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{BIN}:{os.environ.get('PATH', '')}"}


if __name__ == "__main__":
    sys.exit(main())
