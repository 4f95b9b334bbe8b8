"""What ports are called in DNS: a name of their own, or one made of the address."""

import re
from collections.abc import Sequence
from typing import Any

from controller.core.network_faults import InvalidInput
from controller.db.models import IPAllocation, Port
from controller.settings import Settings

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE | re.ASCII)
LENGTH_MAX = 255


def check(name: str) -> str:
    """Return `name` in lower case; refuse one that is no host name (RFC 1123)."""
    whole = len(name) <= LENGTH_MAX and all(_LABEL.fullmatch(label) for label in name.split("."))
    if name and not whole:
        raise InvalidInput(
            f"'{name[:LENGTH_MAX]}' not a valid PQDN or FQDN (dns_name): letters, digits and "
            "dashes, and dots between labels of at most 63."
        )
    return name.lower()


def hostname(port: Port, ip_address: str) -> str:
    """Return what the guest is called: by its port, or else by its address."""
    return port.dns_name or f"host-{ip_address.replace('.', '-').replace(':', '-')}"


def assignment(
    settings: Settings, port: Port, fixed_ips: Sequence[IPAllocation]
) -> list[dict[str, Any]]:
    """Return the names of the port's addresses, in the API's shape."""
    domain = settings.dns_domain.rstrip(".")
    return [
        {
            "ip_address": each.ip_address,
            "hostname": hostname(port, each.ip_address),
            "fqdn": f"{hostname(port, each.ip_address)}.{domain}.",
        }
        for each in fixed_ips
    ]
