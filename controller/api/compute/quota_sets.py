"""Limits of the caller's project, and quotas of any."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute.microversions import Version, has
from controller.api.compute.schemas.parameters import BOOLEAN, Schema, body, is_true
from controller.core import quotas
from controller.errors import BadRequest

# resource -> the names of its limit, as GET /limits has them.
LIMIT_NAMES = {
    "ram": ("maxTotalRAMSize",),
    "instances": ("maxTotalInstances",),
    "cores": ("maxTotalCores",),
    "key_pairs": ("maxTotalKeypairs",),
    "floating_ips": ("maxTotalFloatingIps",),
    "metadata_items": ("maxServerMeta", "maxImageMeta"),
    "injected_files": ("maxPersonality",),
    "injected_file_content_bytes": ("maxPersonalitySize",),
    "security_groups": ("maxSecurityGroups",),
    "security_group_rules": ("maxSecurityGroupRules",),
    "server_groups": ("maxServerGroups",),
    "server_group_members": ("maxServerGroupMembers",),
}
USED_NAMES = {
    "totalRAMUsed": "ram",
    "totalCoresUsed": "cores",
    "totalInstancesUsed": "instances",
    "totalFloatingIpsUsed": "floating_ips",
    "totalSecurityGroupsUsed": "security_groups",
    "totalServerGroupsUsed": "server_groups",
}
NETWORK = frozenset({"fixed_ips", "floating_ips", "security_groups", "security_group_rules"})
FILES = frozenset({"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"})

_LIMIT: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": -1, "maximum": 0x7FFFFFFF},
        {"type": "string", "pattern": r"\A(-1|[0-9]{1,9})\Z"},
        {"type": "null"},
    ]
}


def _schema(hidden: frozenset[str]) -> Schema:
    names = [name for name in quotas.DEFAULTS if name not in hidden]
    return body("quota_set", {**dict.fromkeys(names, _LIMIT), "force": BOOLEAN}, [])


_UPDATES = {hidden: _schema(hidden) for hidden in (frozenset[str](), NETWORK, NETWORK | FILES)}


def update_schema(version: Version) -> Schema:
    return _UPDATES[_hidden(version)]


def show_limits(call: Call) -> Reply:
    project_id = call.context.project_id
    if "tenant_id" in call.query:
        project_id = call.query["tenant_id"]
        if project_id != call.context.project_id:
            call.authorize("os_compute_api:limits:other_project")
    hidden = _hidden(call.version)
    allowed = quotas.limits(call.session, call.settings, project_id)
    used = quotas.usage(call.session, project_id)
    absolute = {
        name: allowed[resource]
        for resource, names in LIMIT_NAMES.items()
        if resource not in hidden
        for name in names
        if name != "maxImageMeta" or has(call.version, "limits.image_meta")
    }
    absolute |= {
        name: used.of(resource) for name, resource in USED_NAMES.items() if resource not in hidden
    }
    return Reply({"limits": {"rate": [], "absolute": absolute}})


def show_quotas(call: Call, project_id: str) -> Reply:
    call.authorize("os_compute_api:os-quota-sets:show", {"project_id": project_id})
    allowed = quotas.limits(call.session, call.settings, project_id)
    return Reply({"quota_set": {"id": project_id, **_shown(call, allowed)}})


def show_quotas_in_detail(call: Call, project_id: str) -> Reply:
    call.authorize("os_compute_api:os-quota-sets:detail", {"project_id": project_id})
    allowed = quotas.limits(call.session, call.settings, project_id)
    used = quotas.usage(call.session, project_id)
    view = {
        name: {"limit": limit, "in_use": used.of(name), "reserved": 0}
        for name, limit in _shown(call, allowed).items()
    }
    return Reply({"quota_set": {"id": project_id, **view}})


def show_defaults(call: Call, project_id: str) -> Reply:
    view = _shown(call, quotas.defaults(call.settings))
    return Reply({"quota_set": {"id": project_id, **view}})


def update_quotas(call: Call, project_id: str) -> Reply:
    if "user_id" in call.query:
        raise BadRequest("Quotas are of projects here, not of users: leave user_id out.")
    wanted: dict[str, Any] = dict(call.body["quota_set"])
    force = is_true(wanted.pop("force", False))
    limits = {name: int(limit) for name, limit in wanted.items() if limit is not None}
    quotas.set_limits(call.session, project_id, limits, force=force)
    call.session.flush()
    allowed = quotas.limits(call.session, call.settings, project_id)
    return Reply({"quota_set": _shown(call, allowed)})


def delete_quotas(call: Call, project_id: str) -> Reply:
    quotas.reset_limits(call.session, project_id)
    return Reply(status=202)


def _hidden(version: Version) -> frozenset[str]:
    """Return the resources that the version no longer tells of."""
    if not has(version, "limits.injected_files"):
        return NETWORK | FILES
    return frozenset() if has(version, "limits.network") else NETWORK


def _shown(call: Call, values: dict[str, int]) -> dict[str, int]:
    hidden = _hidden(call.version)
    return {name: value for name, value in values.items() if name not in hidden}
