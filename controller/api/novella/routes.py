"""The URL table of Novella's own API."""

from flask import Blueprint

from controller.api.common.calls import Route, Services, build_blueprint
from controller.api.novella import hosts
from controller.api.novella.dialect import NovellaDialect
from controller.api.novella.policies import FENCE_HOST, SHOW_HOST

_HOST = "/v1/hosts/<name>"

ROUTES: list[Route] = [
    Route("GET", _HOST, hosts.show_host, SHOW_HOST),
    Route("PUT", f"{_HOST}/fence", hosts.fence_host, FENCE_HOST, hosts.FENCE),
    Route("DELETE", f"{_HOST}/fence", hosts.lift_fence, FENCE_HOST),
]


def blueprint(services: Services, prefix: str) -> Blueprint:
    return build_blueprint(NovellaDialect(), ROUTES, services, prefix)
