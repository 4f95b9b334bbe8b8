"""Tell a network which MAC an address is at now: gratuitous ARP, unsolicited neighbour advert.

With sockets of our own: `arping` and its kind are in no list of what hosts need.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

ETHERTYPE_ARP = 0x0806
BROADCAST = b"\xff" * 6
REQUEST, REPLY = 1, 2
NEIGHBOUR_ADVERT, OVERRIDE, TARGET_MAC = 136, 0x20000000, 2
ALL_NODES = "ff02::1"


def announce(device: str, addresses: list[str]) -> None:
    """Announce `addresses` on a device of this thread's network namespace. Raises OSError."""
    for text in addresses:
        address = ipaddress.ip_address(text)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
            link.bind((device, ETHERTYPE_ARP))
            mac = link.getsockname()[4]
            if isinstance(address, ipaddress.IPv4Address):
                # Some take notice of the one, some of the other.
                for operation in (REQUEST, REPLY):
                    link.send(arp(mac, address, operation))
                continue
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            index = socket.if_nametoindex(device)
            raw.sendto(neighbour_advert(mac, address), (ALL_NODES, 0, 0, index))


def arp(mac: bytes, address: ipaddress.IPv4Address, operation: int) -> bytes:
    """Return the frame that says, as a question or as an answer, that `address` is at `mac`."""
    header = BROADCAST + mac + struct.pack("!H", ETHERTYPE_ARP)
    target = BROADCAST if operation == REPLY else bytes(6)
    fixed = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return header + fixed + mac + address.packed + target + address.packed


def neighbour_advert(mac: bytes, address: ipaddress.IPv6Address) -> bytes:
    """Return the ICMPv6 message; the kernel fills in its checksum."""
    start = struct.pack("!BBHI", NEIGHBOUR_ADVERT, 0, 0, OVERRIDE)
    return start + address.packed + struct.pack("!BB", TARGET_MAC, 1) + mac
