"""Servers in the shapes of the compute API.

A list of a thousand is the case that counts: what is the same for all is worked out once
(`Look`), and a server's part is plain dictionary building.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from controller.api.common.calls import Call
from controller.api.compute import statuses
from controller.api.compute.links import base
from controller.api.compute.microversions import has
from controller.api.compute.times import zulu
from controller.core.sealing import unseal
from controller.core.server_connections import Connections
from controller.core.services import status_of_host
from controller.db.models import Host, Server

# Statuses with which upstream tells how far it is, and those with which it tells the fault.
_PROGRESS = frozenset(
    {"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"}
)  # fmt: skip
_FAULT = frozenset({"ERROR", "DELETED"})

# A server as a row of its own, or of a list.
ServerLike = Server | Row[Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What the caller sees of any server: by microversion, and by policy."""

    base: str
    bookmarks: str
    for_operators: bool
    host_status: bool
    more_for_operators: bool
    locked: bool
    description: bool
    tags: bool
    embedded_flavor: bool
    extra_specs: bool
    certificates: bool
    locked_reason: bool
    hostname: bool
    pinned_zone: bool
    now: datetime


def look(call: Call) -> Look:
    def there(row: str) -> bool:
        return has(call.version, f"server.{row}")

    return Look(
        base=f"{base(call)}/servers/",
        bookmarks=f"{call.root}/compute/",
        for_operators=call.allows("os_compute_api:os-extended-server-attributes"),
        more_for_operators=there("extended_attributes"),
        host_status=there("host_status") and call.allows("os_compute_api:servers:show:host_status"),
        locked=there("locked"),
        description=there("description"),
        tags=there("tags"),
        embedded_flavor=there("embedded_flavor"),
        extra_specs=call.allows("os_compute_api:servers:show:flavor-extra-specs"),
        certificates=there("trusted_image_certificates"),
        locked_reason=there("locked_reason"),
        hostname=there("hostname_for_all"),
        pinned_zone=there("pinned_availability_zone"),
        now=call.services.clock(),
    )


def basic(look: Look, server: ServerLike) -> dict[str, Any]:
    return {"id": server.id, "name": server.name, "links": links(look, server.id)}


def links(look: Look, server_id: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{look.base}{server_id}"},
        {"rel": "bookmark", "href": f"{look.bookmarks}servers/{server_id}"},
    ]


def detail(
    call: Call,
    look: Look,
    server: ServerLike,
    host: Host | None,
    connections: Connections,
    tags: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the server as show and the list in detail have it."""
    status = status_of(server)
    view: dict[str, Any] = {
        "id": server.id,
        "name": server.name,
        "status": status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": server.meta,
        "hostId": host_id(server.project_id, host),
        "image": image(look, server),
        "flavor": flavor(look, server),
        "created": zulu(server.created_at),
        "updated": zulu(server.updated_at),
        "addresses": {} if server.state == "building" else addresses(connections),
        "accessIPv4": server.access_ip_v4 or "",
        "accessIPv6": server.access_ip_v6 or "",
        "links": links(look, server.id),
        "OS-DCF:diskConfig": server.disk_config,
        "OS-EXT-AZ:availability_zone": zone_of(server, host),
        "config_drive": "True" if server.config_drive else "",
        "key_name": server.key_name,
        "OS-SRV-USG:launched_at": _plain(server.launched_at),
        "OS-SRV-USG:terminated_at": _plain(server.terminated_at),
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.state,
        "OS-EXT-STS:power_state": server.power_state,
        "os-extended-volumes:volumes_attached": [],
    }
    if status in _PROGRESS:
        # Nobody measures a task's progress: there is some when it is over.
        view["progress"] = 100 if status in ("ACTIVE", "VERIFY_RESIZE") else 0
    elif server.fault and status in _FAULT:
        view["fault"] = fault(call, server.fault)
    if connections.security_groups:
        view["security_groups"] = [{"name": name} for name in connections.security_groups]
    if look.for_operators:
        view |= _for_operators(call, look, server, host)
    elif look.hostname:
        view["OS-EXT-SRV-ATTR:hostname"] = server.hostname
    view |= _of_newer_versions(call, look, server, host, tags)
    return view


def _of_newer_versions(
    call: Call, look: Look, server: ServerLike, host: Host | None, tags: Sequence[str]
) -> dict[str, Any]:
    view: dict[str, Any] = {}
    if look.locked:
        view["locked"] = server.locked
    if look.host_status:
        view["host_status"] = status_of_host(host, call.settings, look.now)
    if look.description:
        view["description"] = server.description
    if look.tags:
        view["tags"] = list(tags)
    if look.certificates:
        view["trusted_image_certificates"] = None
    if look.locked_reason:
        view["locked_reason"] = server.locked_reason
    if look.pinned_zone:
        view["pinned_availability_zone"] = server.availability_zone
    return view


def _for_operators(call: Call, look: Look, server: ServerLike, host: Host | None) -> dict[str, Any]:
    name = host.name if host else None
    view: dict[str, Any] = {
        "OS-EXT-SRV-ATTR:host": name,
        "OS-EXT-SRV-ATTR:instance_name": f"novella-{server.id}",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": name,
    }
    if look.more_for_operators:
        view |= {
            "OS-EXT-SRV-ATTR:hostname": server.hostname,
            "OS-EXT-SRV-ATTR:kernel_id": "",
            "OS-EXT-SRV-ATTR:launch_index": server.launch_index,
            "OS-EXT-SRV-ATTR:ramdisk_id": "",
            "OS-EXT-SRV-ATTR:reservation_id": server.reservation_id,
            "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
            "OS-EXT-SRV-ATTR:user_data": unseal(call.settings, server.sealed_user_data).get(
                "user_data"
            ),
        }
    return view


def status_of(server: ServerLike) -> str:
    if server.deleted_at is not None:
        return "DELETED"
    return statuses.of(server.state, server.task_state)


def host_id(project_id: str, host: Host | None) -> str:
    """Return what tells a tenant whether two of its servers share a host, and no more."""
    return "" if host is None else _hashed(project_id, host.name)


@lru_cache(maxsize=4096)
def _hashed(project_id: str, host_name: str) -> str:
    return hashlib.sha224(f"{project_id}{host_name}".encode()).hexdigest()


def zone_of(server: ServerLike, host: Host | None) -> str:
    return host.availability_zone if host else server.availability_zone or ""


def flavor(look: Look, server: ServerLike) -> dict[str, Any]:
    size = server.flavor
    if not look.embedded_flavor:
        href = f"{look.bookmarks}flavors/{size['id']}"
        return {"id": size["id"], "links": [{"rel": "bookmark", "href": href}]}
    view = {
        "vcpus": size["vcpus"],
        "ram": size["memory_mb"],
        "disk": size["disk_gb"],
        "ephemeral": size["ephemeral_gb"],
        "swap": size["swap_mb"],
        "original_name": size["name"],
    }
    if look.extra_specs:
        view["extra_specs"] = size["extra_specs"]
    return view


def image(look: Look, server: ServerLike) -> dict[str, Any] | str:
    if server.image_id is None:
        return ""
    href = f"{look.bookmarks}images/{server.image_id}"
    return {"id": server.image_id, "links": [{"rel": "bookmark", "href": href}]}


def addresses(connections: Connections, *, extended: bool = True) -> dict[str, Any]:
    """Return the addresses by network; `extended` tells type and MAC of each too."""
    view: dict[str, list[dict[str, Any]]] = {}
    for network_name, mac_address, address, kind in connections.addresses:
        entry: dict[str, Any] = {"version": 6 if ":" in address else 4, "addr": address}
        if extended:
            entry["OS-EXT-IPS:type"] = kind
            entry["OS-EXT-IPS-MAC:mac_addr"] = mac_address
        view.setdefault(network_name, []).append(entry)
    return view


def fault(call: Call, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fault; what operators need beyond the message is for them alone."""
    view = {
        "code": found.get("code", 500),
        "created": found.get("created"),
        "message": found.get("message", ""),
    }
    if found.get("details") and call.context.is_admin:
        view["details"] = found["details"]
    return view


def _plain(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")
