"""The rules of a network: each host serves its own guests, and none through the uplink (ebtables);
its connections are tracked apart from those of other networks (a zone in iptables' table raw)."""

from __future__ import annotations

import re

from . import names
from .filter_base import Entries
from .filter_tables import EB_FILTER, IP4_RAW, IP6_RAW, Tables, Wanted
from .subnets import METADATA_IP, Subnet, advertised, has_ipv6

PLACE = (EB_FILTER, "nv-networks")
_IPV4_ENDS = (
    ("ARP", "--arp-ip-src"), ("ARP", "--arp-ip-dst"), ("IPv4", "--ip-src"), ("IPv4", "--ip-dst"),
)  # fmt: skip
_IPV6_ENDS = (("IPv6", "--ip6-src"), ("IPv6", "--ip6-dst"))
ZONES = "nv-zones"
# Zone 0 is everybody's who asks for none.
LAST_ZONE = 65535

_ZONE_RE = re.compile(r"-i (nvb[0-9a-f]{11}) -j CT --zone (\d+)")


def network_tables(
    network_id: str, subnets: list[Subnet], uplinks: list[str]
) -> tuple[Wanted, Entries]:
    """Return the network's chain and its entry: what passes the namespace's cable and `uplinks`."""
    chain, veth = names.network_chain(network_id), names.veth_name(network_id)
    interfaces = [veth, *sorted(uplinks)]
    entry = [f"{side} {name} -j {chain}" for name in interfaces for side in ("-i", "-o")]
    rules = [
        f"-i nvt+ -o {veth} -j RETURN",
        f"-i {veth} -o nvt+ -j RETURN",
        # The namespace speaks with this host's guests alone: every host has its addresses.
        f"-o {veth} -j DROP",
        f"-i {veth} -j DROP",
        # Here is what goes between guests and an uplink.
        *_own_address_rules(subnets),
    ]
    if any(subnet.dhcp_ip and not subnet.is_ipv6 for subnet in subnets):
        rules.append("-p IPv4 --ip-proto udp --ip-dport 67:68 -j DROP")
    rules += _ipv6_rules(subnets, uplinks)
    return {EB_FILTER: {chain: [*rules, "-j RETURN"]}}, {PLACE: {chain: entry}}


def _ipv6_rules(subnets: list[Subnet], uplinks: list[str]) -> list[str]:
    """What of IPv6 stays on the host: DHCP, and advertisements where we send them or routers do."""
    rules = []
    if any(subnet.dhcp_ip and subnet.is_ipv6 for subnet in subnets):
        rules.append("-p IPv6 --ip6-proto udp --ip6-dport 546:547 -j DROP")
    # Behind a VXLAN device are our own hosts alone, each with advertisements of its own.
    is_overlay = any(name.startswith(names.VXLAN_PREFIX) for name in uplinks)
    if advertised(subnets) or (is_overlay and has_ipv6(subnets)):
        rules += [f"-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type {kind} -j DROP"
                  for kind in ("router-solicitation", "router-advertisement")]  # fmt: skip
    return rules


def _own_address_rules(subnets: list[Subnet]) -> list[str]:
    addresses = {METADATA_IP}
    for subnet in subnets:
        addresses |= {subnet.dhcp_ip} if subnet.dhcp_ip else set()
        addresses |= {subnet.gateway_ip} if subnet.gateway_served and subnet.gateway_ip else set()
    return [
        f"-p {protocol} {option} {address} -j DROP"
        for address in sorted(addresses)
        for protocol, option in (_IPV6_ENDS if ":" in address else _IPV4_ENDS)
    ]


def zone_entries(network_id: str, zone: int | None) -> Entries:
    """Return the entry that has the network's packets tracked in `zone`; None takes it out.

    Networks may have the same addresses, and what a router passes is on two of them.
    """
    bridge = names.bridge_name(network_id)
    rule = [f"-i {bridge} -j CT --zone {zone}"] if zone is not None else None
    return {(key, ZONES): {bridge: rule} for key in (IP4_RAW, IP6_RAW)}


def zone(network_id: str, present: Tables) -> int:
    """Return the network's zone on this host: the one that it has, or a free one.

    Zones are 16 bits long, so they can't be made of ids alone.
    """
    bridge, used = names.bridge_name(network_id), {}
    for key in (IP6_RAW, IP4_RAW):
        for rule in present[key].get(ZONES, []):
            found = _ZONE_RE.fullmatch(rule)
            if found:
                used[found[1]] = int(found[2])
    if bridge in used:
        return used[bridge]
    first, taken = int(network_id[:8], 16), set(used.values())
    free = ((first + step) % LAST_ZONE + 1 for step in range(LAST_ZONE))
    return next(number for number in free if number not in taken)


def absent_tables(network_id: str) -> tuple[Wanted, Entries]:
    chain = names.network_chain(network_id)
    return {EB_FILTER: {chain: None}}, {PLACE: {chain: None}, **zone_entries(network_id, None)}
