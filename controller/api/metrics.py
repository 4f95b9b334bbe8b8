"""`/metrics`, on a port of its own: for whoever watches the cloud, never for tenants.

The API's port knows no such path, whatever stands in front of it; the metrics' port knows nothing
of the API but the two health paths.
"""

import hmac
import ipaddress
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client.registry import Collector

from controller import metrics
from controller.api.common.calls import Services
from controller.core.gauges import Gauges
from controller.errors import BadRequest
from controller.settings import Settings

HEALTH = frozenset({"/healthz", "/readyz"})


def listen_address(settings: Settings) -> tuple[str, int] | None:
    """Return where metrics are to be read, None for nowhere.

    Raises BadRequest for what is no address, for the API's own port, and for an address that others
    reach while nobody is asked for a token.
    """
    text = settings.metrics_listen
    if not text:
        return None
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise BadRequest(
            f"Setting 'metrics_listen' is {text!r}; expected address:port, or nothing."
        )
    if int(port) == settings.listen_port:
        raise BadRequest(
            f"Setting 'metrics_listen' is {text!r}, which is the API's own port: tenants could "
            "read metrics there. Choose another port."
        )
    if not _is_loopback(host) and not settings.metrics_token:
        raise BadRequest(
            f"Setting 'metrics_listen' is {text!r}, which others reach: set 'metrics_token' too, "
            "or listen on 127.0.0.1."
        )
    return host, int(port)


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answer(
    start_response: Callable[..., Any], status: str, body: bytes, kind: str = "text/plain"
) -> list[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
