"""The guest that an order is for: it runs, and its domain is the cloud's."""

from __future__ import annotations

from typing import Any

from . import domain_xml, fence, libvirt_connection, work

# What each module that gives a guest an order takes besides its own.
ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True, "aliases": ["id"]},
    "cloud_id": {"type": "str", "default": fence.NO_CLOUD},
    "override": {"type": "bool", "default": False},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}


def find(connection: Any, params: dict[str, Any], states: frozenset[str]) -> Any:
    """Return the server's virDomain. Raises WorkError unless it is ours and in one of `states`."""
    server_id = work.check_uuid(params["server_id"], "server id")
    cloud_id = work.check_uuid(params.get("cloud_id") or fence.NO_CLOUD, "cloud id")
    domain = libvirt_connection.lookup(connection, server_id)
    if domain is None:
        raise work.WorkError(
            f"Server {server_id} has no domain on this host. A hard reboot makes it."
        )
    owner = domain_xml.marked_cloud(libvirt_connection.definition(domain))
    if owner != cloud_id and not params.get("override"):
        whose = f"it belongs to cloud {owner}" if owner else "it bears no mark of Novella"
        raise work.WorkError(
            f"Refused to touch domain {server_id} on this host: {whose}, and this run is for cloud "
            f"{cloud_id}. Run it for that cloud, or with override: true."
        )
    state = libvirt_connection.state_name(domain)
    if state not in states:
        raise work.WorkError(
            f"The guest of server {server_id} takes no orders: it is {state}. Start it first."
        )
    return domain
