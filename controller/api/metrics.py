"""`/metrics`, on a port of its own: for whoever watches the cloud, never for tenants.

The API's port knows no such path, whatever stands in front of it; the metrics' port knows nothing
of the API but the two health paths.
"""

import hmac
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client.registry import Collector

from controller import metrics
from controller.api.common.calls import Services
from controller.api.metrics_address import listen_address
from controller.core.gauges import Gauges
from controller.settings import Settings

HEALTH = frozenset({"/healthz", "/readyz"})


class MetricsPort:
    """The application with the metrics' port beside it. Told apart by the socket that a request
    came in by, which no client has a say in.
    """

    def __init__(self, api: WSGIApplication, services: Services) -> None:
        self._api = api
        # Asked anew at each request: tests exchange what is in there.
        self._services = services

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        settings = self._services.settings
        address = listen_address(settings)
        if address is None or environ.get("SERVER_PORT") != str(address[1]):
            return self._api(environ, start_response)
        path = environ.get("PATH_INFO", "")
        if path in HEALTH:
            return self._api(environ, start_response)
        if path != "/metrics":
            return _answer(start_response, "404 Not Found", b"there is /metrics here\n")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _answer(start_response, "405 Method Not Allowed", b"read it with GET\n")
        if not _may_read(settings, environ):
            return _answer(start_response, "401 Unauthorized", b"send the metrics_token\n")
        collectors: list[Collector] = [
            Gauges(settings, self._services.db, self._services.clock),
        ]
        if settings.fork_server and settings.executor == "ansible":
            collectors.append(metrics.ForkServer(settings.metrics_dir))
        figures = metrics.render(settings.metrics_dir, *collectors)
        return _answer(start_response, "200 OK", figures, metrics.CONTENT_TYPE)


def _may_read(settings: Settings, environ: WSGIEnvironment) -> bool:
    if not settings.metrics_token:
        return True
    expected = f"Bearer {settings.metrics_token}".encode()
    sent = str(environ.get("HTTP_AUTHORIZATION", "")).encode("latin-1", "replace")
    return hmac.compare_digest(sent, expected)


def _answer(
    start_response: Callable[..., Any], status: str, body: bytes, kind: str = "text/plain"
) -> list[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
