"""What was done to a server, with the steps of each action as events."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute import links
from controller.api.compute.microversions import has
from controller.api.compute.times import parse, seconds_fraction
from controller.api.compute.views import host_id
from controller.core import server_actions, services
from controller.db.models import Host, Server, ServerAction, ServerEvent
from controller.errors import BadRequest


def list_actions(call: Call, server_id: str) -> Reply:
    server = _server(call, server_id)
    if not has(call.version, "instance_action.updated_at"):
        found = server_actions.list_actions(call.session, server)
        return Reply({"instanceActions": [_action(call, action) for action in found]})
    limit, marker = links.page(call)
    since = _time(call, "changes-since")
    before = None
    if has(call.version, "instance_action.changes_before"):
        before = _time(call, "changes-before")
    if since and before and before < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    found = server_actions.list_actions(
        call.session,
        server,
        limit=limit,
        marker=marker,
        changes_since=since,
        changes_before=before,
    )
    collection = f"servers/{server_id}/os-instance-actions"
    last = found[-1].request_id if found else ""
    return Reply(
        {"instanceActions": [_action(call, action) for action in found]}
        | links.next_page(call, collection, found, limit, last)
    )


def show_action(call: Call, server_id: str, request_id: str) -> Reply:
    server = _server(call, server_id)
    action = server_actions.get(call.session, server, request_id)
    view = _action(call, action)
    for_admins = call.allows("os_compute_api:os-instance-actions:events")
    if for_admins or has(call.version, "instance_action.events_for_all"):
        events = server_actions.events(call.session, action)
        hosts = services.by_id(call.session, (event.host_id for event in events))
        view["events"] = [
            _event(call, server, event, hosts.get(event.host_id or ""), for_admins=for_admins)
            for event in events
        ]
    return Reply({"instanceAction": view})


def _server(call: Call, server_id: str) -> Server:
    return server_actions.server_of(
        call.session,
        call.context,
        server_id,
        deleted=has(call.version, "instance_action.of_deleted_servers"),
    )


def _time(call: Call, name: str) -> Any:
    value = call.query.get(name)
    return None if value is None else parse(value, name)


def _action(call: Call, action: ServerAction) -> dict[str, Any]:
    view = {
        "action": action.action,
        "instance_uuid": action.server_id,
        "message": action.message,
        "project_id": action.project_id,
        "request_id": action.request_id,
        "start_time": seconds_fraction(action.started_at),
        "user_id": action.user_id,
    }
    if has(call.version, "instance_action.updated_at"):
        view["updated_at"] = seconds_fraction(action.updated_at)
    return view


def _event(
    call: Call, server: Server, event: ServerEvent, host: Host | None, *, for_admins: bool
) -> dict[str, Any]:
    """Return a step. What it said, and where it ran, is for operators."""
    view: dict[str, Any] = {
        "event": event.name,
        "start_time": seconds_fraction(event.started_at),
        "finish_time": seconds_fraction(event.finished_at),
        "result": event.result,
    }
    if for_admins:
        view["traceback"] = event.details if event.result == "Error" else None
    if has(call.version, "instance_action.host"):
        if for_admins:
            view["host"] = host.name if host else None
        view["hostId"] = host_id(server.project_id, host)
    if has(call.version, "instance_action.details"):
        allowed = call.allows("os_compute_api:os-instance-actions:events:details")
        view["details"] = event.details if allowed else None
    return view
