"""Placement 1.x: its root, and 501 for the rest. Hosts and claims are managed inside for now."""

from flask import Blueprint, Request

from controller.api.common.calls import Call, Reply, Route, Services, build_blueprint
from controller.errors import NovellaError

VERSION = {
    "id": "v1.0",
    "status": "CURRENT",
    "min_version": "1.0",
    "max_version": "1.0",
    "links": [{"rel": "self", "href": ""}],
}
PROVIDER = "/resource_providers/<uuid>"
NOT_BUILT = [
    ("GET,POST", "/resource_classes"),
    ("GET,PUT,DELETE", "/resource_classes/<name>"),
    ("GET,POST", "/resource_providers"),
    ("GET,PUT,DELETE", PROVIDER),
    ("GET,POST,PUT,DELETE", f"{PROVIDER}/inventories"),
    ("GET,PUT,DELETE", f"{PROVIDER}/inventories/<name>"),
    ("GET", f"{PROVIDER}/usages"),
    ("GET,PUT", f"{PROVIDER}/aggregates"),
    ("GET", f"{PROVIDER}/allocations"),
    ("GET,PUT,DELETE", f"{PROVIDER}/traits"),
    ("GET", "/traits"),
    ("GET,PUT,DELETE", "/traits/<name>"),
    ("POST", "/allocations"),
    ("GET,PUT,DELETE", "/allocations/<consumer>"),
    ("GET", "/allocation_candidates"),
    ("GET", "/usages"),
    ("POST", "/reshaper"),
]


class PlacementDialect:
    name = "placement"

    def render_fault(self, error: NovellaError, request_id: str) -> Reply:
        entry = {
            "status": error.status,
            "title": error.title,
            "detail": error.message,
            "code": "placement.undefined_code",
            "request_id": request_id,
        }
        return Reply({"errors": [entry]}, error.status)

    def negotiate(self, _incoming: Request) -> tuple[int, int]:
        return (1, 0)

    def version_headers(self, _version: tuple[int, int]) -> dict[str, str]:
        return {"OpenStack-API-Version": "placement 1.0", "Vary": "OpenStack-API-Version"}


def blueprint(services: Services, prefix: str) -> Blueprint:
    """Return the placement API below `prefix`."""
    routes = [Route("GET", "/", show_versions, None)]
    return build_blueprint(PlacementDialect(), routes, services, prefix, NOT_BUILT)


def show_versions(_call: Call) -> Reply:
    return Reply({"versions": [VERSION]})
