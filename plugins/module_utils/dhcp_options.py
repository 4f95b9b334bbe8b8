"""Options that one port's guest is told by DHCP: tenants' text, in the form that dnsmasq reads."""

from __future__ import annotations

import re
from typing import Any

from . import plain_addresses, work

# dnsmasq's names of options, or their numbers.
NAME_RE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
VALUE_MAX_BYTES = 255


def lines(options: list[dict[str, Any]], port_id: str) -> str:
    """Return the file of a port's options, each for its guest alone.

    Raises WorkError for what can't stand in it: dnsmasq reads one option a line.
    """
    return "".join(_line(option, port_id) + "\n" for option in options)


def _line(option: dict[str, Any], port_id: str) -> str:
    name, value = str(option.get("opt_name")), str(option.get("opt_value") or "")
    if not NAME_RE.fullmatch(name) or (name.isdecimal() and not 0 < int(name) < 255):
        raise work.WorkError(
            f"Refused the DHCP option {name!r} of port {port_id}: use dnsmasq's name of it "
            "(`dnsmasq --help dhcp`) or its number, 1 to 254."
        )
    if len(value.encode(errors="replace")) > VALUE_MAX_BYTES or not value.isprintable():
        raise work.WorkError(
            f"Refused the value of the DHCP option {name} of port {port_id}: use printable text "
            f"of {VALUE_MAX_BYTES} bytes at most."
        )
    # Of IPv4 a number stands alone.
    prefix = name if name.isdecimal() else f"option:{name}"
    if option.get("ip_version") == 6:
        prefix = f"option6:{name}"
    return ",".join([f"tag:{port_id}", prefix, *([_value(value)] if value else [])])


def _value(value: str) -> str:
    """Return a list of addresses as it is, and all else as one text, in quotes."""
    parts = [part.strip().strip("[]") for part in value.split(",")]
    try:
        addresses = [plain_addresses.address(part) for part in parts]
    except ValueError:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return ",".join(f"[{each}]" if each.version == 6 else str(each) for each in addresses)
