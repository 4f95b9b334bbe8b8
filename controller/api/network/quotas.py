"""Quotas, availability zones and agents, for reading."""

from sqlalchemy import select

from controller.api.common.calls import Call, Reply
from controller.core import network_quotas
from controller.db.models import Host


def _limits(call: Call, project_id: str) -> dict[str, int]:
    call.authorize("get_quota", {"project_id": project_id})
    return network_quotas.limits(call.settings)


def list_quotas(_call: Call) -> Reply:
    """Answer with the projects whose quota differs from the default: none can, in this release."""
    return Reply({"quotas": []})


def show_quota(call: Call, project_id: str) -> Reply:
    limits = _limits(call, project_id)
    return Reply({"quota": {**limits, "project_id": project_id, "tenant_id": project_id}})


def show_default_quota(call: Call, project_id: str) -> Reply:
    return Reply({"quota": _limits(call, project_id)})


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
        {"name": name, "resource": "network", "state": "available"}
        for name in sorted(names | {call.settings.availability_zone})
    ]
    return Reply({"availability_zones": zones})


def list_agents(_call: Call) -> Reply:
    """Answer with no agent: hosts carry none."""
    return Reply({"agents": []})
