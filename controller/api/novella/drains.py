"""Hosts that are emptied of their servers: planned, begun, looked at, cancelled, put back."""

from controller.api.common.calls import Call, Reply
from controller.api.common.validation import Schema
from controller.api.novella.hosts import TEXT, view
from controller.core import host_drains, hosts

DRAIN: Schema = {
    "type": ["object", "null"],
    "properties": {"reason": TEXT},
    "additionalProperties": False,
}


def show_plan(call: Call, name: str) -> Reply:
    host = hosts.get_by_name(call.session, name)
    planned = host_drains.plan(call.session, call.settings, host, call.services.clock())
    servers = [
        {
            "id": each.server_id,
            "name": each.name,
            "how": each.how,
            "why": each.why,
            "destination": each.destination,
        }
        for each in planned
    ]
    return Reply({"plan": {"host": host.name, "servers": servers}})


def show_drain(call: Call, name: str) -> Reply:
    drain = host_drains.get(call.session, hosts.get_by_name(call.session, name))
    return Reply({"drain": host_drains.as_json(drain)})


def drain_host(call: Call, name: str) -> Reply:
    host = hosts.get_by_name(call.session, name)
    reason = (call.body or {}).get("reason")
    now = call.services.clock()
    drain = host_drains.begin(call.session, call.settings, call.context, host, reason, now)
    return Reply({"drain": host_drains.as_json(drain)}, status=202)


def cancel_drain(call: Call, name: str) -> Reply:
    """Moves under way come to their end, so this is accepted, not done."""
    host = hosts.get_by_name(call.session, name)
    drain = host_drains.cancel(call.session, host, call.services.clock())
    return Reply({"drain": host_drains.as_json(drain)}, status=202)


def undrain_host(call: Call, name: str) -> Reply:
    host = hosts.get_by_name(call.session, name)
    host_drains.undrain(call.session, host, call.services.clock())
    return Reply({"host": view(call, host)})
