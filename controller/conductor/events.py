"""Events: the steps of an action as they ran, for os-instance-actions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, select, true, update

from controller import metrics
from controller.conductor.steps import Work
from controller.db.models import ServerAction, ServerEvent

SUCCESS, ERROR = "Success", "Error"
NAME_MAX, DETAILS_MAX, STEPS_MAX = 255, 4000, 100


def begin(work: Work, name: str) -> None:
    """Note that a step starts. One that was interrupted by a crash goes on under its old event."""
    if work.operation.action_id is None or (_lived_before(work) and _is_open(work, name)):
        return
    work.begun[name] = ServerEvent(
        action_id=work.operation.action_id,
        name=name,
        host_id=work.operation.host_id,
        started_at=work.now,
    )
    work.session.add(work.begun[name])


def end(work: Work, name: str, result: str, details: str = "") -> None:
    """Note how a step ended."""
    if work.operation.action_id is None:
        return
    host_id, said = work.operation.host_id, details[:DETAILS_MAX] or None
    if (event := work.begun.pop(name, None)) is not None:
        event.result, event.finished_at, event.details = result, work.now, said
        event.host_id = event.host_id or host_id
        return
    _close(
        work,
        ServerEvent.name == name,
        result=result,
        details=said,
        host_id=func.coalesce(ServerEvent.host_id, host_id),
    )


def end_all(work: Work, failed: bool, message: str) -> None:
    """Close the action: no event of it stays open, and a failure shows in its message."""
    action_id = work.operation.action_id
    if action_id is None:
        return
    result = ERROR if failed else SUCCESS
    for name in list(work.begun):
        end(work, name, result)
    _close(work, true(), result=result)
    work.session.execute(
        update(ServerAction)
        .where(ServerAction.id == action_id)
        .values(updated_at=work.now, message=message[:NAME_MAX] if failed else None)
        .execution_options(synchronize_session=False)
    )


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


def _lived_before(work: Work) -> bool:
    """Whether there was a try or a claim before this one, which may have left events open."""
    return work.operation.generation > 1 or work.operation.attempts > 0


def _is_open(work: Work, name: str) -> bool:
    query = select(ServerEvent.id).where(*_still_open(work), ServerEvent.name == name)
    return work.session.scalar(query.limit(1)) is not None


def _close(work: Work, which: ColumnElement[bool], **values: Any) -> None:
    work.session.execute(
        update(ServerEvent)
        .where(*_still_open(work), which)
        .values(finished_at=work.now, **values)
        .execution_options(synchronize_session=False)
    )


def _still_open(work: Work) -> tuple[ColumnElement[bool], ...]:
    action_id = work.operation.action_id
    return ServerEvent.action_id == action_id, ServerEvent.finished_at.is_(None)
