"""Quotas and availability zones."""

from typing import Any

from sqlalchemy import select

from controller.api.common.calls import Call, Reply
from controller.core import network_quotas
from controller.db.models import Host

ZONE_RESOURCES = ("network", "router")


def _limits(call: Call, project_id: str) -> dict[str, int]:
    call.authorize("get_quota", {"project_id": project_id})
    return network_quotas.limits(call.session, call.settings, project_id)


def _named(project_id: str, limits: dict[str, int]) -> dict[str, Any]:
    return {**limits, "project_id": project_id, "tenant_id": project_id}


def list_quotas(call: Call) -> Reply:
    """Answer with the projects whose quota differs from the default, as far as one may know."""
    found = network_quotas.all_limits(call.session, call.settings)
    quotas = [
        _named(project_id, limits)
        for project_id, limits in found.items()
        if call.context.may_see(project_id)
    ]
    return Reply({"quotas": quotas})


def show_quota(call: Call, project_id: str) -> Reply:
    return Reply({"quota": _named(project_id, _limits(call, project_id))})


def update_quota(call: Call, project_id: str) -> Reply:
    call.authorize("update_quota", {"project_id": project_id})
    wanted = dict(call.body["quota"])
    wanted.pop("force", None)
    check_used = wanted.pop("check_limit", False)
    network_quotas.set_limits(call.session, project_id, wanted, check_used=check_used)
    return Reply({"quota": _limits(call, project_id)})


def delete_quota(call: Call, project_id: str) -> Reply:
    call.authorize("delete_quota", {"project_id": project_id})
    network_quotas.reset_limits(call.session, project_id)
    return Reply(status=204)


def show_default_quota(call: Call, project_id: str) -> Reply:
    call.authorize("get_quota", {"project_id": project_id})
    return Reply({"quota": network_quotas.defaults(call.settings)})


def show_quota_details(call: Call, project_id: str) -> Reply:
    limits = _limits(call, project_id)
    used = network_quotas.used(call.session, project_id)
    return Reply(
        {
            "quota": {
                name: {"limit": limit, "used": used[name], "reserved": 0}
                for name, limit in limits.items()
            }
        }
    )


def list_zones(call: Call) -> Reply:
    """Answer with the zones of the hosts: networks are served where their servers are."""
    names = set(call.session.scalars(select(Host.availability_zone).distinct()))
    zones = [
        {"name": name, "resource": resource, "state": "available"}
        for name in sorted(names | {call.settings.availability_zone})
        for resource in ZONE_RESOURCES
    ]
    wanted = {name: set(call.request.args.getlist(name)) for name in ("name", "resource", "state")}
    found = [
        zone
        for zone in zones
        if all(not values or zone[name] in values for name, values in wanted.items())
    ]
    return Reply({"availability_zones": found})
