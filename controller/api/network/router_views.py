"""Routers and floating IPs as the Network API shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.api.network.views import time
from controller.core.router_interfaces import Interface
from controller.db.models import FloatingIP, Port, Router


def _common(row: Router | FloatingIP) -> dict[str, Any]:
    return {
        "id": row.id,
        "description": row.description,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "created_at": time(row.created_at),
        "updated_at": time(row.updated_at),
        "revision_number": row.revision_number,
        "tags": [],
    }


def router(
    row: Router,
    gateway: Port | None,
    gateway_ips: Sequence[Mapping[str, str]],
    *,
    kind: bool,
) -> dict[str, Any]:
    """Return a router; `kind` shows how it is built, which is for operators."""
    view = {
        **_common(row),
        "name": row.name,
        "status": "ACTIVE",
        "admin_state_up": row.admin_state_up,
        "external_gateway_info": None
        if gateway is None
        else {
            "network_id": gateway.network_id,
            "external_fixed_ips": list(gateway_ips),
            "enable_snat": row.enable_snat,
        },
        "routes": row.routes,
        "availability_zone_hints": [],
        "availability_zones": [],
        "flavor_id": None,
    }
    return {**view, "distributed": True, "ha": False} if kind else view


def interface(row: Router, changed: Interface) -> dict[str, Any]:
    """Return what was added to, or removed from, a router."""
    return {
        "id": row.id,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "port_id": changed.port_id,
        "network_id": changed.network_id,
        "subnet_id": changed.subnet_ids[0],
        "subnet_ids": changed.subnet_ids,
    }


def floating_ip(row: FloatingIP, port: Port | None) -> dict[str, Any]:
    return {
        **_common(row),
        "floating_ip_address": row.floating_ip_address,
        "floating_network_id": row.floating_network_id,
        "router_id": row.router_id,
        "port_id": row.fixed_port_id,
        "fixed_ip_address": row.fixed_ip_address,
        "status": row.status,
        "dns_name": "",
        "dns_domain": "",
        "port_details": None
        if port is None
        else {
            "name": port.name,
            "network_id": port.network_id,
            "mac_address": port.mac_address,
            "admin_state_up": port.admin_state_up,
            "status": port.status,
            "device_id": port.device_id,
            "device_owner": port.device_owner,
        },
    }
