"""Text that databases and clients stumble over."""

from typing import Any

import pytest

from .conftest import V2, make


@pytest.mark.parametrize(
    "query",
    ["mtu=99999999999999999999999", "name=%00", "name=%ff", "limit=99999999999", "mtu=%D9%A1",
     "id=%27%20OR%201=1", "marker=%27", "revision_number=1e3", "sort_key=id%3Bdrop"],
)  # fmt: skip
def test_queries_never_break_the_service(alice, query):
    assert alice.get(f"{V2}/networks?{query}").status_code in (200, 400)


@pytest.mark.parametrize("name", ["\ud800", "\u0000", "\u202e", "é" * 255])
def test_names_never_break_the_service(alice, name):
    answer = alice.post(f"{V2}/networks", json={"network": {"name": name}})
    assert answer.status_code in (201, 400), answer.text


@pytest.mark.parametrize(
    "path", ["networks/%00", "ports/..%2f..", "subnets/'", "networks/" + "x" * 5000]
)
def test_ids_are_only_looked_up(alice, path):
    assert alice.get(f"{V2}/{path}").status_code == 404


@pytest.mark.parametrize("zone", ["%eth0", "%a\n-A INPUT -j ACCEPT\n"])
def test_no_range_and_no_address_brings_text_of_its_own_to_a_host(alice, private, zone):
    """ipaddress takes any text for the zone of an IPv6 address, and gives it back as it is."""
    subnet = make(alice, "subnet", network_id=private["id"], ip_version=6, cidr="fd07::/64")
    router = make(alice, "router", name="r")
    path = f"{V2}/routers/{router['id']}"
    added = alice.put(f"{path}/add_router_interface", json={"subnet_id": subnet["id"]})
    assert added.status_code == 200, added.text
    port, here = {"network_id": private["id"]}, f"routers/{router['id']}"
    other = {**port, "ip_version": 6, "cidr": "fd08::/64"}
    option = {"opt_name": "dns-server", "opt_value": f"fd07::9{zone}", "ip_version": 6}
    host_route = {"destination": f"fd09::{zone}/64", "nexthop": "fd08::5"}
    routes = [
        {"destination": "fd09::/64", "nexthop": f"fd07::5{zone}"},
        {"destination": f"fd09::1{zone}", "nexthop": "fd07::5"},
    ]
    pairs = [{"ip_address": f"fd07::9{zone}{length}"} for length in ("", "/128")]
    named: list[tuple[str, str, str, dict[str, Any]]] = [
        *(("post", "ports", "port", {**port, "allowed_address_pairs": [each]}) for each in pairs),
        ("post", "ports", "port", {**port, "extra_dhcp_opts": [option]}),
        ("post", "subnets", "subnet", {**other, "cidr": f"fd08::{zone}/64"}),
        ("post", "subnets", "subnet", {**other, "host_routes": [host_route]}),
        ("post", "subnetpools", "subnetpool", {"name": "p", "prefixes": [f"fd0a::{zone}/48"]}),
        *(("put", here, "router", {"routes": [each]}) for each in routes),
    ]
    for method, where, noun, values in named:
        answer = getattr(alice, method)(f"{V2}/{where}", json={noun: values})
        assert answer.status_code == 400, (values, answer.text)
