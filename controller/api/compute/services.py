"""Services: a nova-compute for each host."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute.microversions import demand, has
from controller.api.compute.schemas.parameters import BOOLEAN, NAME, Schema, is_true
from controller.api.compute.times import seconds_fraction
from controller.core import hosts, hypervisors, services
from controller.db.models import Host

UPDATE: Schema = {
    "type": "object",
    "properties": {
        "status": {"enum": ["enabled", "disabled"]},
        "disabled_reason": NAME,
        "forced_down": BOOLEAN,
    },
    "additionalProperties": False,
}


def list_services(call: Call) -> Reply:
    found = services.list_services(
        call.session, host_name=call.query.get("host"), binary=call.query.get("binary")
    )
    return Reply({"services": [_service(call, host) for host in found]})


def update_service(call: Call, service_id: str) -> Reply:
    demand(call.version, "service.uuid")
    host = services.get(call.session, service_id)
    asked = call.body
    services.change(
        host,
        enabled=None if "status" not in asked else asked["status"] == "enabled",
        disabled_reason=asked.get("disabled_reason"),
        forced_down=None if "forced_down" not in asked else is_true(asked["forced_down"]),
    )
    return Reply({"service": _service(call, host)})


def _service(call: Call, host: Host) -> dict[str, Any]:
    by_uuid = has(call.version, "service.uuid")
    view: dict[str, Any] = {
        "id": host.id if by_uuid else hypervisors.number_of(host.id),
        "binary": services.BINARY,
        "host": host.name,
        "zone": host.availability_zone,
        "status": "enabled" if host.enabled else "disabled",
        "state": "up" if hosts.is_up(host, call.settings, call.services.clock()) else "down",
        "updated_at": seconds_fraction(host.last_seen_at),
        "disabled_reason": host.disabled_reason,
    }
    if has(call.version, "service.forced_down"):
        view["forced_down"] = host.forced_down
    return view
