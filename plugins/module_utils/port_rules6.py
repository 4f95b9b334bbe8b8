"""The IPv6 part of a port's rules. Nothing here touches a host.

As with IPv4, a guest may use its own addresses alone, and its link-local one beside them. It is
nobody's router and nobody's DHCP server, and it announces no neighbour but itself: the address that
an advertisement is about stands inside it, so the source alone would prove nothing.
"""

from __future__ import annotations

import ipaddress

from . import names

NEIGHBOUR = "-p ipv6-icmp -m icmp6 --icmpv6-type"
QUERY, ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 130, 133, 134
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT, REDIRECT = 135, 136, 137
# Who listens to which multicast group: reports and leaves, of both versions.
REPORTS = (131, 132, 143)


def link_local(mac: str) -> str:
    """Return the link-local address that a guest makes of its MAC address, with its prefix."""
    parts = [int(part, 16) for part in mac.split(":")]
    parts = [parts[0] ^ 2, parts[1], parts[2], 0xFF, 0xFE, *parts[3:]]
    return f"{ipaddress.IPv6Address(bytes([0xFE, 0x80, *bytes(6), *parts]))}/128"


def egress(
    source_chain: str,
    own: list[str],
    replies: list[str],
    allowed: list[str],
) -> list[str]:
    """Return the rules of what the guest sends; `own` are its addresses as networks."""
    announced = [f"{NEIGHBOUR} {NEIGHBOUR_ADVERTISEMENT} {_target(each)}-j RETURN" for each in own]
    return [
        # Before it has an address: is mine free, and which groups am I in?
        *(
            f"-s ::/128 -d ff02::/16 {NEIGHBOUR} {kind} -j RETURN"
            for kind in (NEIGHBOUR_SOLICITATION, *REPORTS)
        ),
        f"{NEIGHBOUR} {ROUTER_ADVERTISEMENT} -j DROP",
        f"{NEIGHBOUR} {REDIRECT} -j DROP",
        f"-j {source_chain}",
        *announced,
        f"{NEIGHBOUR} {NEIGHBOUR_ADVERTISEMENT} -j DROP",
        "-p udp -m udp --dport 546 -j DROP",
        "-p udp -m udp --sport 546 --dport 547 -j RETURN",
        *(
            f"{NEIGHBOUR} {kind} -j RETURN"
            for kind in (ROUTER_SOLICITATION, NEIGHBOUR_SOLICITATION, *REPORTS)
        ),
        *replies,
        *allowed,
        "-j DROP",
    ]


def ingress(network_id: str, replies: list[str], allowed: list[str]) -> list[str]:
    """Return the rules of what the guest is sent."""
    return [
        *(
            f"{NEIGHBOUR} {kind} -j RETURN"
            for kind in (QUERY, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT)
        ),
        # Of our own routers and services, and of the physical network's: no guest is one.
        f"-m physdev ! --physdev-in nvt+ {NEIGHBOUR} {ROUTER_ADVERTISEMENT} -j RETURN",
        f"{NEIGHBOUR} {ROUTER_ADVERTISEMENT} -j DROP",
        f"-p udp -m physdev --physdev-in {names.veth_name(network_id)} -m udp --sport 547 "
        "--dport 546 -j RETURN",
        *replies,
        *allowed,
        "-j DROP",
    ]


def _target(network: str) -> str:
    """Return what matches an advertisement about an address of `network`.

    Its target are bytes 48 to 63 of the packet, if nothing stands before ICMPv6's header.
    """
    wanted = ipaddress.IPv6Network(network)
    address, mask = int(wanted.network_address), int(wanted.netmask)
    tests = ["0x4&0xff00=0x3a00"]
    for number in range(4):
        shift = 96 - 32 * number
        of_word, bits = address >> shift & 0xFFFFFFFF, mask >> shift & 0xFFFFFFFF
        place = f"{48 + 4 * number:#x}"
        if bits == 0xFFFFFFFF:
            tests.append(f"{place}={of_word:#x}")
        elif bits:
            tests.append(f"{place}&{bits:#x}={of_word:#x}")
    return '-m u32 --u32 "' + "&&".join(tests) + '" '
