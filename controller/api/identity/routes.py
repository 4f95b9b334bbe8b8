"""Identity v3 in one table."""

from flask import Blueprint

from controller.api.common.calls import Route, Services, build_blueprint
from controller.api.identity import versions
from controller.api.identity.dialect import IdentityDialect

ROUTES = [
    Route("GET", "/", versions.list_versions, None),
    Route("GET", "/v3", versions.show_version, None),
]


def blueprint(services: Services, prefix: str) -> Blueprint:
    """Return Identity v3 below `prefix`."""
    dialect = IdentityDialect(f"{services.settings.endpoint}{prefix}/v3")
    return build_blueprint(dialect, ROUTES, services, prefix)
