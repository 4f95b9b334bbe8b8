"""IP addresses and networks of a play's arguments, which end up in what other programs read.

ipaddress takes any text as the zone of an IPv6 address (fe80::1%eth0), line ends too, and gives it
back as it is: a line of its own for iptables, `ip -batch` or dnsmasq.
"""

from __future__ import annotations

import ipaddress
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address(value: Any) -> Address:
    """Return `value` as an address. Raises ValueError, also for one with a zone."""
    return ipaddress.ip_address(_without_zone(value))


def network(value: Any, *, strict: bool = True) -> Network:
    """Return `value` as a network. Raises ValueError, also for one with a zone."""
    return ipaddress.ip_network(_without_zone(value), strict=strict)


def _without_zone(value: Any) -> Any:
    if "%" in str(value):
        raise ValueError(f"{value!r} names an interface")
    return value
