"""`/healthz`: the process answers. `/readyz`: and it can do its work."""

from flask import Blueprint, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from controller.api.common.calls import Services


def blueprint(services: Services) -> Blueprint:
    """Return both paths; they need no token and say nothing but whether all is well."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @health.get("/readyz")
    def readyz() -> Response:
        try:
            with services.db.read() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return Response("the database does not answer\n", status=503, mimetype="text/plain")
        return Response("ok\n", mimetype="text/plain")

    return health
