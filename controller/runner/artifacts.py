"""What is kept of each run for operators, without secrets, bounded in size, number and age.

<artifacts_dir>/<operation id>/<number>-<playbook>/
    inventory.yml known_hosts arguments.yml   enough to run it again by hand
    result.json diff.txt stdout.txt           what it said
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller import ssh
from controller.runner.requests import HostResult, Run, RunResult
from controller.runner.run_folder import RunFolder, inventory_text

log = logging.getLogger(__name__)

# The most that is kept of what a host said, in each of a run's files, in bytes.
SAID_MAX_BYTES = 1 << 20
# Of a text within a result, in characters; halved until the whole fits.
TEXT_MAX = 1 << 16
_TEXT_LEAST = 1 << 8


@dataclass(frozen=True, slots=True)
class Kept:
    """One run's folder. `result` is what is in result.json, empty when that can't be read."""

    path: Path
    playbook: str
    result: dict[str, Any]

    @property
    def diff(self) -> str:
        try:
            return (self.path / "diff.txt").read_text(errors="replace")
        except OSError:
            return ""


def keep(
    artifacts_dir: Path, kept: int, run: Run, folder: RunFolder, stdout: Path, result: RunResult
) -> None:
    """Keep the run's inventory, arguments, results, diff and output under each of `run.keep_as`.

    Afterwards at most `kept` operations have artifacts; the oldest go.
    """
    artifacts_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    diff = "".join(diff_text(host) for host in result.hosts.values())
    for operation_id in run.keep_as:
        target = _next_folder(artifacts_dir / operation_id, run.playbook)
        known_hosts = target / "known_hosts"
        # Not the run's own inventory: that names a folder which goes with the run.
        inventory = inventory_text(run.hosts, known_hosts, None)
        _write(target / "inventory.yml", inventory.encode())
        _write(known_hosts, ssh.known_hosts(list(run.hosts)).encode())
        _write(target / "arguments.yml", folder.arguments.read_bytes())
        _write(target / "result.json", _bounded_json(_result(run, operation_id, result)))
        _write(target / "diff.txt", _beginning(diff.encode(errors="replace")))
        if stdout.exists():
            _write(target / "stdout.txt", _ending(stdout))
    _prune_by_number(artifacts_dir, kept)


def of_operation(artifacts_dir: Path, operation_id: str) -> list[Kept]:
    """Return what is kept of the operation's runs, oldest first."""
    folder = artifacts_dir / operation_id
    if not folder.is_dir():
        return []
    return [
        Kept(path, path.name.partition("-")[2], _read_result(path))
        for path in sorted(folder.iterdir())
        if path.is_dir()
    ]


def prune_by_age(artifacts_dir: Path, max_age_s: float) -> int:
    """Remove the artifacts of operations that had no run for `max_age_s`; return how many."""
    if not artifacts_dir.is_dir():
        return 0
    oldest = time.time() - max_age_s
    return _remove(path for path in artifacts_dir.iterdir() if _changed_at(path) < oldest)


def diff_text(host: HostResult) -> str:
    """Return the diffs of a host's items as text: a heading for each step that has one."""
    parts = []
    for item in host.items:
        steps = item.get("steps")
        for step in steps if isinstance(steps, list) else []:
            diffs = step.get("diff") if isinstance(step, dict) else None
            for diff in diffs if isinstance(diffs, list) else [diffs]:
                if isinstance(diff, dict):
                    parts.append(_one_diff(item, step, diff))
    return "".join(parts)


def _one_diff(item: dict[str, Any], step: dict[str, Any], diff: dict[str, Any]) -> str:
    heading = f"== {item.get('id')}: {step.get('name')} ==\n"
    if "prepared" in diff:
        return f"{heading}{diff['prepared']}\n"
    before = "".join(f"-{line}\n" for line in str(diff.get("before") or "").splitlines())
    after = "".join(f"+{line}\n" for line in str(diff.get("after") or "").splitlines())
    return f"{heading}{before}{after}" if before != after.replace("+", "-") else ""


def _next_folder(path: Path, playbook: str) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    target = path / f"{len(list(path.iterdir())) + 1:03d}-{playbook}"
    target.mkdir(mode=0o700, exist_ok=True)
    return target


def _write(path: Path, content: bytes) -> None:
    """Write a new file that the controller's user alone can read, whatever the umask."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _result(run: Run, operation_id: str, result: RunResult) -> dict[str, Any]:
    return {
        "run": run.id,
        "operation_id": operation_id,
        **run.about.get(operation_id, {}),
        "playbook": run.playbook,
        "check": run.check,
        "status": result.status,
        "message": result.message,
        "duration_s": round(result.duration_s, 3),
        "hosts": {
            host_id: {"status": host.status, "message": host.message, "items": host.items}
            for host_id, host in result.hosts.items()
        },
    }


def _bounded_json(result: dict[str, Any]) -> bytes:
    """Return `result` as JSON, the texts in it cut until it is no longer than what is kept."""
    most = TEXT_MAX
    while True:
        content = json.dumps(_cut(result, most), indent=1).encode()
        if len(content) <= SAID_MAX_BYTES:
            return content
        if most <= _TEXT_LEAST:
            break
        most //= 2
    # Many small pieces, rather than a few long ones.
    rest = {key: each for key, each in result.items() if key != "hosts"}
    return json.dumps({**_cut(rest, most), "hosts": {}, "left_out": "too long"}, indent=1).encode()


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]}... ({len(value) - most} more characters)"
    if isinstance(value, dict):
        return {key: _cut(each, most) for key, each in value.items()}
    if isinstance(value, list):
        return [_cut(each, most) for each in value]
    return value


def _beginning(content: bytes) -> bytes:
    return content[:SAID_MAX_BYTES]


def _ending(path: Path) -> bytes:
    """Return the end of a file, read without what comes before it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - SAID_MAX_BYTES))
        return file.read(SAID_MAX_BYTES)


def _read_result(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / "result.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _prune_by_number(artifacts_dir: Path, kept: int) -> None:
    folders = sorted(artifacts_dir.iterdir(), key=_changed_at, reverse=True)
    _remove(folders[kept:])


def _changed_at(path: Path) -> float:
    # Another worker may remove it meanwhile.
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(folders: Iterable[Path]) -> int:
    count = 0
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
        count += 1
    return count
