"""What a router has on a host, out of what a play is told. What the kernel does with it is tested
in tests/integration/test_routers.py."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    external_namespace,
    names,
    network_links,
    router_plan,
    work,
)

ROUTER = "5c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a20"
PORT = "0a1b2c3d-4f7e-4d5e-9b5c-0f4d4b5d6a21"
NETWORK = "0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11"
OUTSIDE = "1b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a12"
HERE, ELSEWHERE = "10.90.0.1", "10.90.0.2"


def floating(address: str, fixed: str | None, tunnel_ip: str = HERE) -> dict[str, Any]:
    ips = {"floating_ip_address": address, "fixed_ip_address": fixed}
    return {"id": ROUTER, **ips, "tunnel_ip": tunnel_ip}


def gateway(**more: Any) -> dict[str, Any]:
    own = [{"ip_address": "203.0.113.20", "cidr": "203.0.113.0/24"}]
    return {
        "network": {"id": OUTSIDE, "mtu": 1500},
        "ip_addresses": [{"ip_address": "203.0.113.50", "cidr": "203.0.113.0/24"}],
        "enable_snat": True,
        "host_port": {"port_id": PORT, "mac_address": "fa:16:3e:00:00:99", "ip_addresses": own},
        **more,
    }


def plan(members: list[dict[str, Any]] | None = None, **more: Any) -> router_plan.Plan:
    interface = {
        "port_id": PORT,
        "mac_address": "FA:16:3E:00:00:01",
        "ip_addresses": [
            {"ip_address": "192.0.2.1", "cidr": "192.0.2.0/24"},
            {"ip_address": "2001:db8::1", "cidr": "2001:db8::/64"},
        ],
        "network": {"id": NETWORK, "mtu": 1450, "members": members or []},
    }
    given = {"interfaces": [interface], "routes": [], "gateway": None, "floating_ips": []}
    return router_plan.plan({"router_id": ROUTER, "tunnel_ip": HERE, **given, **more})


def linked(**more: Any) -> tuple[router_plan.Plan, router_plan.Uplink, Any, Any]:
    made = plan(gateway=gateway(**more.pop("gateway", {})), **more)
    assert made.uplink
    near, far = router_plan.link_ends(made, made.uplink, 3)
    return made, made.uplink, near, far


def test_a_leg_has_the_gateways_addresses_and_mac() -> None:
    (leg,) = plan().legs
    assert leg.end.addresses == ("192.0.2.1/24", "2001:db8::1/64")
    assert (leg.end.mac, leg.end.mtu) == ("fa:16:3e:00:00:01", 1450)
    assert leg.bridge == names.bridge_name(NETWORK)


def test_members_are_neighbours_but_the_gateway_itself_and_what_is_in_no_subnet() -> None:
    members = [
        {"mac_address": "fa:16:3e:00:00:0a", "ip_addresses": ["192.0.2.10", "2001:0db8::000a"]},
        {"mac_address": "fa:16:3e:00:00:01", "ip_addresses": ["192.0.2.1"]},
        {"mac_address": "fa:16:3e:00:00:0b", "ip_addresses": ["198.51.100.7"]},
    ]
    (leg,) = plan(members).legs
    assert leg.members == dict.fromkeys(("192.0.2.10", "2001:db8::a"), "fa:16:3e:00:00:0a")


def test_only_floating_ips_of_servers_on_this_host_are_translated_here() -> None:
    ips = [
        floating("203.0.113.101", "192.0.2.10"),
        floating("203.0.113.102", "192.0.2.11", ELSEWHERE),
        floating("203.0.113.103", None),
    ]
    made, uplink, near, far = linked(floating_ips=ips)
    assert uplink.floating_ips == {"203.0.113.101": "192.0.2.10"}
    assert router_plan.answered_for(uplink) == ["203.0.113.101"]
    assert router_plan.far_routes(made, uplink, near, far) == {
        ("203.0.113.101/32", "169.254.64.7", names.router_link(ROUTER))
    }
    nat = router_plan.rules(made, near)["iptables"]["nat"]
    assert nat["POSTROUTING"] == [
        # The server's own address goes before everybody's.
        "-s 192.0.2.10/32 -o uplink -j SNAT --to-source 203.0.113.101",
        "-o uplink -j SNAT --to-source 169.254.64.7",
        "-o leg+ -m mark --mark 0x1 -j MASQUERADE",
    ]
    assert nat["PREROUTING"][-1] == "-d 203.0.113.101/32 -j DNAT --to-destination 192.0.2.10"


def test_without_translation_tenants_addresses_are_routed_and_the_routers_own_is_answered() -> None:
    made, uplink, near, far = linked(gateway={"enable_snat": False})
    assert router_plan.answered_for(uplink) == ["203.0.113.50"]
    routed = {route[0] for route in router_plan.far_routes(made, uplink, near, far)}
    assert routed == {"192.0.2.0/24", "203.0.113.50/32"}
    assert "203.0.113.50/32" in near.addresses
    assert router_plan.rules(made, near)["iptables"]["nat"]["POSTROUTING"] == []


def test_ipv6_is_routed_plainly_whatever_ipv4_does() -> None:
    both = [
        {"ip_address": "203.0.113.20", "cidr": "203.0.113.0/24"},
        {"ip_address": "2001:db8:ee::20", "cidr": "2001:db8:ee::/64"},
    ]
    port = {"port_id": PORT, "mac_address": "fa:16:3e:00:00:99", "ip_addresses": both}
    made, uplink, near, far = linked(gateway={"host_port": port})
    assert ("::/0", "fe80::1", "uplink") in router_plan.near_routes(made, far)
    device = names.router_link(ROUTER)
    assert router_plan.far_routes(made, uplink, near, far) == {("2001:db8::/64", "fe80::2", device)}


def test_a_route_whose_next_hop_is_in_no_network_of_the_router_is_left_out() -> None:
    routes = [
        {"destination": "172.20.0.0/16", "nexthop": "192.0.2.10"},
        {"destination": "172.21.0.0/16", "nexthop": "198.51.100.7"},
    ]
    made = plan(routes=routes)
    device = made.legs[0].end.name
    assert router_plan.near_routes(made, None) == {("172.20.0.0/16", "192.0.2.10", device)}


def test_of_two_routes_to_one_destination_there_is_always_the_same() -> None:
    """A tenant's own way out goes before the router's uplink."""
    routes = [
        {"destination": "0.0.0.0/0", "nexthop": "192.0.2.10"},
        {"destination": "172.20.0.0/16", "nexthop": "192.0.2.11"},
        {"destination": "172.20.0.0/16", "nexthop": "192.0.2.12"},
    ]
    made, _, _, far = linked(routes=routes)
    device = made.legs[0].end.name
    assert router_plan.near_routes(made, far) == {
        ("0.0.0.0/0", "192.0.2.10", device),
        ("172.20.0.0/16", "192.0.2.12", device),
    }


def test_a_gateway_without_a_port_of_this_host_is_no_way_out() -> None:
    assert plan(gateway=gateway(host_port=None)).uplink is None


def test_two_routers_never_get_the_same_pair_of_addresses() -> None:
    first = router_plan.link_number(ROUTER, ())
    assert router_plan.link_number(ROUTER, ()) == first
    assert router_plan.link_number(ROUTER, {first}) != first
    with pytest.raises(work.WorkError, match="in use on this host"):
        router_plan.link_number(ROUTER, range(router_plan.LINK_PAIRS))
    assert router_plan.number_of("169.254.64.7/31") == 3
    # Its neighbour in the same range is the metadata address of every network.
    assert router_plan.number_of("169.254.169.254/32") is None


def test_a_gateway_speaks_arp_with_taps_and_other_routers_of_the_host_alone() -> None:
    (leg,) = plan().legs
    chains, entries = router_plan.leg_tables(leg, ["nvx0b1c2d3e4f7"])
    ((chain, rules),) = chains["ebtables filter"].items()
    # The network's own DHCP server hears its guests, not the router's dnsmasq.
    assert rules[0] == f"-p IPv6 -o {leg.outside} --ip6-dst ff02::1:2 -j DROP"
    assert rules[1:3] == [
        f"-i nvt+ -o {leg.outside} -j RETURN",
        f"-i nvr+ -o {leg.outside} -j RETURN",
    ]
    assert "-p ARP --arp-ip-dst 192.0.2.1 -j DROP" in rules
    assert entries[router_plan.PLACE][chain] == [
        f"{side} {name} -j {chain}"
        for name in (leg.outside, "nvx0b1c2d3e4f7")
        for side in ("-i", "-o")
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"interfaces": [{"port_id": PORT}]},
        {"routes": [{"destination": "192.0.2.9/24", "nexthop": "192.0.2.1"}]},
        {"gateway": gateway(), "floating_ips": [floating("203.0.113.1; reboot", "192.0.2.10")]},
        {"router_id": "../../etc"},
    ],
)
def test_what_is_no_router_is_refused_with_its_id(wrong: dict[str, Any]) -> None:
    with pytest.raises(work.WorkError, match=r"Router id|Refused the router"):
        plan(**wrong)


def host_links(*addresses: tuple[str, int, str]) -> network_links.Links:
    info = [{"local": ip, "prefixlen": n, "scope": scope} for ip, n, scope in addresses]
    loopback = {"addr_info": [{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]}
    return {"lo": loopback, "eth0": {"addr_info": info}}


def blocked(links: network_links.Links, *told: str) -> list[str]:
    params = {"network_id": OUTSIDE, "mtu": 1500, "host_port": gateway()["host_port"]}
    end = external_namespace._end(params)
    return external_namespace.management_networks(
        {**params, "management_networks": list(told)}, end, links
    )


def test_tenants_are_kept_from_the_networks_that_the_host_is_in() -> None:
    links = host_links(("10.90.0.1", 24, "global"), ("fe80::1", 64, "link"))
    assert blocked(links) == ["10.90.0.0/24"]
    assert blocked(links, "10.0.0.0/8") == ["10.0.0.0/8"]


def test_of_a_network_that_is_the_external_one_too_only_the_hosts_own_address_is_kept() -> None:
    assert blocked(host_links(("203.0.113.7", 24, "global"))) == ["203.0.113.7/32"]


def test_a_floating_ip_that_arrives_is_translated_and_another_host_answers_for_it() -> None:
    here = floating("203.0.113.101", "192.0.2.10")
    coming = {**floating("203.0.113.102", "192.0.2.11"), "arriving": True}
    made = plan(gateway=gateway(), floating_ips=[here, coming])
    assert made.uplink
    assert router_plan.answered_for(made.uplink) == ["203.0.113.101"]
    near, far = router_plan.link_ends(made, made.uplink, 0)
    routed = {route[0] for route in router_plan.far_routes(made, made.uplink, near, far)}
    assert "203.0.113.102/32" in routed
    nat = router_plan.rules(made, near)["iptables"]["nat"]
    assert "-s 192.0.2.11/32 -o uplink -j SNAT --to-source 203.0.113.102" in nat["POSTROUTING"]


def test_a_run_that_only_adds_leaves_what_arrives_to_the_host_that_answers_for_it() -> None:
    of_another = plan(gateway=gateway(), exact=False)
    there = {"203.0.113.102": "192.0.2.11"}
    both = router_plan.joined(of_another, {}, there, ["203.0.113.102"])
    assert both.uplink
    assert (both.uplink.floating_ips, router_plan.answered_for(both.uplink)) == (there, [])
    ips = [floating("203.0.113.102", "192.0.2.11")]
    arrived = plan(gateway=gateway(), floating_ips=ips, exact=False)
    both = router_plan.joined(arrived, {}, there, ["203.0.113.102"])
    assert both.uplink
    assert router_plan.answered_for(both.uplink) == ["203.0.113.102"]


def test_a_run_that_only_adds_keeps_members_and_floating_ips_that_it_was_not_told_of() -> None:
    told = [{"mac_address": "fa:16:3e:00:00:0a", "ip_addresses": ["192.0.2.10"]}]
    ips = [floating("203.0.113.101", "192.0.2.10")]
    made = plan(told, gateway=gateway(), floating_ips=ips, exact=False)
    device = made.legs[0].end.name
    there = {(device, "192.0.2.11"): "fa:16:3e:00:00:0b", ("legother", "192.0.2.12"): "x"}
    both = router_plan.joined(made, there, {"203.0.113.102": "192.0.2.11"}, ())
    assert both.legs[0].members == {
        "192.0.2.10": "fa:16:3e:00:00:0a",
        "192.0.2.11": "fa:16:3e:00:00:0b",
    }
    assert both.uplink
    assert both.uplink.floating_ips == {
        "203.0.113.101": "192.0.2.10",
        "203.0.113.102": "192.0.2.11",
    }
    # Told of no way out, it leaves the one that there is.
    assert router_plan.rules(plan(exact=False), None) == {}


def test_of_ipv6_only_what_the_cloud_gave_out_is_reached_from_outside() -> None:
    own = [{"ip_address": "2001:db8:f::20", "cidr": "2001:db8:f::/64"}]
    host_port = {**gateway()["host_port"], "ip_addresses": own}
    for seen, expected in ((["2001:db8::/64"], {"2001:db8::/64"}), ([], set())):
        made, uplink, near, far = linked(gateway={"host_port": host_port, "seen_outside": seen})
        routed = {route[0] for route in router_plan.far_routes(made, uplink, near, far)}
        assert routed == expected
