"""Give back DHCP leases in the name of guests that are gone.

dnsmasq reads its lease file only when it starts, and has no other way to forget a lease than the
client's own DHCPRELEASE. So that is what it gets, from inside the network's namespace. Follows
dnsmasq's contrib/lease-tools/dhcp_release.c.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import struct
from dataclasses import dataclass

from . import network_links, work

MAGIC_COOKIE = b"\x63\x82\x53\x63"
DHCP_RELEASE = 7
_RANGE_RE = re.compile(r"^dhcp-option=tag:\S+?,option:classless-static-route,\S+?/32,(\S+?)(?:,|$)")


@dataclass(frozen=True)
class Lease:
    """A line of dnsmasq's lease file. `client_id` is hex with colons, `*` without any."""

    mac: str
    address: str
    client_id: str


def leases(path: str) -> list[Lease]:
    """Return the leases that dnsmasq has handed out, none when there is no file."""
    found = []
    for line in (work.read_file(path) or "").splitlines():
        words = line.split()
        # expiry, MAC, address, host name, client id
        # (of IPv6, an association in place of the MAC, and nobody needs that back).
        if len(words) == 5 and words[0].isdecimal() and words[1].count(":") == 5:
            found.append(Lease(words[1].lower(), words[2], words[4]))
    return found


def release(stale: list[Lease], netns: str, dnsmasq_conf: str) -> None:
    """Send a DHCPRELEASE for each lease to the DHCP server inside `netns`; there is no answer."""
    # A server takes a release that bears its own address, and there is one for each subnet.
    servers = server_addresses(work.read_file(dnsmasq_conf) or "")

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for lease in stale:
                for server in servers:
                    client.sendto(release_packet(lease, server), (server, 67))

    # A namespace that goes meanwhile takes its leases along.
    with contextlib.suppress(work.WorkError):
        network_links.inside(netns, send)


def server_addresses(conf: str) -> list[str]:
    """Return the addresses of the DHCP server, out of the configuration that we wrote."""
    return [found.group(1) for found in map(_RANGE_RE.match, conf.splitlines()) if found]


def release_packet(lease: Lease, server: str) -> bytes:
    """Return the DHCPRELEASE of `lease` (RFC 2131, 4.4.6) to `server`."""
    chaddr = bytes.fromhex(lease.mac.replace(":", ""))
    options = bytes([53, 1, DHCP_RELEASE, 54, 4]) + socket.inet_aton(server)
    if lease.client_id != "*":
        client_id = bytes.fromhex(lease.client_id.replace(":", ""))
        options += bytes([61, len(client_id)]) + client_id
    head = struct.pack("!BBBB4sHH", 1, 1, 6, 0, secrets.token_bytes(4), 0, 0)
    addresses = socket.inet_aton(lease.address) + bytes(12)
    packet = head + addresses + chaddr.ljust(16, b"\0") + bytes(64 + 128)
    return packet + MAGIC_COOKIE + options + b"\xff"
