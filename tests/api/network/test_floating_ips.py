"""Floating IPs: what they stand for, when, and what is refused."""

import pytest

from tests.fixtures.statements import counted

from .conftest import V2, make
from .test_routers import add, change, gateway, take


@pytest.fixture
def router(alice, public, public_subnet, private_subnet):
    """A router between the private network and the public one."""
    router = make(alice, "router", external_gateway_info=gateway(public))
    assert add(alice, router, subnet_id=private_subnet["id"]).status_code == 200
    return router


@pytest.fixture
def port(alice, private, router):
    return make(alice, "port", network_id=private["id"], name="web")


def create(caller, public, **values):
    body = {"floatingip": {"floating_network_id": public["id"], **values}}
    return caller.post(f"{V2}/floatingips", json=body)


def change_ip(caller, floating_ip, **values):
    return caller.put(f"{V2}/floatingips/{floating_ip['id']}", json={"floatingip": values})


def test_one_without_a_port_waits(alice, public, public_subnet):
    made = make(alice, "floatingip", floating_network_id=public["id"], description="spare")
    assert made["floating_ip_address"].startswith("10.91.1.")
    assert (made["port_id"], made["router_id"], made["status"]) == (None, None, "DOWN")
    assert (made["fixed_ip_address"], made["port_details"]) == (None, None)
    url = f"{V2}/floatingips/{made['id']}"
    assert alice.get(url).json["floatingip"] == made
    assert change_ip(alice, made, description="x").json["floatingip"]["description"] == "x"
    assert alice.delete(url).status_code == 204
    assert alice.get(url).status_code == 404


def test_it_goes_from_port_to_port_and_off(alice, public, private, router, port):
    made = create(alice, public, port_id=port["id"]).json["floatingip"]
    address = port["fixed_ips"][0]["ip_address"]
    assert (made["port_id"], made["fixed_ip_address"]) == (port["id"], address)
    assert (made["router_id"], made["status"]) == (router["id"], "DOWN")
    assert made["port_details"]["name"] == "web"
    other = make(alice, "port", network_id=private["id"])
    moved = change_ip(alice, made, port_id=other["id"]).json["floatingip"]
    assert moved["port_id"] == other["id"]
    assert moved["fixed_ip_address"] == other["fixed_ips"][0]["ip_address"]
    assert change_ip(alice, moved, description="kept").json["floatingip"]["port_id"] == other["id"]
    off = change_ip(alice, moved, port_id=None).json["floatingip"]
    assert (off["port_id"], off["router_id"], off["fixed_ip_address"]) == (None, None, None)


def test_a_port_that_goes_leaves_its_floating_ip(alice, public, port):
    made = create(alice, public, port_id=port["id"]).json["floatingip"]
    assert alice.delete(f"{V2}/ports/{port['id']}").status_code == 204
    seen = alice.get(f"{V2}/floatingips/{made['id']}").json["floatingip"]
    assert (seen["port_id"], seen["fixed_ip_address"]) == (None, None)


def test_a_port_with_several_addresses_has_one_for_each(alice, public, private, router, refused):
    both = [{"ip_address": "192.168.7.40"}, {"ip_address": "192.168.7.41"}]
    port = make(alice, "port", network_id=private["id"], fixed_ips=both)
    refused(create(alice, public, port_id=port["id"]), 400, "BadRequest")
    for each in both:
        made = create(alice, public, port_id=port["id"], fixed_ip_address=each["ip_address"])
        assert made.json["floatingip"]["fixed_ip_address"] == each["ip_address"]
    again = create(alice, public, port_id=port["id"], fixed_ip_address="192.168.7.40")
    refused(again, 409, "FloatingIPPortAlreadyAssociated")
    none_such = create(alice, public, port_id=port["id"], fixed_ip_address="192.168.7.42")
    refused(none_such, 400, "BadRequest")
    assert len(alice.get(f"{V2}/floatingips").json["floatingips"]) == 2


def test_what_a_port_must_have(alice, bob, admin, public, public_subnet, private, refused):
    bare = make(alice, "port", network_id=private["id"], fixed_ips=[])
    refused(create(alice, public, port_id=bare["id"]), 400, "BadRequest")
    make(alice, "subnet", network_id=private["id"], cidr="192.168.9.0/24")
    lone = make(alice, "port", network_id=private["id"])
    refused(create(alice, public, port_id=lone["id"]), 404, "ExternalGatewayForFloatingIPNotFound")
    refused(create(bob, public, port_id=lone["id"]), 404, "PortNotFound")
    refused(create(alice, public, fixed_ip_address="192.168.9.9"), 400, "BadRequest")
    refused(create(alice, private), 400, "BadRequest")
    refused(create(alice, {"id": "0" * 32}), 404, "NetworkNotFound")
    assert alice.get(f"{V2}/floatingips").json["floatingips"] == []
    held = admin.get(f"{V2}/ports?device_owner=network:floatingip").json["ports"]
    assert held == []


def test_only_admins_choose_the_address(alice, admin, public, public_subnet, refused):
    wanted = {"floating_ip_address": "10.91.1.66"}
    refused(create(alice, public, **wanted), 403, "PolicyNotAuthorized")
    assert create(admin, public, **wanted).json["floatingip"]["floating_ip_address"] == "10.91.1.66"
    refused(create(admin, public, **wanted), 409, "IpAddressInUse")
    refused(create(admin, public, floating_ip_address="10.1.1.1"), 400, "InvalidIpForNetwork")
    refused(create(alice, public, subnet_id="0" * 32), 400, "InvalidInput")
    assert create(alice, public, subnet_id=public_subnet["id"]).status_code == 201


def test_what_a_floating_ip_needs_stays(alice, public, private_subnet, router, port, refused):
    create(alice, public, port_id=port["id"])
    taken = take(alice, router, subnet_id=private_subnet["id"])
    refused(taken, 409, "RouterInterfaceInUseByFloatingIP")
    cleared = change(alice, router, external_gateway_info=None)
    refused(cleared, 409, "RouterExternalGatewayInUseByFloatingIp")


def test_another_projects_is_not_there(alice, bob, public, public_subnet, refused):
    made = make(alice, "floatingip", floating_network_id=public["id"])
    url = f"{V2}/floatingips/{made['id']}"
    refused(bob.get(url), 404, "FloatingIPNotFound")
    refused(change_ip(bob, made, port_id=None), 404, "FloatingIPNotFound")
    refused(bob.delete(url), 404, "FloatingIPNotFound")
    assert bob.get(f"{V2}/floatingips").json["floatingips"] == []


def test_lists_cost_the_same_for_many(services, alice, public, public_subnet, port):
    def cost():
        with counted(services.db.engine) as seen:
            found = alice.get(f"{V2}/floatingips").json["floatingips"]
        return len(found), len(seen)

    create(alice, public, port_id=port["id"])
    assert cost()[0] == 1
    _, one = cost()
    for _ in range(5):
        create(alice, public)
    assert cost() == (6, one)
    found = alice.get(f"{V2}/floatingips?port_id={port['id']}&fields=status").json["floatingips"]
    assert found == [{"status": "DOWN"}]


def test_the_pool_of_outside_can_be_used_up(admin, alice, refused):
    outside = make(admin, "network", **{"router:external": True})
    make(
        admin,
        "subnet",
        network_id=outside["id"],
        cidr="10.93.0.0/29",
        enable_dhcp=False,
        allocation_pools=[{"start": "10.93.0.2", "end": "10.93.0.3"}],
    )
    for _ in range(2):
        assert create(alice, outside).status_code == 201
    refused(create(alice, outside), 409, "IpAddressGenerationFailure")


def test_floating_ips_have_a_quota(services, alice, admin, public, public_subnet, refused):
    assert alice.get(f"{V2}/quotas/{public['project_id']}").status_code in (200, 403)
    for _ in range(50):
        assert create(alice, public).status_code == 201
    refused(create(alice, public), 409, "OverQuota")
