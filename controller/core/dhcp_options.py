"""Extra DHCP options of ports: which there are, and what a value may be.

They end up as lines of a file that dnsmasq reads, for all ports of a network. So a name is one that
it knows, and a value has nothing that it would take for something else: no line break, quote or
backslash, and a comma only between plain words. Names and numbers are those of `dnsmasq --help
dhcp` and `dhcp6`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from controller.core.network_faults import InvalidInput
from controller.core.subnet_ranges import plain_address


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Lists of addresses.
_ADDRESSES = {
    4: _words(
        "router dns-server log-server lpr-server swap-server nis-server ntp-server netbios-ns "
        "netbios-dd x-windows-fs x-windows-dm nis+-server mobile-ip-home smtp-server pop3-server "
        "nntp-server irc-server tftp-server-address router-solicitation netmask"
    ),
    6: _words("dns-server sip-server nis-server nis+-server sntp-server ntp-server"),
}
_NUMBERS = {
    4: _words(
        "time-offset boot-file-size max-datagram-reassembly default-ttl mtu arp-timeout tcp-ttl "
        "tcp-keepalive netbios-nodetype T1 T2"
    ),
    6: frozenset({"information-refresh-time"}),
}
_TEXTS = {
    4: _words(
        "domain-name root-path extension-path nis-domain netbios-scope vendor-class nis+-domain "
        "tftp-server bootfile-name user-class posix-timezone tzdb-timezone domain-search "
        "sip-server classless-static-route static-route policy-filter ip-forward-enable "
        "non-local-source-routing all-subnets-local router-discovery trailer-encapsulation "
        "ethernet-encap ipv6-only server-ip-address"
    ),
    6: _words(
        "sip-server-domain domain-search nis-domain nis+-domain posix-timezone tzdb-timezone "
        "bootfile-url bootfile-param"
    ),
}
# What the server itself says of the exchange and of the address; a guest would be lost.
_OWN_NUMBERS = {4: {50, 51, 53, 54, 55, 57, 58, 59, 61, 82, 255}, 6: {1, 2, 3, 4, 5, 6, 7, 13}}
_NUMBERED = re.compile(r"[1-9][0-9]{0,2}")
_TEXT = re.compile(r"""[ !#-\[\]-~]{1,255}""")
_WORD = re.compile(r"[A-Za-z0-9._:/+-]+")
KEYS = ("opt_name", "ip_version")


def check(options: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the options of a new port in plain form and order, or raise InvalidInput."""
    return merge([], options)


def merge(
    present: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return `present` options with the `wanted` ones; a value of None takes an option away."""
    found = {(each["opt_name"], each["ip_version"]): each["opt_value"] for each in present}
    for option in wanted:
        name, version = option["opt_name"], int(option.get("ip_version") or 4)
        if option.get("opt_value") is None:
            found.pop((name, version), None)
            continue
        _check(name, version, option["opt_value"])
        found[name, version] = option["opt_value"]
    return [
        {"opt_name": name, "opt_value": value, "ip_version": version}
        for (name, version), value in sorted(found.items())
    ]


def _check(name: str, version: int, value: str) -> None:
    what = f"DHCP option '{name}' of IPv{version}"
    numbered = _NUMBERED.fullmatch(name)
    kinds = (_ADDRESSES[version], _NUMBERS[version], _TEXTS[version])
    if numbered:
        if int(name) in _OWN_NUMBERS[version] or int(name) > 254:
            raise InvalidInput(f"{what} is the server's own, or none at all. Leave it out.")
    elif not any(name in kind for kind in kinds):
        raise InvalidInput(
            f"There is no {what}. There are: {', '.join(sorted(set().union(*kinds)))}; or a number."
        )
    if not _TEXT.fullmatch(value):
        raise InvalidInput(
            f"The value of {what} may have 1 to 255 printable ASCII characters, and none of "
            "quotes and backslashes."
        )
    parts = value.split(",")
    if len(parts) > 1 and not all(_WORD.fullmatch(part) for part in parts):
        raise InvalidInput(
            f"The value of {what} is a list, for it has commas; what stands between them may have "
            "letters, digits and . _ : / + - alone."
        )
    if name in _ADDRESSES[version] and not all(_is_address(part, version) for part in parts):
        raise InvalidInput(f"The value of {what} is '{value}'; expected IPv{version} addresses.")
    if name in _NUMBERS[version] and not re.fullmatch(r"-?[0-9]{1,10}", value):
        raise InvalidInput(f"The value of {what} is '{value}'; expected a number.")


def _is_address(text: str, version: int) -> bool:
    bare = text[1:-1] if version == 6 and text.startswith("[") and text.endswith("]") else text
    try:
        return plain_address(bare).version == version
    except ValueError:
        return False
