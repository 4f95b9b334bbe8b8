"""Operations as their project polls them; hosts and what they said are for operators."""

from datetime import datetime
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.novella.policies import DETAILS, SHOW
from controller.core import operation_records
from controller.core.operations import DRY_RUN
from controller.db.models import Operation


def show_operation(call: Call, operation_id: str) -> Reply:
    operation = operation_records.get(call.session, call.context, operation_id)
    call.authorize(SHOW, {"project_id": operation.project_id, "user_id": operation.user_id})
    view = _view(operation)
    details = call.allows(DETAILS)
    if details:
        view["fault_details"] = (operation.error or {}).get("details")
    if operation.kind == DRY_RUN:
        view["dry_run"] = _dry_run(operation, details=details)
    return Reply({"operation": view})


def _view(operation: Operation) -> dict[str, Any]:
    fault = operation.error or {}
    return {
        "id": operation.id,
        "kind": operation.kind,
        "state": operation.state,
        "server_id": operation.server_id,
        "request_id": operation.request_id,
        "created_at": _time(operation.created_at),
        "started_at": _time(operation.started_at),
        "finished_at": _time(operation.finished_at),
        "fault": fault.get("message"),
    }


def _dry_run(operation: Operation, *, details: bool) -> dict[str, Any]:
    """Return what would be done. A server that would be made has no id: it would get another."""
    would = []
    found = {each["server_id"]: each for each in operation.data.get("found", [])}
    for planned in operation.arguments.get("operations", []):
        known = found.get(planned["server_id"], {})
        made = planned["kind"] == "server_create"
        entry: dict[str, Any] = {
            "operation": planned["kind"],
            "server_id": None if made else planned["server_id"],
        }
        if details:
            entry["host"] = known.get("host")
            entry["selection"] = known.get("selection")
            entry["plays"] = known.get("plays", [])
            entry["left_out"] = known.get("left_out", [])
        would.append(entry)
    return {"would": would}


def _time(moment: datetime | None) -> str | None:
    return f"{moment.isoformat(timespec='seconds')}Z" if moment else None
