"""Events: the steps of an action as they ran, for os-instance-actions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import select

from controller import metrics
from controller.conductor.steps import Work
from controller.db.models import ServerAction, ServerEvent

SUCCESS, ERROR = "Success", "Error"
NAME_MAX, DETAILS_MAX, STEPS_MAX = 255, 4000, 100


def begin(work: Work, name: str) -> None:
    """Note that a step starts. One that was interrupted by a crash goes on under its old event."""
    if work.operation.action_id is None or _open(work, name) is not None:
        return
    work.session.add(
        ServerEvent(
            action_id=work.operation.action_id,
            name=name,
            host_id=work.operation.host_id,
            started_at=work.now,
        )
    )
    work.session.flush()


def end(work: Work, name: str, result: str, details: str = "") -> None:
    """Note how a step ended."""
    event = _open(work, name)
    if event is not None:
        event.result, event.finished_at = result, work.now
        event.details = details[:DETAILS_MAX] or None
        event.host_id = event.host_id or work.operation.host_id


def end_all(work: Work, failed: bool, message: str) -> None:
    """Close the action: no event of it stays open, and a failure shows in its message."""
    action_id = work.operation.action_id
    if action_id is None:
        return
    still_open = select(ServerEvent).where(
        ServerEvent.action_id == action_id, ServerEvent.finished_at.is_(None)
    )
    for event in work.session.scalars(still_open):
        event.result, event.finished_at = ERROR if failed else SUCCESS, work.now
    action = work.session.get(ServerAction, action_id)
    if action is not None:
        action.updated_at = work.now
        action.message = message[:NAME_MAX] if failed else None


def record_items(work: Work, items: Sequence[dict[str, Any]]) -> None:
    """Write the steps that a play ran on the host. What the host says is cut to size."""
    for item in items:
        steps = item.get("steps")
        for step in (steps if isinstance(steps, list) else [])[:STEPS_MAX]:
            if isinstance(step, dict) and not step.get("skipped"):
                _observe(work, step)
                if work.operation.action_id is not None:
                    work.session.add(_of_step(work, work.operation.action_id, step))


def _observe(work: Work, step: dict[str, Any]) -> None:
    """Count the step's time; by name only if it is a module of ours, for the host says so."""
    began, ended = _time(step.get("started_at")), _time(step.get("finished_at"))
    if began is None or ended is None:
        return
    module = str(step.get("module") or "").rpartition(".")[2]
    known = module if module in _modules(work.settings.project_dir) else "other"
    took_s = min(max(0.0, (ended - began).total_seconds()), float(work.settings.run_timeout_s))
    metrics.HOST_STEPS.labels(known, "error" if step.get("failed") else "success").observe(took_s)


@cache
def _modules(project_dir: Path) -> frozenset[str]:
    return frozenset(path.stem for path in (project_dir / "plugins" / "modules").glob("*.py"))


def _of_step(work: Work, action_id: int, step: dict[str, Any]) -> ServerEvent:
    return ServerEvent(
        action_id=action_id,
        name=str(step.get("name") or step.get("module") or "step")[:NAME_MAX],
        result=ERROR if step.get("failed") else SUCCESS,
        host_id=work.operation.host_id,
        details=str(step.get("msg") or "")[:DETAILS_MAX] or None,
        started_at=_time(step.get("started_at")) or work.now,
        finished_at=_time(step.get("finished_at")) or work.now,
    )


def _time(value: object) -> datetime | None:
    """Return a host's time as naive UTC; None for what is no time."""
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def _open(work: Work, name: str) -> ServerEvent | None:
    if work.operation.action_id is None:
        return None
    return work.session.scalar(
        select(ServerEvent)
        .where(
            ServerEvent.action_id == work.operation.action_id,
            ServerEvent.name == name,
            ServerEvent.finished_at.is_(None),
        )
        .limit(1)
    )
