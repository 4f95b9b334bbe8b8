"""`/healthz`: the process answers. `/readyz`: and the cloud can do its work."""

from flask import Blueprint, Response

from controller.api.common.calls import Services
from controller.core import readiness


def blueprint(services: Services) -> Blueprint:
    """Return both paths; they need no token and say nothing but what is wrong, a line each."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @health.get("/readyz")
    def readyz() -> Response:
        found = readiness.look(services.settings, services.db, services.clock())
        lines = [*(found.problems or ["ok"]), *(f"warning: {each}" for each in found.warnings)]
        status = 503 if found.problems else 200
        return Response("".join(f"{each}\n" for each in lines), status, mimetype="text/plain")

    return health
