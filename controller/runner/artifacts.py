"""What is kept of each run for operators, without secrets, bounded in number.

<artifacts_dir>/<operation id>/<number>-<playbook>/
    inventory.yml arguments.yml result.json diff.txt stdout.txt
"""

import json
import shutil
from pathlib import Path
from typing import Any

from controller.runner.requests import HostResult, Run, RunResult
from controller.runner.run_folder import RunFolder

STDOUT_MAX_BYTES = 1 << 20


def keep(
    artifacts_dir: Path, kept: int, run: Run, folder: RunFolder, stdout: Path, result: RunResult
) -> None:
    """Keep the run's inventory, arguments, results, diff and output under each of `run.keep_as`.

    Afterwards at most `kept` operations have artifacts; the oldest go.
    """
    artifacts_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for operation_id in run.keep_as:
        target = _next_folder(artifacts_dir / operation_id, run.playbook)
        shutil.copyfile(folder.inventory, target / "inventory.yml")
        shutil.copyfile(folder.arguments, target / "arguments.yml")
        (target / "result.json").write_text(json.dumps(_result(run, result), indent=1))
        (target / "diff.txt").write_text(
            "".join(diff_text(host) for host in result.hosts.values()), errors="replace"
        )
        if stdout.exists():
            (target / "stdout.txt").write_bytes(stdout.read_bytes()[-STDOUT_MAX_BYTES:])
    _prune(artifacts_dir, kept)


def _next_folder(path: Path, playbook: str) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    target = path / f"{len(list(path.iterdir())) + 1:03d}-{playbook}"
    target.mkdir(mode=0o700, exist_ok=True)
    return target


def _result(run: Run, result: RunResult) -> dict[str, Any]:
    return {
        "run": run.id,
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


def _prune(artifacts_dir: Path, kept: int) -> None:
    folders = sorted(artifacts_dir.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in folders[kept:]:
        shutil.rmtree(path, ignore_errors=True)
