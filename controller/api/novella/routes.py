"""The URL table of Novella's own API."""

from flask import Blueprint

from controller.api.common.calls import Route, Services, build_blueprint
from controller.api.novella import drains, hosts, operations
from controller.api.novella.dialect import NovellaDialect
from controller.api.novella.policies import DRAIN_HOST, FENCE_HOST, SHOW, SHOW_HOST

_HOST = "/v1/hosts/<name>"

ROUTES: list[Route] = [
    Route("GET", _HOST, hosts.show_host, SHOW_HOST),
    Route("PUT", f"{_HOST}/fence", hosts.fence_host, FENCE_HOST, hosts.FENCE),
    Route("DELETE", f"{_HOST}/fence", hosts.lift_fence, FENCE_HOST),
    # A plan takes room at the destinations, and gives it back.
    Route("GET", f"{_HOST}/drain/plan", drains.show_plan, DRAIN_HOST, transaction="write"),
    Route("GET", f"{_HOST}/drain", drains.show_drain, SHOW_HOST),
    Route("POST", f"{_HOST}/drain", drains.drain_host, DRAIN_HOST, drains.DRAIN),
    Route("DELETE", f"{_HOST}/drain", drains.cancel_drain, DRAIN_HOST),
    Route("POST", f"{_HOST}/undrain", drains.undrain_host, DRAIN_HOST),
    Route("GET", "/v1/operations/<operation_id>", operations.show_operation, SHOW),
]


def blueprint(services: Services, prefix: str) -> Blueprint:
    return build_blueprint(NovellaDialect(), ROUTES, services, prefix)
