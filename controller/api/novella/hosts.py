"""Hosts, as administrators see to them: what is known of a dead one."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.common.validation import Schema
from controller.core import host_fences, hosts
from controller.db.models import Host

TEXT: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 200,
    "pattern": r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]*\Z",
}
FENCE: Schema = {
    "type": "object",
    "properties": {"by": TEXT, "reason": TEXT},
    "required": ["by", "reason"],
    "additionalProperties": False,
}


def show_host(call: Call, name: str) -> Reply:
    return Reply({"host": view(call, hosts.get_by_name(call.session, name))})


def fence_host(call: Call, name: str) -> Reply:
    """Record the caller's word that the host runs nothing."""
    host = hosts.get_by_name(call.session, name)
    by, reason = call.body["by"], call.body["reason"]
    now = call.services.clock()
    host_fences.record_word(call.settings, call.context, host, by, reason, now)
    return Reply({"host": view(call, host)})


def lift_fence(call: Call, name: str) -> Reply:
    """Take the word back; what was evacuated by then stays so."""
    host = hosts.get_by_name(call.session, name)
    host_fences.take_back(call.session, host)
    return Reply(status=204)


def view(call: Call, host: Host) -> dict[str, Any]:
    return {
        "id": host.id,
        "name": host.name,
        "state": "up" if hosts.is_up(host, call.settings, call.services.clock()) else "down",
        "enabled": host.enabled,
        "disabled_reason": host.disabled_reason,
        "forced_down": host.forced_down,
        "fence": _fence(host),
    }


def _fence(host: Host) -> dict[str, Any] | None:
    """`holds` is false from when the host is heard of again: it is being cleaned then."""
    said = host_fences.said_of(host)
    if said is None:
        return None
    return said.as_json() | {"holds": host_fences.proof_of(host) is not None}
