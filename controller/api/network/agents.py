"""Agents: our hosts in the shape that clients know. Hosts carry no agent; plays do its work."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from controller.api.common.calls import Call, Reply
from controller.api.network import lists, views
from controller.core import hosts, services
from controller.core.network_faults import AgentNotFound
from controller.db.models import Host, Port
from controller.errors import Conflict

AGENT_TYPE, BINARY = "Linux bridge agent", "novella-host"


def _listing(call: Call) -> lists.Listing:
    return lists.Listing(
        Host,
        {
            "id": Host.id,
            "host": Host.name,
            "admin_state_up": Host.enabled,
            "availability_zone": Host.availability_zone,
            "description": Host.disabled_reason,
        },
        constants={"agent_type": AGENT_TYPE, "binary": BINARY, "topic": "N/A"},
        conditions={"alive": partial(_alive, call)},
    )


def _alive(call: Call, values: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that a host is up, or is not."""
    wanted = {lists.word(value, "alive") for value in values}
    up = hosts.are_up(call.settings, call.services.clock())
    return or_(*(up if each else ~up for each in wanted))


def _views(call: Call, rows: list[Host]) -> list[dict[str, Any]]:
    """Return hosts as agents, in one more statement."""
    counted = call.session.execute(
        select(Port.host_id, func.count().label("devices"))
        .where(Port.host_id.in_([row.id for row in rows]))
        .group_by(Port.host_id)
    )
    counts = {each.host_id: each.devices for each in counted}
    return [lists.chosen(call, _view(call, row, counts.get(row.id, 0))) for row in rows]


def _view(call: Call, row: Host, port_count: int) -> dict[str, Any]:
    seen = row.last_seen_at or row.created_at
    flat = row.variables.get("compute_flat_interfaces", {})
    return {
        "id": row.id,
        "agent_type": AGENT_TYPE,
        "binary": BINARY,
        "topic": "N/A",
        "host": row.name,
        "availability_zone": row.availability_zone,
        "admin_state_up": row.enabled,
        "alive": hosts.is_up(row, call.settings, call.services.clock()),
        "description": row.disabled_reason,
        "created_at": views.time(row.created_at),
        "started_at": views.time(row.created_at),
        "heartbeat_timestamp": views.time(seen),
        "resources_synced": None,
        "configurations": {
            "devices": port_count,
            "interface_mappings": flat,
            "vlan_interface_mappings": row.variables.get("compute_vlan_interfaces", flat),
            "tunnel_types": ["vxlan"] if row.tunnel_ip else [],
            "tunneling_ip": row.tunnel_ip,
        },
    }


def _get(call: Call, agent_id: str) -> Host:
    host = call.session.get(Host, agent_id)
    if host is None:
        raise AgentNotFound(f"Agent {agent_id} could not be found. Agents are the cloud's hosts.")
    return host


def list_agents(call: Call) -> Reply:
    page = lists.fetch(call, _listing(call), Host.id.is_not(None))
    return Reply(page.body("agents", _views(call, page.rows)))


def show_agent(call: Call, agent_id: str) -> Reply:
    return Reply({"agent": _views(call, [_get(call, agent_id)])[0]})


def update_agent(call: Call, agent_id: str) -> Reply:
    """Open or close the host for new servers, as `compute service set` does."""
    host = _get(call, agent_id)
    wanted = call.body["agent"]
    enabled = wanted.get("admin_state_up", host.enabled)
    reason = None if enabled else wanted.get("description", host.disabled_reason)
    services.change(host, enabled=enabled, disabled_reason=reason or None)
    call.session.flush()
    return Reply({"agent": _views(call, [host])[0]})


def delete_agent(call: Call, agent_id: str) -> Reply:
    host = _get(call, agent_id)
    raise Conflict(
        f"Agent {host.id} is a host of the cloud, which this API cannot remove. Use `novella host "
        "remove` once it has no servers."
    )
