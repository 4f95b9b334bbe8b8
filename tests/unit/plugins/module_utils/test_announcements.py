"""The frames that announce an address."""

from __future__ import annotations

import ipaddress

from ansible_collections.novella.cloud.plugins.module_utils import announcements

MAC = bytes.fromhex("fa163e000001")


def test_a_gratuitous_arp_names_the_address_as_sender_and_target() -> None:
    address = ipaddress.IPv4Address("203.0.113.9")
    frame = announcements.arp(MAC, address, announcements.REQUEST)
    assert frame.hex() == (
        "ffffffffffff fa163e000001 0806 0001 0800 06 04 0001"
        "fa163e000001 cb007109 000000000000 cb007109"
    ).replace(" ", "")
    assert announcements.arp(MAC, address, announcements.REPLY)[21] == 2


def test_an_unsolicited_neighbour_advert_overrides_what_is_known() -> None:
    message = announcements.neighbour_advert(MAC, ipaddress.IPv6Address("2001:db8::9"))
    assert message[0] == 136
    assert message[4:8] == b"\x20\0\0\0"
    assert message[8:24] == ipaddress.IPv6Address("2001:db8::9").packed
    assert message[24:] == b"\x02\x01" + MAC
