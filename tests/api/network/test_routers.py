"""Routers: gateways, interfaces, routes, and what each refuses."""

import pytest

from tests.fixtures.statements import counted

from .conftest import V2, make


def add(caller, router, **body):
    return caller.put(f"{V2}/routers/{router['id']}/add_router_interface", json=body)


def take(caller, router, **body):
    return caller.put(f"{V2}/routers/{router['id']}/remove_router_interface", json=body)


def change(caller, router, **values):
    return caller.put(f"{V2}/routers/{router['id']}", json={"router": values})


def show(caller, router):
    return caller.get(f"{V2}/routers/{router['id']}").json["router"]


def gateway(network):
    return {"network_id": network["id"]}


@pytest.fixture
def router(alice):
    return make(alice, "router", name="r1")


def test_a_new_router_has_what_clients_read(alice, admin):
    router = make(alice, "router", name="r1", description="edge")
    assert (router["status"], router["admin_state_up"], router["routes"]) == ("ACTIVE", True, [])
    assert router["external_gateway_info"] is None
    assert "distributed" not in router
    seen = show(admin, router)
    assert (seen["distributed"], seen["ha"]) == (True, False)
    assert [each["id"] for each in alice.get(f"{V2}/routers?name=r1").json["routers"]] == [
        router["id"]
    ]
    changed = change(alice, router, name="r2", admin_state_up=False).json["router"]
    assert (changed["name"], changed["admin_state_up"]) == ("r2", False)
    assert alice.delete(f"{V2}/routers/{router['id']}").status_code == 204
    assert alice.get(f"{V2}/routers/{router['id']}").status_code == 404


def test_another_projects_router_is_not_there(bob, router, private_subnet, refused):
    refused(bob.get(f"{V2}/routers/{router['id']}"), 404, "RouterNotFound")
    refused(add(bob, router, subnet_id=private_subnet["id"]), 404, "RouterNotFound")
    refused(bob.delete(f"{V2}/routers/{router['id']}"), 404, "RouterNotFound")


def test_a_router_can_be_no_other_kind(admin, alice, refused):
    body = {"router": {"distributed": False}}
    refused(admin.post(f"{V2}/routers", json=body), 400, "BadRequest")
    refused(admin.post(f"{V2}/routers", json={"router": {"ha": True}}), 400, "BadRequest")
    refused(alice.post(f"{V2}/routers", json={"router": {"ha": True}}), 403, "PolicyNotAuthorized")


def test_an_interface_answers_at_the_subnets_gateway(alice, router, private, private_subnet):
    added = add(alice, router, subnet_id=private_subnet["id"]).json
    assert (added["id"], added["subnet_id"]) == (router["id"], private_subnet["id"])
    assert (added["network_id"], added["subnet_ids"]) == (private["id"], [private_subnet["id"]])
    (port,) = alice.get(f"{V2}/ports?device_id={router['id']}").json["ports"]
    assert port["id"] == added["port_id"]
    assert port["device_owner"] == "network:router_interface"
    assert port["fixed_ips"] == [{"subnet_id": private_subnet["id"], "ip_address": "192.168.7.1"}]
    assert take(alice, router, subnet_id=private_subnet["id"]).json == added
    assert alice.get(f"{V2}/ports?device_id={router['id']}").json["ports"] == []


def test_an_interface_by_a_port_has_the_ports_addresses(alice, router, private, private_subnet):
    port = make(alice, "port", network_id=private["id"])
    added = add(alice, router, port_id=port["id"]).json
    assert added["port_id"] == port["id"]
    seen = alice.get(f"{V2}/ports/{port['id']}").json["port"]
    assert (seen["device_id"], seen["security_groups"]) == (router["id"], [])
    assert seen["fixed_ips"] == port["fixed_ips"]
    assert take(alice, router, port_id=port["id"]).json == added
    assert alice.get(f"{V2}/ports/{port['id']}").status_code == 404


def test_what_an_interface_can_not_be(alice, router, private, private_subnet, refused):
    subnet_id = private_subnet["id"]
    port = make(alice, "port", network_id=private["id"])
    refused(add(alice, router), 400, "BadRequest")
    refused(add(alice, router, subnet_id=subnet_id, port_id=port["id"]), 400, "BadRequest")
    refused(add(alice, router, subnet_id="0" * 32), 404, "SubnetNotFound")
    refused(add(alice, router, port_id="0" * 32), 404, "PortNotFound")
    bare = make(alice, "port", network_id=private["id"], fixed_ips=[])
    assert "fixed IP" in refused(add(alice, router, port_id=bare["id"]), 400, "BadRequest")
    used = make(alice, "port", network_id=private["id"], device_id="a-machine")
    refused(add(alice, router, port_id=used["id"]), 409, "PortInUse")
    closed = make(alice, "subnet", network_id=private["id"], cidr="10.8.0.0/24", gateway_ip=None)
    refused(add(alice, router, subnet_id=closed["id"]), 400, "BadRequest")
    assert add(alice, router, subnet_id=subnet_id).status_code == 200
    assert "already has" in refused(add(alice, router, subnet_id=subnet_id), 400, "BadRequest")
    other = make(alice, "router")
    refused(add(alice, other, subnet_id=subnet_id), 409, "IpAddressInUse")


def test_overlapping_subnets_are_refused(alice, router, private_subnet, refused):
    other = make(alice, "network")
    subnet = make(alice, "subnet", network_id=other["id"], cidr="192.168.0.0/16")
    assert add(alice, router, subnet_id=private_subnet["id"]).status_code == 200
    message = refused(add(alice, router, subnet_id=subnet["id"]), 400, "BadRequest")
    assert "192.168.7.0/24" in message
    assert len(alice.get(f"{V2}/ports?device_id={router['id']}").json["ports"]) == 1


def test_a_range_of_outside_is_no_interface_s(alice, router, public, public_subnet, refused):
    same = make(alice, "network")
    subnet = make(alice, "subnet", network_id=same["id"], cidr="10.91.0.0/16")
    assert change(alice, router, external_gateway_info=gateway(public)).status_code == 200
    refused(add(alice, router, subnet_id=subnet["id"]), 400, "BadRequest")
    change(alice, router, external_gateway_info=None)
    assert add(alice, router, subnet_id=subnet["id"]).status_code == 200
    refused(change(alice, router, external_gateway_info=gateway(public)), 400, "BadRequest")


def test_removing_what_is_not_there(alice, router, private, private_subnet, refused):
    subnet_id = private_subnet["id"]
    refused(take(alice, router), 400, "BadRequest")
    refused(take(alice, router, subnet_id=subnet_id), 404, "RouterInterfaceNotFoundForSubnet")
    refused(take(alice, router, port_id="0" * 32), 404, "RouterInterfaceNotFound")
    added = add(alice, router, subnet_id=subnet_id).json
    other = make(alice, "subnet", network_id=private["id"], cidr="10.8.0.0/24")
    body = {"port_id": added["port_id"], "subnet_id": other["id"]}
    refused(take(alice, router, **body), 400, "SubnetMismatchForPort")


def test_what_a_router_uses_stays(alice, router, private, private_subnet, refused):
    added = add(alice, router, subnet_id=private_subnet["id"]).json
    refused(alice.delete(f"{V2}/routers/{router['id']}"), 409, "RouterInUse")
    refused(alice.delete(f"{V2}/ports/{added['port_id']}"), 409, "ServicePortInUse")
    refused(alice.delete(f"{V2}/subnets/{private_subnet['id']}"), 409, "SubnetInUse")
    refused(alice.delete(f"{V2}/networks/{private['id']}"), 409, "NetworkInUse")
    body = {"subnet": {"gateway_ip": None}}
    answer = alice.put(f"{V2}/subnets/{private_subnet['id']}", json=body)
    refused(answer, 409, "GatewayIpInUse")
    moved = alice.put(f"{V2}/ports/{added['port_id']}", json={"port": {"device_id": "x"}})
    refused(moved, 409, "ServicePortInUse")


def test_a_gateway_has_addresses_outside(alice, admin, router, public, public_subnet, refused):
    info = change(alice, router, external_gateway_info=gateway(public)).json["router"][
        "external_gateway_info"
    ]
    assert (info["network_id"], info["enable_snat"]) == (public["id"], True)
    (address,) = info["external_fixed_ips"]
    assert address["subnet_id"] == public_subnet["id"]
    again = change(alice, router, external_gateway_info=gateway(public)).json["router"]
    assert again["external_gateway_info"] == info
    off = {**gateway(public), "enable_snat": False}
    refused(change(alice, router, external_gateway_info=off), 403, "PolicyNotAuthorized")
    seen = change(admin, router, external_gateway_info=off).json["router"]
    assert seen["external_gateway_info"] == {**info, "enable_snat": False}
    fixed = {**gateway(public), "external_fixed_ips": [{"ip_address": "10.91.1.77"}]}
    refused(change(alice, router, external_gateway_info=fixed), 403, "PolicyNotAuthorized")
    moved = change(admin, router, external_gateway_info=fixed).json["router"]
    assert moved["external_gateway_info"]["external_fixed_ips"] == [
        {"subnet_id": public_subnet["id"], "ip_address": "10.91.1.77"}
    ]
    # The port is the cloud's own: a tenant finds it nowhere.
    assert alice.get(f"{V2}/ports?device_id={router['id']}").json["ports"] == []
    refused(
        admin.put(f"{V2}/networks/{public['id']}", json={"network": {"router:external": False}}),
        409,
        "ExternalNetworkInUse",
    )
    assert (
        change(alice, router, external_gateway_info={}).json["router"]["external_gateway_info"]
        is None
    )
    assert alice.delete(f"{V2}/routers/{router['id']}").status_code == 204


def test_what_a_gateway_can_not_be(alice, admin, router, public, private, refused):
    refused(change(alice, router, external_gateway_info=gateway(private)), 400, "BadRequest")
    refused(change(alice, router, external_gateway_info=gateway(public)), 400, "BadRequest")
    nowhere = {"network_id": "0" * 32}
    refused(change(alice, router, external_gateway_info=nowhere), 404, "NetworkNotFound")
    assert show(alice, router)["external_gateway_info"] is None


def test_an_address_outside_the_range_of_outside(admin, router, public, public_subnet, refused):
    wanted = {**gateway(public), "external_fixed_ips": [{"ip_address": "10.92.0.1"}]}
    refused(change(admin, router, external_gateway_info=wanted), 400, "InvalidIpForNetwork")
    wanted["external_fixed_ips"] = [{"subnet_id": "0" * 32}]
    refused(change(admin, router, external_gateway_info=wanted), 400, "InvalidInput")


def test_routes(alice, router, private_subnet, refused):
    add(alice, router, subnet_id=private_subnet["id"])
    one = {"destination": "10.1.0.0/16", "nexthop": "192.168.7.9"}
    two = {"destination": "10.2.0.0/16", "nexthop": "192.168.7.9"}
    assert change(alice, router, routes=[one]).json["router"]["routes"] == [one]
    url = f"{V2}/routers/{router['id']}"
    more = alice.put(f"{url}/add_extraroutes", json={"router": {"routes": [two, one]}})
    assert more.json["router"]["routes"] == [one, two]
    fewer = alice.put(f"{url}/remove_extraroutes", json={"router": {"routes": [one]}})
    assert fewer.json["router"]["routes"] == [two]
    refused(take(alice, router, subnet_id=private_subnet["id"]), 409, "RouterInterfaceInUseByRoute")
    for bad in (
        {"destination": "10.1.0.0/16", "nexthop": "172.16.0.1"},
        {"destination": "10.1.0.0/16", "nexthop": "192.168.7.1"},
        {"destination": "10.1.0.1/16", "nexthop": "192.168.7.9"},
        {"destination": "fd00::/64", "nexthop": "192.168.7.9"},
    ):
        refused(change(alice, router, routes=[bad]), 400, "InvalidRoutes")
    many = [{"destination": f"10.{n}.0.0/16", "nexthop": "192.168.7.9"} for n in range(31)]
    refused(change(alice, router, routes=many), 400, "RoutesExhausted")
    assert show(alice, router)["routes"] == [two]
    assert change(alice, router, routes=[]).json["router"]["routes"] == []


def test_lists_are_filtered_and_paged(alice, admin, public, public_subnet):
    made = [make(alice, "router", name=f"r{number}") for number in range(3)]
    change(alice, made[1], external_gateway_info=gateway(public))
    page = alice.get(f"{V2}/routers?limit=2&sort_key=name").json
    assert [each["name"] for each in page["routers"]] == ["r0", "r1"]
    assert page["routers_links"]
    found = alice.get(f"{V2}/routers?network_id={public['id']}&fields=name").json["routers"]
    assert found == [{"name": "r1"}]
    assert admin.get(f"{V2}/routers?distributed=true").json["routers"]
    assert alice.get(f"{V2}/routers?colour=red").status_code == 400


def test_lists_cost_the_same_for_many(services, alice, public, public_subnet, private,
                                      private_subnet):  # fmt: skip
    def cost(query=""):
        with counted(services.db.engine) as seen:
            found = alice.get(f"{V2}/routers{query}").json["routers"]
        return len(found), len(seen)

    first = make(alice, "router", external_gateway_info=gateway(public))
    assert add(alice, first, subnet_id=private_subnet["id"]).status_code == 200
    alice.put(f"{V2}/routers/{first['id']}/tags/red")
    assert cost()[0] == 1
    _, one = cost()
    for _ in range(5):
        router = make(alice, "router", external_gateway_info=gateway(public))
        alice.put(f"{V2}/routers/{router['id']}/tags/red")
    assert cost() == (6, one)
    for query in (f"?network_id={public['id']}", "?tags=red&sort_key=name", "?fields=id"):
        number, asked = cost(query)
        assert (number, asked <= one) == (6, True), query


def test_routers_have_a_quota(alice, refused):
    for _ in range(10):
        make(alice, "router")
    refused(alice.post(f"{V2}/routers", json={"router": {}}), 409, "OverQuota")


def test_the_gateway_of_a_network_shared_with_all_is_no_tenants(
    admin, alice, bob, public, public_subnet, refused
):
    """Every guest's packets would go to the router of who was first."""
    router = make(bob, "router")
    message = refused(add(bob, router, subnet_id=public_subnet["id"]), 400, "BadRequest")
    assert "not owned" in message
    port = make(bob, "port", network_id=public["id"])
    assert add(bob, router, port_id=port["id"]).status_code == 200
    theirs = make(admin, "router")
    assert add(admin, theirs, subnet_id=public_subnet["id"]).status_code == 200


def test_whom_a_network_is_shared_with_by_name_may_route_it(alice, bob, private, private_subnet):
    share = {
        "object_type": "network", "object_id": private["id"], "action": "access_as_shared",
        "target_tenant": bob.project_id,
    }  # fmt: skip
    assert alice.post(f"{V2}/rbac-policies", json={"rbac_policy": share}).status_code == 201
    assert add(bob, make(bob, "router"), subnet_id=private_subnet["id"]).status_code == 200


def test_anothers_port_on_an_own_network_becomes_no_interface(
    admin, alice, bob, public, public_subnet, router, refused
):
    port = make(bob, "port", network_id=public["id"])
    hers = make(admin, "network", project_id=alice.project_id, shared=True)
    subnet = {"network_id": hers["id"], "cidr": "10.5.0.0/24"}
    make(alice, "subnet", **subnet)
    on_hers = make(bob, "port", network_id=hers["id"])
    refused(add(alice, router, port_id=port["id"]), 404, "PortNotFound")
    refused(add(alice, router, port_id=on_hers["id"]), 400, "BadRequest")
    seen = bob.get(f"{V2}/ports/{on_hers['id']}").json["port"]
    assert (seen["device_owner"], seen["security_groups"]) == ("", on_hers["security_groups"])


@pytest.mark.parametrize(
    ("destination", "nexthop"),
    [
        ("10.1.0.0/16", "192.168.7.255"),
        ("10.1.0.0/16", "192.168.7.0"),
        ("192.168.7.0/24", "192.168.7.9"),
        ("127.0.0.0/8", "192.168.7.9"),
        ("224.0.0.0/24", "192.168.7.9"),
        ("169.254.64.0/18", "192.168.7.9"),
        ("169.254.169.254/32", "192.168.7.2"),
        ("0.0.0.0/32", "192.168.7.9"),
    ],
)
def test_a_route_that_no_kernel_takes_is_refused(
    alice, router, private_subnet, destination, nexthop, refused
):
    """A host that fails at one tenant's route would be told nothing for all others."""
    assert add(alice, router, subnet_id=private_subnet["id"]).status_code == 200
    routes = [{"destination": destination, "nexthop": nexthop}]
    refused(change(alice, router, routes=routes), 400, "InvalidRoutes")
    wide = [{"destination": "0.0.0.0/1", "nexthop": "192.168.7.9"}]
    assert change(alice, router, routes=wide).json["router"]["routes"] == wide


def test_a_route_into_a_part_of_a_routers_own_ipv6_network_is_refused(
    alice, router, private, refused
):
    """The kernel then takes no next hop within that part, and the host none of its routers."""
    subnet = make(alice, "subnet", network_id=private["id"], cidr="fd00:7::/64", ip_version=6)
    assert add(alice, router, subnet_id=subnet["id"]).status_code == 200
    for destination in ("fd00:7::/65", "fd00:7::20/128"):
        routes = [{"destination": destination, "nexthop": "fd00:7::9"}]
        refused(change(alice, router, routes=routes), 400, "InvalidRoutes")
    wide = [{"destination": "fd00::/16", "nexthop": "fd00:7::9"}]
    assert change(alice, router, routes=wide).status_code == 200


def test_two_routes_to_one_destination_are_refused(alice, router, private_subnet, refused):
    """Hosts have one of them at a time."""
    assert add(alice, router, subnet_id=private_subnet["id"]).status_code == 200
    one, other = (
        {"destination": "10.1.0.0/16", "nexthop": nexthop}
        for nexthop in ("192.168.7.9", "192.168.7.8")
    )
    refused(change(alice, router, routes=[one, other]), 400, "InvalidRoutes")
    assert change(alice, router, routes=[one]).status_code == 200
    url = f"{V2}/routers/{router['id']}/add_extraroutes"
    refused(alice.put(url, json={"router": {"routes": [other]}}), 400, "InvalidRoutes")


def test_a_route_through_the_outside_is_refused(
    alice, router, public, public_subnet, private_subnet, refused
):
    """Hosts lead to external networks by their own next hops, and would leave it out."""
    assert add(alice, router, subnet_id=private_subnet["id"]).status_code == 200
    assert change(alice, router, external_gateway_info=gateway(public)).status_code == 200
    routes = [{"destination": "10.1.0.0/16", "nexthop": "10.91.1.77"}]
    refused(change(alice, router, routes=routes), 400, "InvalidRoutes")


def test_a_network_that_a_route_leads_to_is_not_connected(
    alice, private, router, private_subnet, refused
):
    """On hosts the route would stand in the place of the network's own."""
    assert add(alice, router, subnet_id=private_subnet["id"]).status_code == 200
    routes = [{"destination": "10.1.0.0/16", "nexthop": "192.168.7.9"}]
    assert change(alice, router, routes=routes).status_code == 200
    other = make(alice, "network")
    subnet = make(alice, "subnet", network_id=other["id"], cidr="10.1.0.0/16")
    refused(add(alice, router, subnet_id=subnet["id"]), 400, "BadRequest")
    assert change(alice, router, routes=[]).status_code == 200
    assert add(alice, router, subnet_id=subnet["id"]).status_code == 200


def test_lists_are_sorted_by_what_is_the_same_for_all(alice):
    made = [make(alice, "router", name=name)["name"] for name in ("b", "a")]
    found = alice.get(f"{V2}/routers?sort_key=status&sort_key=name&sort_dir=desc&sort_dir=desc")
    assert [each["name"] for each in found.json["routers"]] == made


@pytest.mark.parametrize("noun", ["router", "floatingip", "subnetpool"])
def test_a_project_that_has_something_of_routing_is_not_deleted(
    admin, alice, bob, public, public_subnet, noun
):
    """Its own ports on others' networks are nobody's, and would stay for ever."""
    values = {"subnetpool": {"name": "p", "prefixes": ["10.8.0.0/16"]}}
    values["floatingip"] = {"floating_network_id": public["id"]}
    made = make(bob, noun, **values.get(noun, {}))
    path = f"/identity/v3/projects/{bob.project_id}"
    assert admin.delete(path).status_code == 409
    assert admin.delete(f"{V2}/{noun}s/{made['id']}").status_code == 204
    assert admin.delete(path).status_code == 204
