"""Delete connections from the kernel's table, by the addresses that they are known by.

Over netlink: the program `conntrack` is in no list of what hosts need, and this is all of it.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

# <linux/netlink.h>, nfnetlink.h and nfnetlink_conntrack.h have these numbers.
NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
CTNETLINK = 1 << 8
CT_GET, CT_DELETE = CTNETLINK | 1, CTNETLINK | 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID, CTA_ZONE = 1, 2, 12, 18
CTA_TUPLE_IP = 1
KIND_MASK = 0x3FFF

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_FAMILY = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_TIMEOUT_S = 5.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def delete(addresses: list[str]) -> int:
    """Delete the connections of this thread's network namespace that any of `addresses` is in.

    Whichever side, before or after translation. Return how many there were.
    """
    wanted = {ipaddress.ip_address(address) for address in addresses}
    count = 0
    for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
        if not any(address.version == version for address in wanted):
            continue
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
            kernel.settimeout(_TIMEOUT_S)
            kernel.bind((0, 0))
            for entry in [e for e in _entries(kernel, family) if addresses_of(e) & wanted]:
                count += _delete(kernel, family, entry)
    return count


def _entries(kernel: socket.socket, family: int) -> list[bytes]:
    """Return the attributes of each entry of the table, as the kernel sends them."""
    kernel.send(_message(CT_GET, NLM_F_REQUEST | NLM_F_DUMP, family, b""))
    found = []
    while True:
        for kind, body in _messages(kernel.recv(1 << 17)):
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                return found
            found.append(body[_FAMILY.size :])


def _delete(kernel: socket.socket, family: int, entry: bytes) -> int:
    kept = {CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE}
    named = b"".join(raw for kind, _, raw in attributes(entry) if kind in kept)
    kernel.send(_message(CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, family, named))
    for kind, body in _messages(kernel.recv(1 << 16)):
        if kind == NLMSG_ERROR:
            # One that ended meanwhile is as good as deleted.
            return int(struct.unpack_from("=i", body)[0] == 0)
    return 0


def _message(kind: int, flags: int, family: int, body: bytes) -> bytes:
    length = _MESSAGE.size + _FAMILY.size + len(body)
    return _MESSAGE.pack(length, kind, flags, 1, 0) + _FAMILY.pack(family, 0, 0) + body


def _messages(received: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _MESSAGE.size <= len(received):
        length, kind, *_ = _MESSAGE.unpack_from(received, at)
        if length < _MESSAGE.size:
            return
        yield kind, received[at + _MESSAGE.size : at + length]
        at += -(-length // 4) * 4


def attributes(body: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the kind, the value and the whole (padded) of each attribute."""
    at = 0
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            return
        padded = -(-length // 4) * 4
        whole = body[at : at + padded].ljust(padded, b"\0")
        yield kind & KIND_MASK, body[at + _ATTRIBUTE.size : at + length], whole
        at += padded


def addresses_of(entry: bytes) -> set[Address]:
    """Return the source and destination addresses of an entry, in both directions."""
    found: set[Address] = set()
    for kind, value, _ in attributes(entry):
        if kind not in (CTA_TUPLE_ORIG, CTA_TUPLE_REPLY):
            continue
        for inner, of_tuple, _ in attributes(value):
            if inner == CTA_TUPLE_IP:
                found |= {ipaddress.ip_address(raw) for _, raw, _ in attributes(of_tuple)}
    return found
