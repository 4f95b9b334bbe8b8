"""Services, endpoints and regions: read-only, as they follow from the settings."""

from controller.api.common.calls import Call, Reply
from controller.api.identity import views
from controller.core.catalog import SERVICES, endpoints
from controller.errors import NotFound


def list_services(call: Call) -> Reply:
    wanted = {key: call.query[key] for key in ("name", "type") if key in call.query}
    found = [
        entry
        for entry in SERVICES
        if all(getattr(entry, key) == value for key, value in wanted.items())
    ]
    return views.page(call, "services", [views.service(call, entry) for entry in found])


def show_service(call: Call, service_id: str) -> Reply:
    for entry in SERVICES:
        if entry.id == service_id:
            return Reply({"service": views.service(call, entry)})
    raise NotFound.of("service", service_id)


def list_endpoints(call: Call) -> Reply:
    interface, service_id = call.query.get("interface"), call.query.get("service_id")
    region = call.query.get("region_id")
    found = [
        entry
        for entry in endpoints(call.settings, call.root)
        if interface in (None, entry.interface)
        and service_id in (None, entry.service.id)
        and region in (None, entry.region)
    ]
    return views.page(call, "endpoints", [views.endpoint(call, entry) for entry in found])


def show_endpoint(call: Call, endpoint_id: str) -> Reply:
    for entry in endpoints(call.settings, call.root):
        if entry.id == endpoint_id:
            return Reply({"endpoint": views.endpoint(call, entry)})
    raise NotFound.of("endpoint", endpoint_id)


def list_regions(call: Call) -> Reply:
    return views.page(call, "regions", [views.region(call, call.settings.region)])


def show_region(call: Call, region_id: str) -> Reply:
    if region_id != call.settings.region:
        raise NotFound.of("region", region_id)
    return Reply({"region": views.region(call, region_id)})
