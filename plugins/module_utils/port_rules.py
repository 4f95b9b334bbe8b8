"""The rules of a port, out of its addresses and its security groups. Nothing here touches a host.

A guest may use its own MAC and addresses alone, may ask DHCP and metadata of this host's own
services, and gets or sends for the rest what its groups' rules allow, with the replies. A port
without IPv6 addresses passes no IPv6, and other protocols pass none that has port security. Follows
Neutron's iptables firewall driver.
"""

from __future__ import annotations

import re
from typing import Any

from . import names, plain_addresses, port_rules6, work
from .filter_base import Entries
from .filter_tables import EB_FILTER, EB_NAT, IP4, IP6, Wanted

MAC_RE = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
# Neutron's names.
PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58,
    "igmp": 2, "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6,
    "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
# By protocol, what matches its destination ports; udplite has no match of its own.
PORT_MATCHES = {
    6: "tcp -m tcp --dport",
    17: "udp -m udp --dport",
    33: "dccp -m dccp --dport",
    132: "sctp -m sctp --dport",
    136: "udplite -m multiport --dports",
}
HOPOPT, ICMP, ICMPV6 = PROTOCOLS["hopopt"], PROTOCOLS["icmp"], PROTOCOLS["icmpv6"]
METADATA = "-d 169.254.169.254/32 -p tcp -m tcp --dport 80"

Port = dict[str, Any]


def port_tables(port: Port, groups: dict[str, Any]) -> tuple[Wanted, Entries]:
    """Return the chains of `port` and its entries in the base chains.

    `groups` are the security groups by id, as the playbooks' `security_groups` have them. Raises
    WorkError for a port or a rule that no packet filter can carry, naming it.
    """
    work.check_uuid(port["id"], "Port id")
    if not port.get("port_security_enabled", True):
        chains, entries = absent_tables(port["id"])
        return chains, {**entries, **_open_entries(port)}
    pairs = address_pairs(port)
    own_groups = _groups_of(port, groups)
    rules = [rule for group in own_groups for rule in group.get("rules") or []]
    # Neutron lets no port mix them; if one does, replies come through.
    is_stateful = not own_groups or any(group.get("stateful", True) for group in own_groups)
    port_id = port["id"]
    ingress, egress = names.port_ingress_chain(port_id), names.port_egress_chain(port_id)
    source = names.port_source_chain(port_id)
    pairs6 = address_pairs(port, 6)
    macs = sorted({mac for mac, _ in (*pairs, *pairs6)} | {_mac(port["mac_address"], port)})
    chains = {
        IP4: {
            ingress: _ingress(port, rules, is_stateful),
            egress: _egress(source, own_addresses(port), rules, is_stateful),
            source: _sources(pairs),
        },
        IP6: dict.fromkeys((ingress, egress, source)),
        EB_NAT: {egress: _frames_out(macs, pairs, bool(pairs6))},
        EB_FILTER: {ingress: _frames_in(macs, bool(pairs6))},
    }
    if pairs6:
        chains[IP6] = _chains6(port, rules, macs, pairs6, is_stateful)
    return chains, _entries(port_id, ingress, egress, bool(pairs6))


def _chains6(
    port: Port,
    rules: list[dict[str, Any]],
    macs: list[str],
    pairs: list[tuple[str, str]],
    is_stateful: bool,
) -> dict[str, list[str] | None]:
    sources = sorted({*pairs, *((mac, port_rules6.link_local(mac)) for mac in macs)})
    own = sorted({network for _, network in sources})
    replies = [*_replies(is_stateful), *_invalid(is_stateful)]
    source = names.port_source_chain(port["id"])
    network_id = work.check_uuid(port["network_id"], "Network id")
    return {
        names.port_ingress_chain(port["id"]): port_rules6.ingress(
            network_id, replies, _allowed(rules, "ingress", 6)
        ),
        names.port_egress_chain(port["id"]): port_rules6.egress(
            source, own, replies, _allowed(rules, "egress", 6)
        ),
        source: _sources(sources),
    }


def absent_tables(port_id: str) -> tuple[Wanted, Entries]:
    """Return the chains and entries of a port that is gone, all None."""
    ingress, egress = names.port_ingress_chain(port_id), names.port_egress_chain(port_id)
    tap = names.tap_name(port_id)
    chains: Wanted = {
        IP4: {ingress: None, egress: None, names.port_source_chain(port_id): None},
        IP6: {ingress: None, egress: None, names.port_source_chain(port_id): None},
        EB_NAT: {egress: None},
        EB_FILTER: {ingress: None},
    }
    entries: Entries = {
        (key, chain): {tap: None}
        for key, chain in (
            (IP4, "nv-egress"),
            (IP4, "nv-ingress"),
            (IP6, "nv-egress"),
            (IP6, "nv-ingress"),
            (EB_NAT, "nv-egress"),
            (EB_FILTER, "nv-ingress"),
        )
    }
    return chains, entries


def _entries(port_id: str, ingress: str, egress: str, has_ipv6: bool) -> Entries:
    tap = names.tap_name(port_id)
    _, entries = absent_tables(port_id)
    for key in (IP4, IP6) if has_ipv6 else (IP4,):
        entries[key, "nv-egress"] = {tap: [f"-m physdev --physdev-in {tap} -g {egress}"]}
        entries[key, "nv-ingress"] = {tap: [f"-m physdev --physdev-out {tap} -g {ingress}"]}
    entries[EB_NAT, "nv-egress"] = {tap: [f"-i {tap} -j {egress}", f"-i {tap} -j RETURN"]}
    entries[EB_FILTER, "nv-ingress"] = {tap: [f"-o {tap} -j {ingress}", f"-o {tap} -j RETURN"]}
    return entries


def _open_entries(port: Port) -> Entries:
    tap = names.tap_name(port["id"])
    entries: Entries = {}
    for key in (IP4, IP6):
        entries[key, "nv-egress"] = {tap: [f"-m physdev --physdev-in {tap} -j RETURN"]}
        entries[key, "nv-ingress"] = {tap: [f"-m physdev --physdev-out {tap} -j RETURN"]}
    # Whose network it is may open a port there, and yet is not told what is another server's.
    told = [f"-s {address} " for address in own_addresses(port)]
    metadata = f"-m physdev --physdev-in {tap} {METADATA}"
    entries[IP4, "nv-egress"][tap] = [
        *(f"{source}{metadata} -j RETURN" for source in told),
        f"{metadata} -j DROP",
        f"-m physdev --physdev-in {tap} -j RETURN",
    ]
    entries[EB_NAT, "nv-egress"] = {tap: [f"-i {tap} -j RETURN"]}
    entries[EB_FILTER, "nv-ingress"] = {tap: [f"-o {tap} -j RETURN"]}
    return entries


def address_pairs(port: Port, version: int = 4) -> list[tuple[str, str]]:
    """Return the (MAC, network) pairs of an IP version that the port may send from, sorted."""
    own_mac = _mac(port["mac_address"], port)
    pairs = {(own_mac, fixed["ip_address"]) for fixed in port.get("fixed_ips") or []}
    for pair in port.get("allowed_address_pairs") or []:
        pairs.add((_mac(pair.get("mac_address") or own_mac, port), pair["ip_address"]))
    where = f"port {port['id']}"
    networks = {(mac, ip_network(address, where, version)) for mac, address in pairs}
    return sorted((mac, network) for mac, network in networks if network)


def ip_network(value: Any, where: str, version: int) -> str | None:
    """Return `value` as a network with its prefix, None for one of the other IP version.

    Raises WorkError for anything else, naming `where` it stands.
    """
    try:
        network = plain_addresses.network(value, strict=False)
    except ValueError as error:
        raise work.WorkError(
            f"Refused the address {value!r} of {where}: it is neither an address nor a network. "
            "Correct it."
        ) from error
    return str(network) if network.version == version else None


def _mac(value: Any, port: Port) -> str:
    mac = str(value).lower()
    if not MAC_RE.fullmatch(mac):
        raise work.WorkError(
            f"Refused the MAC address {value!r} of port {port['id']}: write it as "
            "fa:16:3e:00:00:01."
        )
    return mac


def _groups_of(port: Port, groups: dict[str, Any]) -> list[dict[str, Any]]:
    missing = [group for group in port.get("security_groups") or [] if group not in groups]
    if missing:
        raise work.WorkError(
            f"Refused the port {port['id']}: its security group {missing[0]} is not among the "
            "security_groups given. Give each group that a port uses."
        )
    return [groups[group] for group in port.get("security_groups") or []]


def _sources(pairs: list[tuple[str, str]]) -> list[str]:
    allowed = [
        f"{_match('-s', address)}-m mac --mac-source {mac} -j RETURN" for mac, address in pairs
    ]
    return [*allowed, "-j DROP"]


def own_addresses(port: Port) -> list[str]:
    """Return the port's fixed IPv4 addresses as networks, sorted."""
    where = f"port {port['id']}"
    found = {ip_network(each["ip_address"], where, 4) for each in port.get("fixed_ips") or []}
    return sorted(filter(None, found))


def _egress(
    source_chain: str, own: list[str], rules: list[dict[str, Any]], is_stateful: bool
) -> list[str]:
    return [
        # A guest without an address asks for one.
        "-s 0.0.0.0/32 -d 255.255.255.255/32 -p udp -m udp --sport 68 --dport 67 -j RETURN",
        f"-j {source_chain}",
        # No guest answers DHCP clients; they look at the destination port alone.
        "-p udp -m udp --dport 68 -j DROP",
        # This host's own services, whatever the groups say: without them no guest starts.
        "-p udp -m udp --sport 68 --dport 67 -j RETURN",
        # By its address a guest is told what is its own: an address pair may be another's.
        *(f"-s {address} {METADATA} -j RETURN" for address in own),
        f"{METADATA} -j DROP",
        *_replies(is_stateful),
        *_invalid(is_stateful),
        *_allowed(rules, "egress"),
        "-j DROP",
    ]


def _ingress(port: Port, rules: list[dict[str, Any]], is_stateful: bool) -> list[str]:
    veth = names.veth_name(work.check_uuid(port["network_id"], "Network id"))
    return [
        *_replies(is_stateful),
        # To conntrack an offer is no reply to a broadcast.
        f"-p udp -m physdev --physdev-in {veth} -m udp --sport 67 --dport 68 -j RETURN",
        *_invalid(is_stateful),
        *_allowed(rules, "ingress"),
        "-j DROP",
    ]


def _replies(is_stateful: bool) -> list[str]:
    """Return what lets replies through, and errors about what was let through.

    What goes on in a connection's own direction is judged packet by packet: when the rule that let
    it in goes, or a member of the group that it names, it ends, wherever its entry is.
    """
    if not is_stateful:
        return []
    return [
        "-m conntrack --ctstate ESTABLISHED --ctdir REPLY -j RETURN",
        "-m conntrack --ctstate RELATED -j RETURN",
    ]


def _invalid(is_stateful: bool) -> list[str]:
    return ["-m conntrack --ctstate INVALID -j DROP"] if is_stateful else []


def _frames_out(macs: list[str], pairs: list[tuple[str, str]], has_ipv6: bool) -> list[str]:
    rules = []
    for mac, address in pairs:
        source = "" if address == "0.0.0.0/0" else f" --arp-ip-src {address.removesuffix('/32')}"
        rules.append(f"-p ARP -s {mac}{source} --arp-mac-src {mac} -j RETURN")
    for mac in macs:
        # Asking whether an address is free carries no sender address.
        rules.append(
            f"-p ARP -s {mac} --arp-op Request --arp-ip-src 0.0.0.0 --arp-mac-src {mac} -j RETURN"
        )
        rules.append(f"-p IPv4 -s {mac} -j RETURN")
        rules += [f"-p IPv6 -s {mac} -j RETURN"] if has_ipv6 else []
        # QEMU announces a guest that moved here by reverse ARP.
        rules.append(f"-p RARP -s {mac} -j RETURN")
    # VLAN tags and PPPoE too: what is inside would not be seen by iptables.
    return [*rules, "-j DROP"]


def _frames_in(macs: list[str], has_ipv6: bool) -> list[str]:
    # Only for its own MAC: flooded frames of others would match as established in iptables.
    own = [
        f"-p {protocol} -d {to} -j RETURN"
        for protocol in (("IPv4", "IPv6") if has_ipv6 else ("IPv4",))
        for to in (*macs, "Multicast")
    ]
    return ["-p ARP -j RETURN", *own, "-j DROP"]


def _allowed(rules: list[dict[str, Any]], direction: str, version: int = 4) -> list[str]:
    texts = {_rule(rule, version) for rule in rules if rule.get("direction") == direction}
    return sorted(text for text in texts if text)


def _rule(rule: dict[str, Any], version: int) -> str | None:
    """Return the rule of one security group rule; None for what the IP version does not have."""
    where = f"security group rule {rule.get('id', rule)}"
    if rule.get("ethertype", "IPv4") != f"IPv{version}":
        return None
    side = "-s" if rule["direction"] == "ingress" else "-d"
    address = ""
    if rule.get("remote_ip_prefix"):
        network = ip_network(rule["remote_ip_prefix"], where, version)
        if network is None:
            return None
        address = _match(side, network)
    group = ""
    if rule.get("remote_group_id"):
        work.check_uuid(rule["remote_group_id"], "Security group id")
        set_name = names.group_set(rule["remote_group_id"], version)
        group = f"-m set --match-set {set_name} {'src' if side == '-s' else 'dst'} "
    protocol = _protocol(rule, where, version)
    return None if protocol is None else f"{address}{protocol}{group}-j RETURN"


def _match(side: str, network: str) -> str:
    return "" if network in ("0.0.0.0/0", "::/0") else f"{side} {network} "


def _protocol(rule: dict[str, Any], where: str, version: int) -> str | None:
    """Return what matches the rule's protocol and ports; None for what the version lacks."""
    protocol, low, high = (rule.get(k) for k in ("protocol", "port_range_min", "port_range_max"))
    number = protocol_number(protocol, where)
    has_range = low is not None or high is not None
    if version == 6 and number in (ICMP, ICMPV6):
        return _icmp(low, high, where, "ipv6-icmp -m icmp6 --icmpv6-type")
    if number == ICMP or (number == ICMPV6 and has_range):
        matched = _icmp(low, high, where, "icmp -m icmp --icmp-type")
        # The types of ICMPv6 are told apart in IPv6 alone.
        return matched if number == ICMP else None
    if has_range:
        return _ports(number, low, high, f"{where}: protocol {protocol!r}")
    if number is None:
        return ""
    # `-p 0` would match every packet. The number is that of IPv6's hop-by-hop options.
    return None if number == HOPOPT else f"-p {number} "


def _ports(number: int | None, low: Any, high: Any, where: str) -> str:
    match = PORT_MATCHES.get(number) if number is not None else None
    low, high = low if low is not None else high, high if high is not None else low
    if match is None or not 0 <= int(low) <= int(high) <= 65535:
        raise work.WorkError(
            f"Refused the {where} with the ports {low!r} to {high!r}. "
            "Ports go with tcp, udp, sctp, dccp and udplite, from 0 to 65535."
        )
    ports = str(int(low)) if int(low) == int(high) else f"{int(low)}:{int(high)}"
    return f"-p {match} {ports} "


def _icmp(kind: Any, code: Any, where: str, match: str) -> str:
    if kind is None and code is None:
        return f"-p {match.split(maxsplit=1)[0]} "
    if kind is None or not (0 <= int(kind) <= 255 and (code is None or 0 <= int(code) <= 255)):
        raise work.WorkError(
            f"Refused the {where}: ICMP type {kind!r} and code {code!r} go from 0 to 255, and a "
            "code goes with a type (port_range_min)."
        )
    return f"-p {match} {int(kind)}{'' if code is None else f'/{int(code)}'} "


def protocol_number(protocol: Any, where: str) -> int | None:
    """Return the number of a rule's protocol, None for any. Raises WorkError for an unknown one.

    The number 0 stands for any protocol, as in Neutron's API; the name hopopt does not.
    """
    text = "" if protocol is None else str(protocol).lower()
    number = int(text) if text.isascii() and text.isdecimal() else PROTOCOLS.get(text)
    if text in ("", "any", "ip") or (number == 0 and text not in PROTOCOLS):
        return None
    if number is None or number > 255:
        raise work.WorkError(
            f"Refused the {where}: its protocol {protocol!r} is unknown. Use a number from 0 (any) "
            f"to 255, or one of {', '.join(sorted(PROTOCOLS))}."
        )
    return number


def remote_groups(ports: list[Port], groups: dict[str, Any], version: int = 4) -> set[str]:
    """Return the ids of the groups that rules of an IP version name as remote, for these ports."""
    return {
        rule["remote_group_id"]
        for port in ports
        if port.get("port_security_enabled", True) and (version == 4 or address_pairs(port, 6))
        for group in _groups_of(port, groups)
        for rule in group.get("rules") or []
        if rule.get("remote_group_id") and rule.get("ethertype", "IPv4") == f"IPv{version}"
    }
