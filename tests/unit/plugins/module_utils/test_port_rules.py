"""What a port's packet filter lets through, in the words of iptables and ebtables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import names, port_rules, work
from ansible_collections.novella.cloud.plugins.module_utils.filter_tables import (
    EB_FILTER,
    EB_NAT,
    IP4,
    IP6,
)

PORT_ID = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
NETWORK_ID = "0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11"
GROUP_ID = "77b0a3a2-4f7e-4d5e-9b5c-0f4d4b5d6a12"
TAP = names.tap_name(PORT_ID)
MAC = "fa:16:3e:00:00:01"


def port(**changes: Any) -> dict[str, Any]:
    return {
        "id": PORT_ID,
        "network_id": NETWORK_ID,
        "mac_address": MAC,
        "fixed_ips": [{"ip_address": "10.0.0.5"}],
        "security_groups": [GROUP_ID],
        **changes,
    }


def chains(*rules: dict[str, Any], **changes: Any) -> Any:
    tables, _ = port_rules.port_tables(port(**changes), {GROUP_ID: {"rules": list(rules)}})
    return tables


def allowed(*rules: dict[str, Any], chain: str = names.port_ingress_chain(PORT_ID)) -> list[str]:
    """The rules of a chain that security group rules made: those past the fixed ones."""
    fixed = set(chains()[IP4][chain])
    return [rule for rule in chains(*rules)[IP4][chain] if rule not in fixed]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
            "-p tcp -m tcp --dport 22",
        ),
        ({"protocol": "6", "port_range_min": 1, "port_range_max": 9}, "-p tcp -m tcp --dport 1:9"),
        ({"protocol": "udp", "port_range_min": 53}, "-p udp -m udp --dport 53"),
        ({"protocol": "icmp"}, "-p icmp"),
        ({"protocol": "icmp", "port_range_min": 8}, "-p icmp -m icmp --icmp-type 8"),
        (
            {"protocol": "icmp", "port_range_min": 3, "port_range_max": 4},
            "-p icmp -m icmp --icmp-type 3/4",
        ),
        ({"protocol": "vrrp"}, "-p 112"),
        ({"remote_ip_prefix": "10.1.2.3/8"}, "-s 10.0.0.0/8"),
        ({"protocol": "tcp", "remote_ip_prefix": "1.2.3.4"}, "-s 1.2.3.4/32 -p 6"),
        ({"remote_group_id": GROUP_ID}, f"-m set --match-set {names.group_set(GROUP_ID)} src"),
    ],
)
def test_a_rule_becomes_one_match(rule: dict[str, Any], expected: str) -> None:
    assert allowed({"direction": "ingress", **rule}) == [f"{expected} -j RETURN"]


@pytest.mark.parametrize(("name", "number"), port_rules.PROTOCOLS.items())
def test_each_of_neutrons_names_means_its_number(name: str, number: int) -> None:
    # That of IPv6's hop-by-hop options is none of IPv4's, and `-p 0` would be every packet.
    matched = "-p icmp" if name == "icmp" else f"-p {number}"
    expected = [] if name == "hopopt" else [f"{matched} -j RETURN"]
    assert allowed({"direction": "ingress", "protocol": name}) == expected
    assert allowed({"direction": "ingress", "protocol": name.upper()}) == expected


@pytest.mark.parametrize("number", range(256))
def test_a_number_means_that_protocol_and_zero_any(number: int) -> None:
    matched = {0: "-j RETURN", 1: "-p icmp -j RETURN"}.get(number, f"-p {number} -j RETURN")
    for written in (number, str(number)):
        assert allowed({"direction": "ingress", "protocol": written}) == [matched]


@pytest.mark.parametrize("name", ["tcp", "udp", "dccp", "sctp", "udplite"])
def test_ports_go_with_the_match_that_iptables_has(name: str) -> None:
    """A match that iptables does not have fails the restore, and with it the whole server."""
    match = "multiport --dports" if name == "udplite" else f"{name} --dport"
    rule = {"direction": "ingress", "port_range_min": 7, "port_range_max": 9}
    for protocol in (name, port_rules.PROTOCOLS[name]):
        assert allowed({**rule, "protocol": protocol}) == [f"-p {name} -m {match} 7:9 -j RETURN"]


def test_types_of_icmpv6_open_nothing_in_ipv4() -> None:
    assert allowed({"direction": "ingress", "protocol": "58", "port_range_min": 128}) == []


def test_an_egress_rule_looks_at_the_destination() -> None:
    rule = {"direction": "egress", "remote_ip_prefix": "10.0.0.0/8"}
    found = allowed(rule, chain=names.port_egress_chain(PORT_ID))
    assert found == ["-d 10.0.0.0/8 -j RETURN"]


def test_any_source_is_no_match_at_all() -> None:
    assert allowed({"direction": "ingress", "remote_ip_prefix": "0.0.0.0/0"}) == ["-j RETURN"]


def test_ipv6_rules_open_nothing() -> None:
    assert allowed({"direction": "ingress", "ethertype": "IPv6"}) == []
    assert allowed({"direction": "ingress", "remote_ip_prefix": "fe80::/10"}) == []
    assert set(chains()[IP6].values()) == {None}


def test_the_order_of_groups_rules_does_not_matter() -> None:
    first = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22}
    second = {"direction": "ingress", "protocol": "icmp"}
    assert chains(first, second, second) == chains(second, first)


@pytest.mark.parametrize(
    "rule",
    [
        {"protocol": "tcp; -j ACCEPT"},
        {"protocol": "tcp", "port_range_min": 0, "port_range_max": 65536},
        {"protocol": "tcp", "port_range_min": 9, "port_range_max": 1},
        {"protocol": "vrrp", "port_range_min": 1},
        {"protocol": "icmp", "port_range_min": 256},
        {"protocol": "icmp", "port_range_max": 0},
        {"protocol": "hopopt", "port_range_min": 1},
        {"protocol": "any", "port_range_min": 1},
        {"protocol": "²"},
        {"protocol": "256"},
        {"remote_ip_prefix": "10.0.0.0/8 -j ACCEPT"},
        {"remote_group_id": "all"},
    ],
)
def test_a_rule_that_no_filter_carries_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(work.WorkError):
        chains({"direction": "ingress", **rule})


@pytest.mark.parametrize("changes", [{"mac_address": "x"}, {"fixed_ips": [{"ip_address": "x"}]}])
def test_a_port_with_a_wrong_address_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(work.WorkError, match=PORT_ID):
        chains(**changes)


def test_a_group_that_was_not_given_is_refused() -> None:
    with pytest.raises(work.WorkError, match=GROUP_ID):
        port_rules.port_tables(port(), {})


def test_a_port_sends_from_its_own_pairs_alone() -> None:
    pairs = [{"ip_address": "10.0.0.0/24", "mac_address": "fa:16:3e:00:00:02"}]
    tables = chains(allowed_address_pairs=pairs)
    assert tables[IP4][names.port_source_chain(PORT_ID)] == [
        f"-s 10.0.0.5/32 -m mac --mac-source {MAC} -j RETURN",
        "-s 10.0.0.0/24 -m mac --mac-source fa:16:3e:00:00:02 -j RETURN",
        "-j DROP",
    ]
    frames = tables[EB_NAT][names.port_egress_chain(PORT_ID)]
    assert frames[0] == f"-p ARP -s {MAC} --arp-ip-src 10.0.0.5 --arp-mac-src {MAC} -j RETURN"
    assert frames[-1] == "-j DROP"


def test_a_port_without_addresses_may_ask_dhcp_and_nothing_else() -> None:
    tables = chains(fixed_ips=[])
    assert tables[IP4][names.port_source_chain(PORT_ID)] == ["-j DROP"]
    assert tables[IP4][names.port_egress_chain(PORT_ID)][0].startswith("-s 0.0.0.0/32")


def test_no_guest_answers_dhcp_clients() -> None:
    egress = chains({"direction": "egress"})[IP4][names.port_egress_chain(PORT_ID)]
    assert egress.index("-p udp -m udp --dport 68 -j DROP") < egress.index("-j RETURN")


def test_offers_come_from_the_networks_own_cable_alone() -> None:
    ingress = chains()[IP4][names.port_ingress_chain(PORT_ID)]
    offers = [rule for rule in ingress if "--dport 68" in rule]
    assert len(offers) == 1
    assert f"--physdev-in {names.veth_name(NETWORK_ID)} " in offers[0]


def test_a_port_gets_frames_for_its_own_mac_alone() -> None:
    frames = chains()[EB_FILTER][names.port_ingress_chain(PORT_ID)]
    assert f"-p IPv4 -d {MAC} -j RETURN" in frames
    assert frames[-1] == "-j DROP"


def test_a_port_without_security_has_entries_and_no_chains() -> None:
    tables, entries = port_rules.port_tables(port(port_security_enabled=False), {})
    assert all(rules is None for table in tables.values() for rules in table.values())
    assert entries[IP6, "nv-ingress"] == {TAP: [f"-m physdev --physdev-out {TAP} -j RETURN"]}
    assert entries[EB_NAT, "nv-egress"] == {TAP: [f"-i {TAP} -j RETURN"]}


def test_remote_groups_are_those_that_rules_name() -> None:
    groups = {GROUP_ID: {"rules": [{"direction": "ingress", "remote_group_id": NETWORK_ID}]}}
    assert port_rules.remote_groups([port()], groups) == {NETWORK_ID}
    assert port_rules.remote_groups([port(port_security_enabled=False)], groups) == set()


def test_a_standing_connection_is_judged_in_its_own_direction_by_the_rules() -> None:
    """Else it would outlive the rule that let it in; deleting its entry lets the guest renew it."""
    for chain in (names.port_ingress_chain(PORT_ID), names.port_egress_chain(PORT_ID)):
        tracked = [rule for rule in chains()[IP4][chain] if "ESTABLISHED" in rule]
        assert tracked == ["-m conntrack --ctstate ESTABLISHED --ctdir REPLY -j RETURN"]


def test_a_stateless_group_lets_no_replies_through_by_itself() -> None:
    tcp = {"direction": "ingress", "protocol": "tcp"}
    group = {"rules": [tcp], "stateful": False}
    tables, _ = port_rules.port_tables(port(), {GROUP_ID: group})
    for chain in (names.port_ingress_chain(PORT_ID), names.port_egress_chain(PORT_ID)):
        assert not [rule for rule in tables[IP4][chain] if "conntrack" in rule]
    assert "-p 6 -j RETURN" in tables[IP4][names.port_ingress_chain(PORT_ID)]


@pytest.mark.parametrize("security", [True, False])
def test_metadata_are_told_to_a_ports_own_addresses_alone(security: bool) -> None:
    """They are told by the address: an address pair, or an open port, may have another's."""
    pairs = [{"ip_address": "10.0.0.0/24"}] if security else []
    groups = {GROUP_ID: {"rules": [{"direction": "egress"}]}}
    changes = {"port_security_enabled": security, "allowed_address_pairs": pairs}
    tables, entries = port_rules.port_tables(port(**changes), groups)
    if security:
        rules, tap = tables[IP4][names.port_egress_chain(PORT_ID)] or [], ""
    else:
        rules, tap = entries[IP4, "nv-egress"][TAP] or [], f"-m physdev --physdev-in {TAP} "
    asks = f"{tap}{port_rules.METADATA}"
    told = [rule for rule in rules if port_rules.METADATA in rule]
    assert told == [f"-s 10.0.0.5/32 {asks} -j RETURN", f"{asks} -j DROP"]
    passes = f"{tap}-j RETURN"
    assert rules.index(told[1]) < rules.index(passes)
