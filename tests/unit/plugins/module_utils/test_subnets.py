"""What a network's subnets mean for its namespace, its DHCP server and its ebtables rules."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    dhcp_host,
    dhcp_options,
    dhcp_release,
    names,
    network_rules,
    subnets,
    work,
)
from ansible_collections.novella.cloud.plugins.module_utils.filter_tables import EB_FILTER

NETWORK_ID = "0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11"
SUBNET = {
    "id": "77b0a3a2-4f7e-4d5e-9b5c-0f4d4b5d6a12",
    "cidr": "10.91.1.0/24",
    "gateway_ip": "10.91.1.1",
    "dhcp_ip": "10.91.1.2",
    "gateway_served": False,
    "dns_nameservers": ["192.0.2.53"],
    "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.91.1.9"}],
}


def parse(**changes: Any) -> list[subnets.Subnet]:
    return subnets.parse([{**SUBNET, **changes}])


def conf(**changes: Any) -> list[str]:
    text = subnets.dnsmasq_conf(parse(**changes), 1450, "/hosts", "/leases", "dnsmasq", "/opts")
    return (text or "").splitlines()


def test_the_namespace_has_the_gateways_address_where_it_serves_it() -> None:
    assert subnets.namespace_addresses(parse()) == ["10.91.1.2/24", "169.254.169.254/32"]
    served = subnets.namespace_addresses(parse(gateway_served=True))
    assert served == ["10.91.1.1/24", "10.91.1.2/24", "169.254.169.254/32"]


def test_a_subnet_without_dhcp_has_a_route_for_its_metadata_and_no_dnsmasq() -> None:
    assert subnets.on_link_routes(parse(dhcp_ip=None)) == ["10.91.1.0/24"]
    assert conf(dhcp_ip=None) == []
    assert subnets.on_link_routes(parse()) == []


def test_dhcp_answers_known_ports_alone_and_serves_no_dns() -> None:
    lines = conf()
    assert "dhcp-ignore=tag:!known" in lines
    assert "port=0" in lines
    assert "user=dnsmasq" in lines
    assert "dhcp-option=option:mtu,1450" in lines
    assert any(",10.91.1.0,static,255.255.255.0," in line for line in lines)


def test_option_121_has_metadata_the_subnets_routes_and_the_default_route() -> None:
    routes = next(line for line in conf() if "classless-static-route" in line)
    assert routes.endswith(
        "classless-static-route,169.254.169.254/32,10.91.1.2,10.9.0.0/16,10.91.1.9,"
        "0.0.0.0/0,10.91.1.1"
    )


def test_a_subnet_without_gateway_or_dns_names_none() -> None:
    lines = conf(gateway_ip=None, dns_nameservers=[])
    assert any(line.endswith("option:router") for line in lines)
    assert any(line.endswith("option:dns-server") for line in lines)
    assert not any("0.0.0.0/0" in line for line in lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x"},
        {"cidr": "fd00::/64"},
        {"cidr": "fd00::/64", "gateway_ip": "fd01::1", "dhcp_ip": None},
        {"cidr": "10.91.1.7/24"},
        {"dhcp_ip": "10.92.1.2"},
        {"dns_nameservers": ["1.1.1.1\nuser=root"]},
        {"host_routes": [{"destination": "x", "nexthop": "10.91.1.9"}]},
        {"host_routes": [{}]},
    ],
)
def test_a_wrong_subnet_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(work.WorkError, match="Subnet id|" + SUBNET["id"]):
        parse(**changes)


def test_no_address_of_ours_and_no_dhcp_passes_the_uplink() -> None:
    chains, entries = network_rules.network_tables(NETWORK_ID, parse(gateway_served=True), ["eth1"])
    rules = chains[EB_FILTER][names.network_chain(NETWORK_ID)]
    for address in ("10.91.1.1", "10.91.1.2", "169.254.169.254"):
        assert f"-p ARP --arp-ip-dst {address} -j DROP" in rules
        assert f"-p IPv4 --ip-src {address} -j DROP" in rules
    assert "-p IPv4 --ip-proto udp --ip-dport 67:68 -j DROP" in rules
    entry = entries[network_rules.PLACE][names.network_chain(NETWORK_ID)]
    assert f"-o eth1 -j {names.network_chain(NETWORK_ID)}" in entry


def test_a_gateway_that_others_serve_is_reached_through_the_uplink() -> None:
    chains, _ = network_rules.network_tables(NETWORK_ID, parse(), ["eth1"])
    assert not any(
        "10.91.1.1 " in rule for rule in chains[EB_FILTER][names.network_chain(NETWORK_ID)]
    )


def reservation(**changes: Any) -> str:
    given = {"port_id": NETWORK_ID, "mac_address": "FA:16:3E:00:00:01", "hostname": "web"}
    return dhcp_host.host_lines({**given, "ip_addresses": ["10.91.1.5", "fd00::5"], **changes})


SIX = {
    "cidr": "2001:db8::/64",
    "gateway_ip": "2001:db8::1",
    "dhcp_ip": "2001:db8::2",
    "dns_nameservers": ["2001:db8::53"],
    "host_routes": [],
}


def conf6(mode: str | None, ra_mode: str | None = None, **changes: Any) -> list[str]:
    return conf(**SIX, ipv6_address_mode=mode, ipv6_ra_mode=ra_mode, **changes)


@pytest.mark.parametrize(
    ("mode", "word"),
    [("slaac", "ra-only"), ("dhcpv6-stateless", "ra-stateless"), ("dhcpv6-stateful", "static")],
)
def test_an_ipv6_subnet_is_advertised_as_its_modes_say_but_as_no_router(
    mode: str, word: str
) -> None:
    lines = conf6(mode, mode)
    assert f"dhcp-range=set:{SUBNET['id']},2001:db8::,{word},64,86400" in lines
    assert "ra-param=eth0,mtu:1450,60,0" in lines
    assert f"dhcp-option=tag:{SUBNET['id']},option6:dns-server,[2001:db8::53]" in lines


def test_advertisements_of_others_are_left_to_them() -> None:
    assert "enable-ra" not in conf6("dhcpv6-stateful")
    assert f"dhcp-range=set:{SUBNET['id']},2001:db8::,static,64,86400" in conf6("dhcpv6-stateful")
    assert conf6("slaac") == []
    assert conf6(None) == []
    rules = {}
    for name, uplink, ra_mode in (
        ("ours", "eth1", "slaac"),
        ("overlay", "nvx0b1c2d3e4f7", None),
        ("theirs", "eth1", None),
    ):
        served = parse(**SIX, ipv6_address_mode="slaac", ipv6_ra_mode=ra_mode)
        rules[name], _ = network_rules.network_tables(NETWORK_ID, served, [uplink])
    chain = names.network_chain(NETWORK_ID)
    dropped = "-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type router-advertisement -j DROP"
    found = {name: dropped in tables[EB_FILTER][chain] for name, tables in rules.items()}
    assert found == {"ours": True, "overlay": True, "theirs": False}


def test_what_a_router_advertises_the_namespace_does_not() -> None:
    assert conf6("slaac", "slaac", routed=True) == []
    for mode in ("dhcpv6-stateless", "dhcpv6-stateful"):
        lines = conf6(mode, mode, routed=True)
        assert f"dhcp-range=set:{SUBNET['id']},2001:db8::,static,64,86400" in lines
        assert not any(line.startswith(("enable-ra", "ra-param")) for line in lines)
    # The advertisements of this host's router are for its guests alone.
    served = parse(**SIX, ipv6_address_mode="slaac", ipv6_ra_mode="slaac", routed=True)
    chains, _ = network_rules.network_tables(NETWORK_ID, served, ["eth1"])
    dropped = "-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type router-advertisement -j DROP"
    assert dropped in chains[EB_FILTER][names.network_chain(NETWORK_ID)]


def test_a_network_of_ipv6_alone_is_known_to_serve_by_its_own_sockets() -> None:
    assert subnets.listener(parse()) == ("udp", 67)
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    assert subnets.listener(parse(**SIX, **modes)) == ("raw6", 58)
    stateful = {"ipv6_address_mode": "dhcpv6-stateful"}
    assert subnets.listener(parse(**SIX, **stateful)) == ("udp6", 547)


def test_no_ipv6_address_of_ours_passes_the_uplink() -> None:
    chains, _ = network_rules.network_tables(NETWORK_ID, parse(**SIX), ["eth1"])
    rules = chains[EB_FILTER][names.network_chain(NETWORK_ID)]
    assert "-p IPv6 --ip6-src 2001:db8::2 -j DROP" in rules
    assert "-p IPv6 --ip6-proto udp --ip6-dport 546:547 -j DROP" in rules


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ({"opt_name": "bootfile-name", "opt_value": "a.0"}, 'option:bootfile-name,"a.0"'),
        ({"opt_name": "150", "opt_value": "10.0.0.1,10.0.0.2"}, "150,10.0.0.1,10.0.0.2"),
        (
            {"opt_name": "dns-server", "opt_value": "2001:db8::1", "ip_version": 6},
            "option6:dns-server,[2001:db8::1]",
        ),
        ({"opt_name": "domain-name", "opt_value": 'a",b\\'}, 'option:domain-name,"a\\",b\\\\"'),
        ({"opt_name": "router", "opt_value": ""}, "option:router"),
    ],
)
def test_an_extra_option_is_one_text_or_addresses(option: dict[str, Any], line: str) -> None:
    assert dhcp_options.lines([option], "p") == f"tag:p,{line}\n"


@pytest.mark.parametrize(
    "option",
    [
        {"opt_name": "x\ny", "opt_value": "1"},
        {"opt_name": "a,b", "opt_value": "1"},
        {"opt_name": "255", "opt_value": "1"},
        {"opt_name": "router", "opt_value": "1\ndhcp-script=/bin/sh"},
        {"opt_name": "router", "opt_value": "x" * 256},
    ],
)
def test_an_extra_option_that_dnsmasq_could_read_otherwise_is_refused(
    option: dict[str, Any],
) -> None:
    with pytest.raises(work.WorkError):
        dhcp_options.lines([option], "p")


def test_a_reservation_is_a_line_for_each_address() -> None:
    mac = "fa:16:3e:00:00:01"
    assert reservation() == f"{mac},10.91.1.5,web\n{mac},[fd00::5],web\n"
    assert reservation(hostname=None) == f"{mac},10.91.1.5\n{mac},[fd00::5]\n"
    tagged = reservation(extra_dhcp_opts=[{}], ip_addresses=["10.91.1.5"])
    assert tagged == f"{mac},set:{NETWORK_ID},10.91.1.5,web\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"hostname": "web\nset:x"},
        {"hostname": "a,b"},
        {"hostname": "{{ 7*7 }}"},
        {"mac_address": "x"},
        {"ip_addresses": ["10.91.1.5,set:x"]},
    ],
)
def test_a_reservation_that_would_break_dnsmasqs_file_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(work.WorkError):
        reservation(**changes)


def test_a_release_names_client_address_and_server() -> None:
    lease = dhcp_release.Lease("fa:16:3e:00:00:01", "10.91.1.5", "01:fa:16:3e:00:00:01")
    packet = dhcp_release.release_packet(lease, "10.91.1.2")
    assert packet[12:16] == bytes([10, 91, 1, 5])
    assert packet[28:34] == bytes.fromhex("fa163e000001")
    assert packet[236:240] == b"\x63\x82\x53\x63"
    assert bytes([53, 1, 7]) in packet[240:]
    assert bytes([54, 4, 10, 91, 1, 2]) in packet[240:]


def test_the_dhcp_servers_addresses_are_found_in_the_configuration_we_wrote() -> None:
    assert dhcp_release.server_addresses("\n".join(conf())) == ["10.91.1.2"]
