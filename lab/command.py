"""Run a program and turn its failure into a LabError that says what it printed."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

# Hosts and tools get this environment and nothing of the caller's: a shell hook or a variable of
# the user's must not slow down or change a host.
CLEAN_ENV: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


def run_command(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Return what `argv` printed on its standard output.

    `env` is added to CLEAN_ENV. Raises LabError, with the end of its output, when it is missing or
    exits with something other than 0.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**CLEAN_ENV, **(env or {})},
        )
    except FileNotFoundError as error:
        raise LabError(
            f"Cannot run {words[0]}: it is not installed. Run `python3 -m lab packages` as root."
        ) from error
    if done.returncode != 0:
        printed = "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        raise LabError(f"`{shlex.join(words)}` failed with status {done.returncode}: {printed}")
    return done.stdout


def require_root(what: str) -> None:
    """Raise LabError unless this process is root."""
    if os.geteuid() != 0:
        raise LabError(
            f"Cannot {what} as user id {os.geteuid()}: it needs root, because it makes namespaces, "
            "mounts and interfaces. Run it with sudo."
        )
