"""The ebtables rules of a network: each host serves its own guests, and none through the uplink."""

from __future__ import annotations

from . import names
from .filter_base import Entries
from .filter_tables import EB_FILTER, Wanted
from .subnets import METADATA_IP, Subnet

PLACE = (EB_FILTER, "nv-networks")


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
    if any(subnet.dhcp_ip for subnet in subnets):
        rules.append("-p IPv4 --ip-proto udp --ip-dport 67:68 -j DROP")
    return {EB_FILTER: {chain: [*rules, "-j RETURN"]}}, {PLACE: {chain: entry}}


def _own_address_rules(subnets: list[Subnet]) -> list[str]:
    addresses = {METADATA_IP}
    for subnet in subnets:
        addresses |= {subnet.dhcp_ip} if subnet.dhcp_ip else set()
        addresses |= {subnet.gateway_ip} if subnet.gateway_served and subnet.gateway_ip else set()
    return [
        f"-p {protocol} {option} {address} -j DROP"
        for address in sorted(addresses)
        for protocol, option in (
            ("ARP", "--arp-ip-src"),
            ("ARP", "--arp-ip-dst"),
            ("IPv4", "--ip-src"),
            ("IPv4", "--ip-dst"),
        )
    ]


def absent_tables(network_id: str) -> tuple[Wanted, Entries]:
    chain = names.network_chain(network_id)
    return {EB_FILTER: {chain: None}}, {PLACE: {chain: None}}
