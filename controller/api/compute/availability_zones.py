"""Availability zones; admins see the hosts of each."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute.times import seconds_fraction
from controller.core import availability_zones, hosts, services
from controller.core.availability_zones import Zone


def list_zones(call: Call) -> Reply:
    found = availability_zones.list_zones(call.session, call.settings, call.services.clock())
    return Reply({"availabilityZoneInfo": [_zone(zone) | {"hosts": None} for zone in found]})


def list_zones_in_detail(call: Call) -> Reply:
    found = availability_zones.list_zones(call.session, call.settings, call.services.clock())
    return Reply(
        {"availabilityZoneInfo": [_zone(zone) | {"hosts": _hosts(call, zone)} for zone in found]}
    )


def _zone(zone: Zone) -> dict[str, Any]:
    return {"zoneName": zone.name, "zoneState": {"available": zone.available}}


def _hosts(call: Call, zone: Zone) -> dict[str, Any] | None:
    if not zone.available:
        return None
    return {
        host.name: {
            services.BINARY: {
                "active": host.enabled,
                "available": hosts.is_up(host, call.settings, call.services.clock()),
                "updated_at": seconds_fraction(host.last_seen_at),
            }
        }
        for host in zone.hosts
        if host.enabled
    }
