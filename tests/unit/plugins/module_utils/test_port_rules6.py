"""What a port's packet filter lets through of IPv6, in the words of ip6tables and ebtables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import names, port_rules
from ansible_collections.novella.cloud.plugins.module_utils.filter_tables import EB_NAT, IP4, IP6

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


def allowed(*rules: dict[str, Any]) -> list[str]:
    """The IPv4 rules that security group rules made."""
    fixed = set(chains()[IP4][INGRESS])
    return [rule for rule in chains(*rules)[IP4][INGRESS] if rule not in fixed]


PORT6 = {"fixed_ips": [{"ip_address": "10.0.0.5"}, {"ip_address": "2001:db8::5"}]}


def six(*rules: dict[str, Any], chain: str, **changes: Any) -> list[str]:
    """The rules of one of the port's IPv6 chains."""
    found: list[str] = chains(*rules, **{**PORT6, **changes})[IP6][chain]
    return found


INGRESS, EGRESS = names.port_ingress_chain(PORT_ID), names.port_egress_chain(PORT_ID)
ADVERTISES = "-p ipv6-icmp -m icmp6 --icmpv6-type 136"


def test_a_port_without_ipv6_addresses_passes_none() -> None:
    assert set(chains()[IP6].values()) == {None}
    _, entries = port_rules.port_tables(port(), {GROUP_ID: {"rules": []}})
    assert entries[IP6, "nv-egress"] == {TAP: None}
    assert not any("IPv6" in rule for rule in chains()[EB_NAT][EGRESS])


def test_a_guest_sends_from_its_own_ipv6_addresses_and_its_link_local_one() -> None:
    pair = {"ip_address": "2001:db8:1::/48"}
    source = names.port_source_chain(PORT_ID)
    assert six(chain=source, allowed_address_pairs=[pair]) == [
        f"-s {address} -m mac --mac-source {MAC} -j RETURN"
        for address in ("2001:db8:1::/48", "2001:db8::5/128", "fe80::f816:3eff:fe00:1/128")
    ] + ["-j DROP"]


def test_a_guest_announces_no_neighbour_but_itself() -> None:
    rules = six({"direction": "egress", "ethertype": "IPv6"}, chain=EGRESS)
    target = "0x4&0xff00=0x3a00&&0x30=0x20010db8&&0x34=0x0&&0x38=0x0&&0x3c=0x5"
    assert f'{ADVERTISES} -m u32 --u32 "{target}" -j RETURN' in rules
    assert rules.index(f"{ADVERTISES} -j DROP") < rules.index("-j RETURN")
    within = six(chain=EGRESS, allowed_address_pairs=[{"ip_address": "2001:db8:8000::/33"}])
    assert any('&&0x30=0x20010db8&&0x34&0x80000000=0x80000000"' in rule for rule in within)


def test_a_guest_is_nobodys_ipv6_router_nor_dhcp_server() -> None:
    rules = six({"direction": "egress", "ethertype": "IPv6"}, chain=EGRESS)
    for refused in (
        "-p ipv6-icmp -m icmp6 --icmpv6-type 134 -j DROP",
        "-p ipv6-icmp -m icmp6 --icmpv6-type 137 -j DROP",
        "-p udp -m udp --dport 546 -j DROP",
    ):
        assert rules.index(refused) < rules.index("-j RETURN")
    told = six(chain=INGRESS)
    assert (
        "-m physdev ! --physdev-in nvt+ -p ipv6-icmp -m icmp6 --icmpv6-type 134 -j RETURN" in told
    )
    veth = names.veth_name(NETWORK_ID)
    assert f"-p udp -m physdev --physdev-in {veth} -m udp --sport 547 --dport 546 -j RETURN" in told


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"protocol": "tcp", "port_range_min": 22}, "-p tcp -m tcp --dport 22"),
        ({"protocol": "58"}, "-p ipv6-icmp"),
        ({"protocol": "icmp"}, "-p ipv6-icmp"),
        ({"protocol": "58", "port_range_min": 128}, "-p ipv6-icmp -m icmp6 --icmpv6-type 128"),
        ({"remote_ip_prefix": "2001:db8::/32"}, "-s 2001:db8::/32"),
        ({"remote_ip_prefix": "::/0", "protocol": "udp"}, "-p 17"),
        ({"remote_group_id": GROUP_ID}, f"-m set --match-set {names.group_set(GROUP_ID, 6)} src"),
    ],
)
def test_a_rule_for_ipv6_opens_ipv6_alone(rule: dict[str, Any], expected: str) -> None:
    given = {"direction": "ingress", "ethertype": "IPv6", **rule}
    assert f"{expected} -j RETURN" in six(given, chain=INGRESS)
    assert allowed(given) == []


def test_an_ipv4_rule_opens_nothing_in_ipv6() -> None:
    rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22}
    assert six(rule, chain=INGRESS) == six(chain=INGRESS)
