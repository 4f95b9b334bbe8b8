"""All that is known of one operation, for its operators: from its row, its events and artifacts.

Holds no secrets: those are sealed in the row, and in no artifact.
"""

import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from controller.conductor.flows import FLOWS
from controller.core import operation_records
from controller.db.models import Operation
from controller.runner import artifacts
from controller.runner.artifacts import Kept
from controller.settings import Settings


def report(session: Session, settings: Settings, operation: Operation) -> dict[str, Any]:
    """Return the operation as a dictionary that JSON takes; times are UTC, `seconds` are seconds.

    "steps" are in the order they began: [{"name", "result", "started_at", "finished_at", "seconds",
    "host", "details"}]; "runs" are those whose artifacts are still there: [{"playbook", "status",
    "check", "seconds", "message", "artifacts", "again"}], `again` being a command line.
    """
    names = operation_records.names(session, operation)
    kept = artifacts.of_operation(settings.artifacts_dir, operation.id)
    steps = _steps_of_events(session, operation) or _steps_of_runs(kept, names["host"])
    return {
        "id": operation.id,
        "kind": operation.kind,
        "state": operation.state,
        "user": {"id": operation.user_id, "name": names["user"]},
        "project": {"id": operation.project_id, "name": names["project"]},
        "request_id": operation.request_id,
        "server": {"id": operation.server_id, "name": names["server"]},
        "host": {"id": operation.host_id, "name": names["host"]},
        "created_at": _time(operation.created_at),
        "started_at": _time(operation.started_at),
        "finished_at": _time(operation.finished_at),
        "waited_seconds": _seconds(operation.created_at, operation.started_at),
        "seconds": _seconds(operation.started_at, operation.finished_at),
        "not_before": _time(operation.not_before),
        "step": _step_name(operation),
        "undoing": operation.undoing,
        "cancel_requested": operation.cancel_requested,
        "attempts": operation.attempts,
        "generation": operation.generation,
        "owner": operation.lease_owner,
        "lease_until": _time(operation.lease_until),
        "fault": operation.error,
        "failures": operation.data.get("failures", []),
        "not_undone": operation.data.get("not_undone", []),
        "steps": steps,
        "artifacts": str(settings.artifacts_dir / operation.id) if kept else None,
        "runs": [_run(settings, each) for each in kept],
        "diff": "".join(each.diff for each in kept if not each.result.get("check")),
    }


def command_line(settings: Settings, kept: Kept) -> str:
    """Return how to do the kept run again by hand, in check mode, from any folder."""
    words = [
        "env",
        f"ANSIBLE_CONFIG={settings.project_dir / 'ansible.cfg'}",
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i", str(kept.path / "inventory.yml"),
        "-e", f"@{kept.path / 'arguments.yml'}",
        str(settings.project_dir / "playbooks" / f"{kept.playbook}.yml"),
        "--check", "--diff",
    ]  # fmt: skip
    return shlex.join(words)


def _steps_of_events(session: Session, operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": event.name,
            "result": event.result or "under way",
            "started_at": _time(event.started_at),
            "finished_at": _time(event.finished_at),
            "seconds": _seconds(event.started_at, event.finished_at),
            "host": host,
            "details": event.details,
        }
        for event, host in operation_records.events(session, operation)
    ]


def _steps_of_runs(kept: list[Kept], host: str | None) -> list[dict[str, Any]]:
    """Return the steps of operations that are no server's action, from what their runs said."""
    found = []
    for each in kept:
        for of_host in (each.result.get("hosts") or {}).values():
            for item in of_host.get("items") or []:
                # All of it is as the host said it.
                steps = item.get("steps")
                for step in steps if isinstance(steps, list) else []:
                    if isinstance(step, dict) and not step.get("skipped"):
                        found.append(_of_host(step, host))
    return found


def _of_host(step: dict[str, Any], host: str | None) -> dict[str, Any]:
    began, ended = step.get("started_at"), step.get("finished_at")
    return {
        "name": str(step.get("name") or step.get("module")),
        "result": "Error" if step.get("failed") else "Success",
        "started_at": began,
        "finished_at": ended,
        "seconds": _seconds(_parsed(began), _parsed(ended)),
        "host": host,
        "details": step.get("msg") or None,
    }


def _run(settings: Settings, kept: Kept) -> dict[str, Any]:
    return {
        "playbook": kept.playbook,
        "status": kept.result.get("status"),
        "check": bool(kept.result.get("check")),
        "seconds": kept.result.get("duration_s"),
        "message": kept.result.get("message"),
        "artifacts": str(kept.path),
        "again": command_line(settings, kept),
    }


def _step_name(operation: Operation) -> str | None:
    """Return the step that is next or under way; None before and after all of them."""
    steps = FLOWS[operation.kind].steps if operation.kind in FLOWS else ()
    return steps[operation.step].name if 0 <= operation.step < len(steps) else None


def _time(moment: datetime | None) -> str | None:
    return f"{moment.isoformat(timespec='milliseconds')}Z" if moment else None


def _parsed(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _seconds(began: datetime | None, ended: datetime | None) -> float | None:
    if began is None or ended is None:
        return None
    try:
        return round((ended - began).total_seconds(), 3)
    except TypeError:
        # A host's times, one with and one without a zone.
        return None
