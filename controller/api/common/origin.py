"""Where a request comes from, and which address its client used: through trusted proxies, if any.

Anybody can send `X-Forwarded-*`. They are read only when the connection comes from a proxy of the
setting `trusted_proxies`, and of X-Forwarded-For only as far back as such proxies have written it.
"""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from flask import Request

from controller.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

_HOST = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\Z")
# [2001:db8::1]:4711 or 192.0.2.1:4711, as some proxies write the client.
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](:\d+)?|(?P<v4>\d+\.\d+\.\d+\.\d+):\d+")
_HOPS_MAX = 20


def address(request: Request, settings: Settings) -> str:
    """Return the client's address: the nearest hop that is no trusted proxy; "" if unknown."""
    nearest = _parsed(request.remote_addr or "")
    if nearest is None:
        return request.remote_addr or ""
    trusted = _networks(settings.trusted_proxies)
    for text in reversed(_values(request, "X-Forwarded-For")):
        before = _parsed(text)
        if not _is_in(nearest, trusted) or before is None:
            break
        nearest = before
    return str(nearest)


def root(request: Request, settings: Settings) -> str:
    """Return the address of the cloud as the client knows it, without a trailing slash.

    The setting `public_url`, else what a trusted proxy says of scheme and host, else where we
    listen.
    """
    nearest = _parsed(request.remote_addr or "")
    if settings.public_url or nearest is None:
        return settings.endpoint
    if not _is_in(nearest, _networks(settings.trusted_proxies)):
        return settings.endpoint
    scheme, host = settings.endpoint.split("://", 1)
    said_scheme = _last(request, "X-Forwarded-Proto").lower()
    said_host = _last(request, "X-Forwarded-Host")
    if said_scheme in ("http", "https"):
        scheme = said_scheme
    if _HOST.match(said_host):
        host = said_host
    return f"{scheme}://{host}"


def _values(request: Request, header: str) -> Sequence[str]:
    values = request.headers.get(header, "").rsplit(",", _HOPS_MAX)
    return [value.strip() for value in values if value.strip()]


def _last(request: Request, header: str) -> str:
    """Return what the nearest proxy wrote, "" for nothing."""
    values = _values(request, header)
    return values[-1] if values else ""


def _parsed(text: str) -> Address | None:
    found = _WITH_PORT.fullmatch(text)
    try:
        parsed = ipaddress.ip_address(found["v6"] or found["v4"] if found else text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _is_in(wanted: Address, networks: Networks) -> bool:
    return any(wanted in network for network in networks)


@lru_cache(maxsize=8)
def _networks(texts: tuple[str, ...]) -> Networks:
    return tuple(ipaddress.ip_network(text) for text in texts)
