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
from collections.abc import Iterable, Iterator
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
    diff = _beginning(part for host in result.hosts.values() for part in _diffs(host))
    heads = {each: _head(run, each) for each in run.keep_as}
    # Once for a batch: what it said is the same for each of its operations.
    said = _bounded_json(
        _said(run, result), SAID_MAX_BYTES - max(map(len, heads.values()), default=0)
    )
    for operation_id, head in heads.items():
        target = _next_folder(artifacts_dir / operation_id, run.playbook)
        known_hosts = target / "known_hosts"
        # Not the run's own inventory: that names a folder which goes with the run.
        inventory = inventory_text(run.hosts, known_hosts, None)
        _write(target / "inventory.yml", inventory.encode())
        _write(known_hosts, ssh.known_hosts(list(run.hosts)).encode())
        _write(target / "arguments.yml", folder.arguments.read_bytes())
        _write(target / "result.json", _one_object(head, said))
        _write(target / "diff.txt", diff)
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
    return "".join(_diffs(host))


def _diffs(host: HostResult) -> Iterator[str]:
    for item in host.items:
        steps = item.get("steps")
        for step in steps if isinstance(steps, list) else []:
            diffs = step.get("diff") if isinstance(step, dict) else None
            for diff in diffs if isinstance(diffs, list) else [diffs]:
                if isinstance(diff, dict):
                    yield _one_diff(item, step, diff)


def _one_diff(item: dict[str, Any], step: dict[str, Any], diff: dict[str, Any]) -> str:
    heading = f"== {item.get('id')}: {step.get('name')} ==\n"
    if "prepared" in diff:
        return f"{heading}{diff['prepared']}\n"
    before, after = (str(diff.get(key) or "") for key in ("before", "after"))
    return f"{heading}{_signed('-', before)}{_signed('+', after)}" if before != after else ""


def _signed(sign: str, text: str) -> str:
    # Cut before it is taken apart: a host may send megabytes of empty lines.
    return "".join(f"{sign}{line}\n" for line in _shortened(text, SAID_MAX_BYTES).splitlines())


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


def _head(run: Run, operation_id: str) -> bytes:
    """Return what result.json says of one operation, as a JSON object."""
    about = {"run": run.id, "operation_id": operation_id, **run.about.get(operation_id, {})}
    return json.dumps(about, indent=1).encode()


def _said(run: Run, result: RunResult) -> dict[str, Any]:
    """Return what result.json says of the run."""
    return {
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


def _one_object(head: bytes, rest: bytes) -> bytes:
    """Return two JSON objects, neither of them empty, as one."""
    return head.removesuffix(b"\n}") + b"," + rest.removeprefix(b"{")


def _bounded_json(said: dict[str, Any], most_bytes: int) -> bytes:
    """Return `said` as JSON, the texts in it cut until it is no longer than `most_bytes`."""
    content = _json(said, TEXT_MAX, most_bytes)
    if content is not None:
        return content
    shortest = _json(said, _TEXT_LEAST, most_bytes)
    if shortest is None:
        # Many small pieces, rather than a few long ones.
        rest: dict[str, Any] = {
            key: _shortened(each, _TEXT_LEAST) if isinstance(each, str) else each
            for key, each in said.items()
        }
        left_out = {**rest, "hosts": {}, "left_out": "too long"}
        return json.dumps(left_out, indent=1).encode()
    most = TEXT_MAX // 2
    while (content := _json(said, most, most_bytes)) is None and most > _TEXT_LEAST:
        most //= 2
    return content or shortest


def _json(said: dict[str, Any], most: int, most_bytes: int) -> bytes | None:
    """Return `said` as JSON, each text cut to `most`; None as soon as it is over `most_bytes`."""
    try:
        cut = _Cut(most, most_bytes).of(said)
    except _TooLong:
        return None
    parts, left = [], most_bytes
    for part in json.JSONEncoder(indent=1).iterencode(cut):
        left -= len(part)
        if left < 0:
            return None
        parts.append(part)
    return "".join(parts).encode()


class _TooLong(Exception):
    pass


class _Cut:
    """Copies values, their texts cut to `most` characters, until their JSON must have more than
    `left` bytes: then it raises _TooLong.
    """

    def __init__(self, most: int, left: int) -> None:
        self._most, self._left = most, left

    def of(self, value: Any) -> Any:
        # A line end, and a character at least.
        self._take(2)
        if isinstance(value, str):
            self._take(min(len(value), self._most))
            return _shortened(value, self._most)
        if isinstance(value, dict):
            return {self._key(key): self.of(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.of(each) for each in value]
        return value

    def _key(self, key: Any) -> Any:
        # With its quotes and colon.
        self._take(len(str(key)) + 3)
        return key

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _TooLong


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}... ({len(text) - most} more characters)"


def _beginning(parts: Iterable[str]) -> bytes:
    """Return the first SAID_MAX_BYTES of `parts`; no more of them are made."""
    kept, left = [], SAID_MAX_BYTES
    for part in parts:
        content = part.encode(errors="replace")[:left]
        kept.append(content)
        left -= len(content)
        if not left:
            break
    return b"".join(kept)


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
