"""Where metrics are to be read. Known before the API is loaded, which takes its time."""

import ipaddress

from controller.errors import BadRequest
from controller.settings import Settings


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
