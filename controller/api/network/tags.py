"""Tags of resources: list, replace, add, look for one, remove."""

from collections.abc import Callable
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.core import (
    floating_ips,
    networks,
    port_records,
    resource_tags,
    routers,
    security_groups,
    subnet_pools,
    subnets,
)
from controller.errors import NotFound

# How a resource is found by its id, and what its policies call it, by the collection in the path.
NOUNS: dict[str, tuple[str, Callable[..., Any]]] = {
    "networks": ("network", networks.get),
    "subnets": ("subnet", subnets.get),
    "ports": ("port", port_records.get),
    "security-groups": ("security_group", security_groups.get),
    "subnetpools": ("subnetpool", subnet_pools.get),
    "routers": ("router", routers.get),
    "floatingips": ("floatingip", floating_ips.get),
}


def _resource(call: Call, noun: str, resource_id: str, *, write: bool = False) -> Any:
    if noun not in NOUNS:
        raise NotFound(f"There are no tags below {noun}. Those that have some: {', '.join(NOUNS)}.")
    name, get = NOUNS[noun]
    row = get(call.session, call.context, resource_id)
    if write:
        target = {"project_id": row.project_id, "network:project_id": row.project_id}
        call.authorize(f"update_{name}", target)
        row.revision_number += 1
    return row


def list_tags(call: Call, noun: str, resource_id: str) -> Reply:
    row = _resource(call, noun, resource_id)
    return Reply({"tags": resource_tags.of(call.session, [row.id])[row.id]})


def replace_tags(call: Call, noun: str, resource_id: str) -> Reply:
    row = _resource(call, noun, resource_id, write=True)
    return Reply({"tags": resource_tags.replace(call.session, row.id, call.body["tags"])})


def add_tags(call: Call, noun: str, resource_id: str) -> Reply:
    row = _resource(call, noun, resource_id, write=True)
    return Reply({"tags": resource_tags.add(call.session, row.id, call.body["tags"])}, 201)


def remove_tags(call: Call, noun: str, resource_id: str) -> Reply:
    row = _resource(call, noun, resource_id, write=True)
    resource_tags.erase(call.session, [row.id])
    return Reply(status=204)


def check_tag(call: Call, noun: str, resource_id: str, tag: str) -> Reply:
    row = _resource(call, noun, resource_id)
    resource_tags.check_has(call.session, row.id, tag)
    return Reply(status=204)


def add_tag(call: Call, noun: str, resource_id: str, tag: str) -> Reply:
    row = _resource(call, noun, resource_id, write=True)
    resource_tags.add(call.session, row.id, [tag])
    return Reply(status=201)


def remove_tag(call: Call, noun: str, resource_id: str, tag: str) -> Reply:
    row = _resource(call, noun, resource_id, write=True)
    resource_tags.remove(call.session, row.id, tag)
    return Reply(status=204)
