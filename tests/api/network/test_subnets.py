"""Subnets: ranges, gateways, pools, and the address of DHCP."""

import pytest

from controller.db.models import Subnet

from .conftest import V2, make

RANGE = "10.0.0.0/24"


def pool(start, end):
    return {"start": start, "end": end}


def route(destination, nexthop):
    return {"destination": destination, "nexthop": nexthop}


def create(caller, network, **values):
    return caller.post(f"{V2}/subnets", json={"subnet": {"network_id": network["id"], **values}})


def test_defaults_follow_from_the_range(alice, private):
    subnet = make(alice, "subnet", network_id=private["id"], cidr="10.0.5.0/24")
    assert subnet["gateway_ip"] == "10.0.5.1"
    assert subnet["allocation_pools"] == [{"start": "10.0.5.2", "end": "10.0.5.254"}]
    assert (subnet["ip_version"], subnet["enable_dhcp"]) == (4, True)
    network = alice.get(f"{V2}/networks/{private['id']}").json["network"]
    assert network["subnets"] == [subnet["id"]]


def test_gateway_in_the_middle_splits_the_pools(alice, private):
    subnet = make(
        alice, "subnet", network_id=private["id"], cidr="10.0.5.0/29", gateway_ip="10.0.5.3"
    )
    assert subnet["allocation_pools"] == [
        {"start": "10.0.5.1", "end": "10.0.5.2"},
        {"start": "10.0.5.4", "end": "10.0.5.6"},
    ]


def test_no_gateway(alice, private):
    subnet = make(alice, "subnet", network_id=private["id"], cidr="10.0.5.0/24", gateway_ip=None)
    assert subnet["gateway_ip"] is None
    assert subnet["allocation_pools"] == [{"start": "10.0.5.1", "end": "10.0.5.254"}]


def test_only_isolated_networks_have_their_gateway_served(
    services, admin, private_subnet, public_subnet
):
    with services.db.read() as session:
        assert session.get(Subnet, private_subnet["id"]).gateway_served is True
        assert session.get(Subnet, public_subnet["id"]).gateway_served is False


def test_dhcp_holds_the_first_address_of_the_pools(services, alice, private, private_subnet):
    ports = alice.get(f"{V2}/ports?device_owner=network:dhcp").json["ports"]
    assert [port["fixed_ips"] for port in ports] == [
        [{"subnet_id": private_subnet["id"], "ip_address": "192.168.7.2"}]
    ]
    with services.db.read() as session:
        assert session.get(Subnet, private_subnet["id"]).dhcp_ip == "192.168.7.2"


def test_dhcp_off_frees_its_address_and_on_takes_one(alice, private, private_subnet):
    path = f"{V2}/subnets/{private_subnet['id']}"
    assert alice.put(path, json={"subnet": {"enable_dhcp": False}}).status_code == 200
    assert alice.get(f"{V2}/ports").json["ports"] == []
    assert alice.put(path, json={"subnet": {"enable_dhcp": True}}).status_code == 200
    assert len(alice.get(f"{V2}/ports?device_owner=network:dhcp").json["ports"]) == 1


def test_the_dhcp_servers_port_is_left_alone(alice, private_subnet, refused):
    port = alice.get(f"{V2}/ports").json["ports"][0]
    refused(alice.delete(f"{V2}/ports/{port['id']}"), 409, "ServicePortInUse")
    answer = alice.put(f"{V2}/ports/{port['id']}", json={"port": {"name": "x"}})
    refused(answer, 409, "ServicePortInUse")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"cidr": "10.0.0.1/24"}, "InvalidInput"),
        ({"cidr": "10.0.0.0/33"}, "InvalidInput"),
        ({"cidr": "10.0.0.0/31"}, "InvalidInput"),
        ({"cidr": "0.0.0.0/0"}, "InvalidInput"),
        ({"cidr": "224.0.0.0/24"}, "InvalidInput"),
        ({"cidr": "127.0.0.0/24"}, "InvalidInput"),
        ({"cidr": "169.254.169.0/24"}, "InvalidInput"),
        ({"cidr": "fd00::/64"}, "InvalidInput"),
        ({"cidr": RANGE, "ip_version": 6}, "InvalidInput"),
        ({"cidr": RANGE, "ipv6_ra_mode": "slaac"}, "InvalidInput"),
        ({"cidr": "{{ 7*7 }}"}, "InvalidInput"),
        ({"cidr": RANGE, "gateway_ip": "10.0.1.1"}, "InvalidInput"),
        ({"cidr": RANGE, "gateway_ip": "10.0.0.255"}, "InvalidInput"),
        ({"cidr": RANGE, "gateway_ip": "10.0.0.1\n"}, "InvalidInput"),
        ({"cidr": RANGE, "dns_nameservers": ["9.9.9.9\nx=1"]}, "InvalidInput"),
        ({"cidr": RANGE, "host_routes": [route("x", "10.0.0.9")]}, "InvalidInput"),
        (
            {"cidr": RANGE, "allocation_pools": [pool("10.0.0.9", "10.0.0.8")]},
            "InvalidAllocationPool",
        ),
        ({"cidr": RANGE, "allocation_pools": [pool("a", "b")]}, "InvalidAllocationPool"),
        (
            {"cidr": RANGE, "allocation_pools": [pool("10.0.0.9", "10.0.1.8")]},
            "OutOfBoundsAllocationPool",
        ),
        ({"cidr": None}, "HTTPBadRequest"),
        ({}, "HTTPBadRequest"),
        ({"cidr": RANGE, "allocation_pools": ["10.0.0.9-10.0.0.10"]}, "HTTPBadRequest"),
        ({"cidr": RANGE, "ip_version": 5}, "HTTPBadRequest"),
        ({"cidr": RANGE, "network_id": "../x"}, "HTTPBadRequest"),
    ],
)  # fmt: skip
def test_ranges_that_cannot_work_are_refused(alice, private, values, fault, refused):
    refused(create(alice, private, **values), 400, fault)
    assert alice.get(f"{V2}/subnets").json["subnets"] == []


def test_pools_do_not_overlap_nor_hold_the_gateway(alice, private, refused):
    pools = [{"start": "10.0.0.5", "end": "10.0.0.9"}, {"start": "10.0.0.9", "end": "10.0.0.12"}]
    answer = create(alice, private, cidr="10.0.0.0/24", allocation_pools=pools)
    refused(answer, 409, "OverlappingAllocationPools")
    answer = create(
        alice, private, cidr="10.0.0.0/24", gateway_ip="10.0.0.6", allocation_pools=pools[:1]
    )
    refused(answer, 409, "GatewayConflictWithAllocationPools")


def test_ranges_overlap_across_networks_but_not_within(alice, private, private_subnet, refused):
    message = refused(create(alice, private, cidr="192.168.0.0/16"), 400, "InvalidInput")
    assert "192.168.7.0/24" in message
    other = make(alice, "network")
    assert create(alice, other, cidr="192.168.7.0/24").status_code == 201


def test_update_of_what_a_subnet_tells_its_guests(alice, private_subnet):
    path = f"{V2}/subnets/{private_subnet['id']}"
    values = {
        "name": "renamed",
        "dns_nameservers": ["9.9.9.9"],
        "host_routes": [{"destination": "10.0.0.0/8", "nexthop": "192.168.7.9"}],
        "gateway_ip": "192.168.7.254",
        "allocation_pools": [{"start": "192.168.7.10", "end": "192.168.7.20"}],
    }
    subnet = alice.put(path, json={"subnet": values}).json["subnet"]
    assert {name: subnet[name] for name in values} == values
    assert alice.put(path, json={"subnet": {"cidr": "10.0.0.0/24"}}).status_code == 400


def test_a_gateway_that_a_port_has_is_refused(alice, private, private_subnet, refused):
    fixed_ips = [{"ip_address": "192.168.7.50"}]
    port = make(alice, "port", network_id=private["id"], fixed_ips=fixed_ips)
    values = {
        "gateway_ip": "192.168.7.50",
        "allocation_pools": [{"start": "192.168.7.100", "end": "192.168.7.120"}],
    }
    answer = alice.put(f"{V2}/subnets/{private_subnet['id']}", json={"subnet": values})
    assert port["id"] in refused(answer, 400, "InvalidInput")


def test_a_subnet_with_ports_stays(alice, private, private_subnet, refused):
    port = make(alice, "port", network_id=private["id"])
    path = f"{V2}/subnets/{private_subnet['id']}"
    assert port["id"] in refused(alice.delete(path), 409, "SubnetInUse")
    alice.delete(f"{V2}/ports/{port['id']}")
    assert alice.delete(path).status_code == 204
    assert alice.get(f"{V2}/ports").json["ports"] == []


def test_subnets_of_shared_networks_are_seen_and_not_touched(bob, public, public_subnet, refused):
    path = f"{V2}/subnets/{public_subnet['id']}"
    assert bob.get(path).status_code == 200
    refused(bob.put(path, json={"subnet": {"name": "x"}}), 403, "PolicyNotAuthorized")
    refused(bob.delete(path), 403, "PolicyNotAuthorized")
    refused(create(bob, public, cidr="10.0.0.0/24"), 403, "PolicyNotAuthorized")


def test_another_projects_subnet_is_absent(bob, private_subnet, refused):
    path = f"{V2}/subnets/{private_subnet['id']}"
    refused(bob.get(path), 404, "SubnetNotFound")
    refused(bob.delete(path), 404, "SubnetNotFound")
    assert bob.get(f"{V2}/subnets").json["subnets"] == []


def test_filters(alice, private_subnet):
    found = alice.get(f"{V2}/subnets?enable_dhcp=true&ip_version=4&cidr=192.168.7.0/24").json
    assert [subnet["id"] for subnet in found["subnets"]] == [private_subnet["id"]]
    assert alice.get(f"{V2}/subnets?gateway_ip=10.0.0.1").json["subnets"] == []


@pytest.mark.parametrize(
    "cidr",
    ["0.0.0.0/8", "0.0.0.0/1", "126.0.0.0/7", "224.0.0.0/3", "192.0.0.0/2", "168.0.0.0/6",
     "169.254.64.0/18", "255.255.255.252/30"],
)  # fmt: skip
def test_a_range_that_reaches_into_one_with_another_use_is_refused(alice, private, cidr, refused):
    body = {"subnet": {"network_id": private["id"], "cidr": cidr, "ip_version": 4}}
    refused(alice.post(f"{V2}/subnets", json=body), 400, "InvalidInput")


def test_nobody_makes_things_on_own_networks_at_anothers_expense(alice, bob, private, refused):
    """They would count in the other's quota, and a refusal would tell how much of it is left."""
    subnet = {"network_id": private["id"], "cidr": "10.0.0.0/24", "ip_version": 4}
    share = {
        "object_type": "network", "object_id": private["id"], "action": "access_as_shared",
        "target_tenant": bob.project_id,
    }  # fmt: skip
    for owner in ("project_id", "tenant_id"):
        theirs = {owner: bob.project_id}
        body = {"subnet": {**subnet, **theirs}}
        refused(alice.post(f"{V2}/subnets", json=body), 403, "PolicyNotAuthorized")
        body = {"rbac_policy": {**share, **theirs}}
        refused(alice.post(f"{V2}/rbac-policies", json=body), 403, "PolicyNotAuthorized")
    assert bob.get(f"{V2}/subnets").json["subnets"] == []
    assert bob.get(f"{V2}/rbac-policies").json["rbac_policies"] == []
