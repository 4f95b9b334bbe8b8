"""What is noted of every request: its id, who made it, and how long the answer took.

One line in the log and one observation for the metrics. The route stands there as its template, so
that neither holds what a client wrote; nothing of query, headers or body is noted.
"""

import contextlib
import logging
import time
import uuid

from flask import Flask, Response, g, request

from controller import logs, metrics
from controller.core.context import Context

log = logging.getLogger("controller.access")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds by machines.
QUIET = frozenset({"/healthz", "/readyz"})
ID_MAX = 64


def install(app: Flask) -> None:
    """Have every request of `app` noted."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_leave)


def request_id() -> str:
    """Return the id of the present request."""
    return str(g.request_id)


def note_caller(context: Context) -> None:
    """Keep whose token it was, for the line in the log."""
    g.caller = context


def _begin() -> None:
    g.began = time.monotonic()
    g.request_id = f"req-{uuid.uuid4()}"
    g.about = contextlib.ExitStack()
    server_id = (request.view_args or {}).get("server_id")
    g.about.enter_context(
        logs.about(
            request_id=g.request_id, server_id=str(server_id)[:ID_MAX] if server_id else None
        )
    )


def _end(response: Response) -> Response:
    took_s = time.monotonic() - g.began
    method = request.method if request.method in METHODS else "other"
    route = request.url_rule.rule if request.url_rule else "unmatched"
    metrics.REQUESTS.labels(method, route, str(response.status_code)).observe(took_s)
    caller: Context | None = g.get("caller")
    log.log(
        logging.DEBUG if route in QUIET else logging.INFO,
        "answered",
        extra={
            "method": method,
            "route": route,
            "status": response.status_code,
            "ms": round(took_s * 1000, 1),
            "user": caller.user_id if caller else "",
            "project": (caller.project_id or "") if caller else "",
        },
    )
    return response


def _leave(_error: BaseException | None) -> None:
    g.about.close()
