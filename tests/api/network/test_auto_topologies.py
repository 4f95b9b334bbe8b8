"""Get me a network: what is made for a project, when it can't be, and servers that ask for it."""

import threading

import pytest

from controller.db.models import Network, Router, Subnet

from .conftest import V2, make
from .test_routers import change
from .test_server_ports import rows

TOPOLOGY = f"{V2}/auto-allocated-topology"
POOL = {"is_default": True, "shared": True}


@pytest.fixture
def way_out(admin):
    """The cloud's default external network."""
    flags = {"router:external": True, "is_default": True}
    network = make(admin, "network", name="outside", **flags)
    make(admin, "subnet", network_id=network["id"], cidr="10.91.1.0/24", enable_dhcp=False)
    return network


@pytest.fixture
def pool(admin):
    return make(
        admin, "subnetpool", name="p", prefixes=["10.7.0.0/16"], default_prefixlen=26, **POOL
    )


def path(caller):
    return f"{TOPOLOGY}/{caller.project_id}"


def nothing_is_there(services, besides=0):
    with services.db.read() as session:
        counts = [session.query(model).count() for model in (Network, Subnet, Router)]
    return counts == [besides, besides, 0]


def test_a_project_gets_a_network_with_a_way_out(alice, way_out, pool):
    answer = alice.get(path(alice))
    assert answer.status_code == 200, answer.text
    topology = answer.json["auto_allocated_topology"]
    assert topology["tenant_id"] == topology["project_id"] == alice.project_id
    network = alice.get(f"{V2}/networks/{topology['id']}").json["network"]
    assert (network["name"], network["admin_state_up"]) == ("auto_allocated_network", True)
    assert (network["project_id"], network["shared"]) == (alice.project_id, False)
    (subnet,) = alice.get(f"{V2}/subnets").json["subnets"]
    assert (subnet["name"], subnet["cidr"]) == ("auto_allocated_subnet_v4", "10.7.0.0/26")
    assert subnet["subnetpool_id"] == pool["id"]
    (router,) = alice.get(f"{V2}/routers").json["routers"]
    assert router["name"] == "auto_allocated_router"
    assert router["external_gateway_info"]["network_id"] == way_out["id"]
    (interface,) = alice.get(f"{V2}/ports?device_id={router['id']}").json["ports"]
    assert interface["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.7.0.1"}]
    # Asked for again, it is the same; "None" is what older clients call their own project.
    for again in (path(alice), f"{TOPOLOGY}/None"):
        assert alice.get(again).json["auto_allocated_topology"] == topology


@pytest.mark.parametrize(("length", "mode"), [(64, "slaac"), (96, "dhcpv6-stateful")])
def test_both_ip_versions_where_there_are_pools(admin, alice, way_out, pool, length, mode):
    make(admin, "subnetpool", name="6", prefixes=["fd07::/48"], default_prefixlen=length, **POOL)
    network_id = alice.get(path(alice)).json["auto_allocated_topology"]["id"]
    found = alice.get(f"{V2}/subnets?network_id={network_id}&sort_key=ip_version").json["subnets"]
    assert [each["name"][-2:] for each in found] == ["v4", "v6"]
    assert (found[1]["ipv6_ra_mode"], found[1]["ipv6_address_mode"]) == (mode, mode)
    (router,) = alice.get(f"{V2}/routers").json["routers"]
    assert len(alice.get(f"{V2}/ports?device_id={router['id']}").json["ports"]) == 2


def test_it_can_be_asked_beforehand(services, alice, rita, way_out, admin, refused):
    dry = f"{path(alice)}?fields=dry-run"
    assert "subnetpools" in refused(alice.get(dry), 409, "AutoAllocationFailure")
    make(admin, "subnetpool", name="p", prefixes=["10.7.0.0/16"], **POOL)
    expected = {
        "id": "dry-run=pass", "tenant_id": alice.project_id, "project_id": alice.project_id
    }  # fmt: skip
    assert alice.get(dry).json["auto_allocated_topology"] == expected
    assert rita.get(dry).json["auto_allocated_topology"] == expected
    body = {"network": {"is_default": False}}
    assert admin.put(f"{V2}/networks/{way_out['id']}", json=body).status_code == 200
    assert "router:external" in refused(alice.get(dry), 409, "AutoAllocationFailure")
    refused(alice.get(f"{path(alice)}?fields=id"), 400, "BadRequest")
    assert nothing_is_there(services, besides=1)


def test_pools_and_ways_out_of_other_projects_are_not_meant(admin, alice, bob, refused):
    outside = make(admin, "network", name="outside", is_default=True)
    make(admin, "subnet", network_id=outside["id"], cidr="10.91.1.0/24", enable_dhcp=False)
    share = {"object_type": "network", "object_id": outside["id"], "action": "access_as_external",
             "target_tenant": bob.project_id}  # fmt: skip
    assert admin.post(f"{V2}/rbac-policies", json={"rbac_policy": share}).status_code == 201
    own = {"is_default": True, "project_id": bob.project_id}
    make(admin, "subnetpool", name="p", prefixes=["10.7.0.0/16"], default_prefixlen=24, **own)
    assert "router:external" in refused(alice.get(path(alice)), 409, "AutoAllocationFailure")
    assert bob.get(path(bob)).status_code == 200


def test_all_is_made_or_nothing(services, settings, admin, alice, way_out, pool, refused):
    quota = f"{V2}/quotas/{alice.project_id}"
    for noun in ("network", "subnet", "router", "port"):
        assert admin.put(quota, json={"quota": {noun: 0}}).status_code == 200
        refused(alice.get(path(alice)), 409, "OverQuota")
        assert nothing_is_there(services, besides=1), noun
        admin.delete(quota)
    # Routers that leave through it can't tell this range from their own.
    body = {"subnetpool": {"is_default": False}}
    assert admin.put(f"{V2}/subnetpools/{pool['id']}", json=body).status_code == 200
    overlap = make(admin, "subnetpool", name="o", prefixes=["10.91.0.0/16"],
                   default_prefixlen=16, **POOL)  # fmt: skip
    assert "overlaps" in refused(alice.get(path(alice)), 409, "AutoAllocationFailure")
    assert nothing_is_there(services, besides=1)
    assert admin.delete(f"{V2}/subnetpools/{overlap['id']}").status_code == 204
    make(admin, "subnetpool", name="tiny", prefixes=["10.7.0.0/30"], default_prefixlen=30,
         default_quota=1, **POOL)  # fmt: skip
    assert alice.get(path(alice)).status_code == 409
    assert nothing_is_there(services, besides=1)


def test_it_is_deleted_at_once_or_not_at_all(services, alice, way_out, pool, refused):
    assert alice.delete(path(alice)).status_code == 204
    network_id = alice.get(path(alice)).json["auto_allocated_topology"]["id"]
    port = make(alice, "port", network_id=network_id)
    refused(alice.delete(path(alice)), 409, "NetworkInUse")
    (router,) = alice.get(f"{V2}/routers").json["routers"]
    assert router["external_gateway_info"] is not None
    assert len(alice.get(f"{V2}/ports?device_id={router['id']}").json["ports"]) == 1
    assert alice.delete(f"{V2}/ports/{port['id']}").status_code == 204
    assert alice.delete(path(alice)).status_code == 204
    assert nothing_is_there(services, besides=1)
    assert alice.get(path(alice)).json["auto_allocated_topology"]["id"] != network_id


def test_its_parts_are_the_projects_own(services, alice, way_out, pool):
    network_id = alice.get(path(alice)).json["auto_allocated_topology"]["id"]
    (router,) = alice.get(f"{V2}/routers").json["routers"]
    (subnet,) = alice.get(f"{V2}/subnets").json["subnets"]
    url = f"{V2}/routers/{router['id']}"
    assert change(alice, router, name="mine").status_code == 200
    taken = alice.put(f"{url}/remove_router_interface", json={"subnet_id": subnet["id"]})
    assert taken.status_code == 200
    assert alice.delete(url).status_code == 204
    assert alice.get(path(alice)).json["auto_allocated_topology"]["id"] == network_id
    assert alice.delete(f"{V2}/networks/{network_id}").status_code == 204
    assert alice.get(path(alice)).json["auto_allocated_topology"]["id"] != network_id


def test_who_may(admin, alice, bob, rita, way_out, pool, refused):
    refused(bob.get(path(alice)), 403, "PolicyNotAuthorized")
    refused(bob.delete(path(alice)), 403, "PolicyNotAuthorized")
    refused(rita.get(path(alice)), 403, "PolicyNotAuthorized")
    refused(admin.get(f"{TOPOLOGY}/{'0' * 32}"), 404, "HTTPNotFound")
    made = admin.get(path(alice)).json["auto_allocated_topology"]
    assert rita.get(path(alice)).json["auto_allocated_topology"] == made
    refused(rita.delete(path(alice)), 403, "PolicyNotAuthorized")
    (router,) = alice.get(f"{V2}/routers").json["routers"]
    assert router["project_id"] == alice.project_id
    assert admin.delete(path(alice)).status_code == 204


def test_of_many_at_once_one_makes_it(services, alice, way_out, pool):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(alice.get(path(alice)))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}, [each.text for each in answers]
    assert len({answer.json["auto_allocated_topology"]["id"] for answer in answers}) == 1
    assert len(alice.get(f"{V2}/routers").json["routers"]) == 1


def test_one_default_way_out_at_most(admin, way_out, refused):
    body = {"network": {"router:external": True, "is_default": True}}
    refused(admin.post(f"{V2}/networks", json=body), 409, "DefaultExternalNetworkExists")
    other = make(admin, "network", **{"router:external": True})
    url = f"{V2}/networks/{other['id']}"
    again = admin.put(url, json={"network": {"is_default": True}})
    refused(again, 409, "DefaultExternalNetworkExists")
    off = {"network": {"is_default": False}}
    assert admin.put(f"{V2}/networks/{way_out['id']}", json=off).status_code == 200
    assert admin.put(url, json={"network": {"is_default": True}}).status_code == 200


def test_a_server_that_asks_for_auto_gets_it(services, alice, boot, way_out, pool):
    (port,) = rows(services, boot("auto"))
    made = alice.get(path(alice)).json["auto_allocated_topology"]
    assert port.network_id == made["id"]
    (again,) = rows(services, boot("auto"))
    assert again.network_id == made["id"]
    # Before 2.37, none named means the only one there is; nothing is made.
    assert rows(services, boot())[0].network_id == made["id"]


def test_a_network_that_is_down_does_not_count_for_auto(
    services, alice, boot, way_out, pool, private, private_subnet
):
    assert rows(services, boot("auto"))[0].network_id == private["id"]
    body = {"network": {"admin_state_up": False}}
    assert alice.put(f"{V2}/networks/{private['id']}", json=body).status_code == 200
    (port,) = rows(services, boot("auto"))
    assert port.network_id == alice.get(path(alice)).json["auto_allocated_topology"]["id"]
