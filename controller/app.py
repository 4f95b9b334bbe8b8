"""Where everything is put together: the one Flask application, a path per service."""

from functools import partial

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from controller.api.common.calls import Services, render_routing_error
from controller.api.common.policy import Policy
from controller.db.clock import DatabaseClock
from controller.db.session import Database
from controller.errors import NovellaError
from controller.queue.wake import waker
from controller.settings import Settings


def build_services(settings: Settings, policy: Policy | None = None) -> Services:
    """Return what the handlers share; opens no connection yet.

    `policy` is one made before, by the same settings: reading all rules takes a while.
    """
    from controller.api.common.tokens import authenticator
    from controller.api.compute.policies import RULES as COMPUTE
    from controller.api.identity.policies import RULES as IDENTITY
    from controller.api.image.policies import RULES as IMAGE
    from controller.api.network.policies import RULES as NETWORK
    from controller.api.novella.policies import RULES as NOVELLA

    db = Database(settings.db_url, on_wake=waker(settings))
    return Services(
        settings=settings,
        db=db,
        policy=policy or Policy(settings, [*IDENTITY, *IMAGE, *NETWORK, *COMPUTE, *NOVELLA]),
        authenticate=authenticator(settings),
        clock=DatabaseClock(db),
    )


def build_app(settings: Settings, services: Services | None = None) -> Flask:
    """Return the WSGI application."""
    from controller.api import health, metrics, placement
    from controller.api.common import access
    from controller.api.compute import routes as compute
    from controller.api.identity import routes as identity
    from controller.api.image import routes as image
    from controller.api.network import routes as network
    from controller.api.novella import routes as novella

    services = services or build_services(settings)
    app = Flask("novella", static_folder=None)
    app.extensions["novella"] = services
    access.install(app)
    app.register_blueprint(health.blueprint(services))
    for module, prefix in (
        (identity, "/identity"),
        (image, "/image"),
        (network, "/network"),
        (compute, "/compute"),
        (placement, "/placement"),
        (novella, "/novella"),
    ):
        app.register_blueprint(module.blueprint(services, prefix))
    app.register_error_handler(HTTPException, partial(_unknown_path, app))
    app.wsgi_app = metrics.MetricsPort(app.wsgi_app, services)  # type: ignore[method-assign]
    return app


def _unknown_path(app: Flask, error: HTTPException) -> Response:
    """What no table has: 404, 405 and the like, in the dialect's form or a plain one."""
    status = error.code or 500
    refusal = NovellaError(f"{request.method} {request.path}: {error.description or error.name}")
    refusal.status, refusal.title = status, error.name
    in_dialect = render_routing_error(app, refusal)
    if in_dialect is not None:
        return in_dialect
    response = jsonify(
        error={"code": status, "title": error.name, "message": error.description or error.name}
    )
    response.status_code = status
    return response
