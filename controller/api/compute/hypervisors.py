"""Hypervisors: the hosts with what they have, in the shapes of three generations."""

import json
import re
from collections.abc import Mapping
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute import links
from controller.api.compute.microversions import demand, has
from controller.api.compute.schemas.parameters import is_true
from controller.core import hosts, hypervisors
from controller.core.hypervisors import Hypervisor
from controller.errors import BadRequest, NotFound

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def list_hypervisors(call: Call) -> Reply:
    return _list(call, "os-hypervisors", detail=False)


def list_hypervisors_in_detail(call: Call) -> Reply:
    return _list(call, "os-hypervisors/detail", detail=True)


def show_hypervisor(call: Call, hypervisor_id: str) -> Reply:
    by_uuid = has(call.version, "hypervisor.uuid")
    if by_uuid and not _UUID.fullmatch(hypervisor_id):
        raise BadRequest(f"Invalid uuid {hypervisor_id}: from 2.53 on hypervisors have UUIDs.")
    if not by_uuid and not hypervisor_id.isdigit():
        raise NotFound(f"Hypervisor with ID '{hypervisor_id}' could not be found.")
    with_servers = by_uuid and is_true(call.query.get("with_servers"))
    found = hypervisors.get(call.session, hypervisor_id, with_servers=with_servers)
    return Reply({"hypervisor": _detail(call, found)})


def show_uptime(call: Call, hypervisor_id: str) -> Reply:
    demand(call.version, "hypervisor.resources")
    found = hypervisors.get(call.session, hypervisor_id)
    return Reply({"hypervisor": _basic(call, found) | {"uptime": _uptime(found)}})


def show_statistics(call: Call) -> Reply:
    demand(call.version, "hypervisor.resources")
    found = hypervisors.list_hypervisors(call.session)
    resources = [_resources(each) for each in found]
    totals = {name: sum(each[name] for each in resources) for name in _STATISTICS}
    return Reply({"hypervisor_statistics": {"count": len(found), **totals}})


def search_hypervisors(call: Call, pattern: str) -> Reply:
    return _search(call, pattern, with_servers=False)


def search_servers_of_hypervisors(call: Call, pattern: str) -> Reply:
    return _search(call, pattern, with_servers=True)


def _search(call: Call, pattern: str, *, with_servers: bool) -> Reply:
    demand(call.version, "hypervisor.old_routes")
    found = hypervisors.list_hypervisors(
        call.session, name_contains=pattern, with_servers=with_servers
    )
    if not found:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    return Reply({"hypervisors": [_basic(call, each) for each in found]})


def _list(call: Call, collection: str, *, detail: bool) -> Reply:
    pattern, with_servers = None, False
    if has(call.version, "hypervisor.uuid"):
        pattern = call.query.get("hypervisor_hostname_pattern")
        with_servers = is_true(call.query.get("with_servers"))
    paging = has(call.version, "hypervisor.paging")
    if pattern is not None and ("limit" in call.query or "marker" in call.query):
        raise BadRequest(
            "Paging over hypervisors with hypervisor_hostname_pattern isn't supported."
        )
    limit, marker = links.page(call) if paging else (None, None)
    found = hypervisors.list_hypervisors(
        call.session, name_contains=pattern, with_servers=with_servers, limit=limit, marker=marker
    )
    if pattern is not None and not found:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    view: dict[str, Any] = {
        "hypervisors": [_detail(call, each) if detail else _basic(call, each) for each in found]
    }
    if limit is not None:
        last = str(_id(call, found[-1])) if found else ""
        view |= links.next_page(call, collection, found, limit, last)
    return Reply(view)


def _id(call: Call, found: Hypervisor) -> str | int:
    return found.host.id if has(call.version, "hypervisor.uuid") else found.number


def _basic(call: Call, found: Hypervisor) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": _id(call, found),
        "hypervisor_hostname": found.host.name,
        "state": "up" if hosts.is_up(found.host, call.settings, call.services.clock()) else "down",
        "status": "enabled" if found.host.enabled else "disabled",
    }
    if found.servers or (
        found.servers is not None and has(call.version, "hypervisor.servers_always")
    ):
        view["servers"] = [{"name": name, "uuid": server_id} for server_id, name in found.servers]
    return view


def _detail(call: Call, found: Hypervisor) -> dict[str, Any]:
    facts = found.host.facts
    view = _basic(call, found) | {
        "host_ip": found.host.address,
        "hypervisor_type": "QEMU",
        "hypervisor_version": _version_number(facts),
        "service": {
            "id": _id(call, found),
            "host": found.host.name,
            "disabled_reason": found.host.disabled_reason,
        },
    }
    if has(call.version, "hypervisor.resources"):
        cpu_info = {
            "arch": facts.get("architecture", ""),
            "model": facts.get("cpu_model", ""),
            "topology": {"cores": facts.get("cpus", 0), "threads": 1, "sockets": 1},
        }
        as_object = has(call.version, "hypervisor.cpu_info_is_an_object")
        view["cpu_info"] = cpu_info if as_object else json.dumps(cpu_info)
        view |= _resources(found)
    if has(call.version, "hypervisor.uptime"):
        view["uptime"] = _uptime(found)
    return view


_STATISTICS = (
    "current_workload",
    "disk_available_least",
    "free_disk_gb",
    "free_ram_mb",
    "local_gb",
    "local_gb_used",
    "memory_mb",
    "memory_mb_used",
    "running_vms",
    "vcpus",
    "vcpus_used",
)


def _resources(found: Hypervisor) -> dict[str, int]:
    total, used = found.total, found.used

    def free(resource_class: str) -> int:
        return total.get(resource_class, 0) - used.get(resource_class, 0)

    return {
        "current_workload": 0,
        "vcpus": total.get("VCPU", 0),
        "vcpus_used": used.get("VCPU", 0),
        "memory_mb": total.get("MEMORY_MB", 0),
        "memory_mb_used": used.get("MEMORY_MB", 0),
        "free_ram_mb": free("MEMORY_MB"),
        "local_gb": total.get("DISK_GB", 0),
        "local_gb_used": used.get("DISK_GB", 0),
        "free_disk_gb": free("DISK_GB"),
        "disk_available_least": _number(found.host.facts.get("disk_free_gb"), free("DISK_GB")),
        "running_vms": found.running_servers,
    }


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


def _version_number(facts: Mapping[str, Any]) -> int:
    """Return QEMU's version as libvirt counts it: 7.2.0 is 7002000."""
    value = facts.get("qemu_version", 0)
    if isinstance(value, int):
        return value
    parts = re.findall(r"\d{1,4}", str(value))[:3]
    return sum(int(part) * scale for part, scale in zip(parts, (1_000_000, 1000, 1), strict=False))


def _uptime(found: Hypervisor) -> str | None:
    value = found.host.facts.get("uptime")
    return str(value) if value else None
