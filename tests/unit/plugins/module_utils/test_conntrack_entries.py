"""Entries of the kernel's table, as they come over netlink, and whom they are about."""

from __future__ import annotations

import ipaddress
import socket
import struct

from ansible_collections.novella.cloud.plugins.module_utils import conntrack_entries


def attribute(kind: int, value: bytes) -> bytes:
    padding = -len(value) % 4
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * padding


def entry(original: tuple[str, str], reply: tuple[str, str]) -> bytes:
    nested = 0x8000
    parts = []
    for kind, (source, destination) in ((1, original), (2, reply)):
        ips = attribute(1, socket.inet_aton(source)) + attribute(2, socket.inet_aton(destination))
        # Protocol and ports stand beside the addresses.
        protocol = attribute(2 | nested, attribute(1, b"\x06") + attribute(2, b"\x04\x00"))
        parts.append(attribute(kind | nested, attribute(1 | nested, ips) + protocol))
    return b"".join(parts) + attribute(12, b"\x00\x00\x00\x07")


def test_an_entry_is_known_by_all_of_its_addresses() -> None:
    translated = entry(("198.51.100.1", "203.0.113.9"), ("192.0.2.10", "198.51.100.1"))
    assert conntrack_entries.addresses_of(translated) == {
        ipaddress.ip_address(text) for text in ("198.51.100.1", "203.0.113.9", "192.0.2.10")
    }


def test_attributes_are_taken_out_whole_and_a_cut_one_ends_the_list() -> None:
    given = entry(("192.0.2.1", "192.0.2.2"), ("192.0.2.2", "192.0.2.1"))
    assert b"".join(whole for _, _, whole in conntrack_entries.attributes(given)) == given
    assert [kind for kind, _, _ in conntrack_entries.attributes(given)] == [1, 2, 12]
    assert list(conntrack_entries.attributes(b"\x02\x00\x01\x00")) == []
