"""RBAC policies: a network that is shared with one project, or with all, and for how long."""

import threading
from functools import partial

import pytest

from .conftest import V2, make

SHARED, EXTERNAL = "access_as_shared", "access_as_external"


def wanted(network, target, action=SHARED, **values):
    policy = {
        "object_type": "network", "object_id": network["id"], "action": action,
        "target_tenant": target, **values,
    }  # fmt: skip
    return {"rbac_policy": policy}


def post(caller, network, target, action=SHARED, **values):
    return caller.post(f"{V2}/rbac-policies", json=wanted(network, target, action, **values))


def test_a_network_is_shared_with_one_project(alice, bob, admin, private, private_subnet):
    assert bob.get(f"{V2}/networks/{private['id']}").status_code == 404
    answer = post(alice, private, bob.project_id)
    assert answer.status_code == 201, answer.text
    policy = answer.json["rbac_policy"]
    assert policy["project_id"] == alice.project_id
    seen = bob.get(f"{V2}/networks/{private['id']}").json["network"]
    assert seen["shared"] is True
    assert alice.get(f"{V2}/networks/{private['id']}").json["network"]["shared"] is False
    assert bob.get(f"{V2}/subnets/{private_subnet['id']}").status_code == 200
    assert len(bob.get(f"{V2}/networks?shared=true").json["networks"]) == 1
    assert bob.get(f"{V2}/networks?shared=false").json["networks"] == []
    port = make(bob, "port", network_id=private["id"])
    path = f"{V2}/rbac-policies/{policy['id']}"
    assert port["id"] in alice.delete(path).json["NeutronError"]["message"]
    assert alice.delete(path).json["NeutronError"]["type"] == "RbacPolicyInUse"
    bob.delete(f"{V2}/ports/{port['id']}")
    assert alice.delete(path).status_code == 204
    assert bob.get(f"{V2}/networks/{private['id']}").status_code == 404


def test_the_shared_attribute_is_a_policy_for_all(admin, bob, public):
    (policy,) = admin.get(f"{V2}/rbac-policies?action={SHARED}").json["rbac_policies"]
    assert (policy["object_id"], policy["target_tenant"]) == (public["id"], "*")
    external = admin.get(f"{V2}/rbac-policies?action={EXTERNAL}").json["rbac_policies"]
    assert len(external) == 1
    admin.put(f"{V2}/networks/{public['id']}", json={"network": {"shared": False}})
    assert bob.get(f"{V2}/networks/{public['id']}").json["network"]["shared"] is False
    assert admin.get(f"{V2}/rbac-policies?action={SHARED}").json["rbac_policies"] == []
    assert admin.delete(f"{V2}/networks/{public['id']}").status_code == 204
    assert admin.get(f"{V2}/rbac-policies").json["rbac_policies"] == []


def test_a_way_out_for_one_project(admin, alice, bob):
    network = make(admin, "network", name="out")
    assert post(admin, network, bob.project_id, EXTERNAL).status_code == 201
    seen = bob.get(f"{V2}/networks/{network['id']}").json["network"]
    assert (seen["router:external"], seen["shared"]) == (True, False)
    assert alice.get(f"{V2}/networks/{network['id']}").status_code == 404
    answer = bob.post(f"{V2}/ports", json={"port": {"network_id": network["id"]}})
    assert answer.status_code == 403


@pytest.fixture
def way_out(admin, bob):
    """An external network that project beta alone is told of, and the policy that tells it."""
    network = make(admin, "network", name="out")
    make(admin, "subnet", network_id=network["id"], cidr="10.91.1.0/24", enable_dhcp=False)
    policy = post(admin, network, bob.project_id, EXTERNAL).json["rbac_policy"]
    return network, f"{V2}/rbac-policies/{policy['id']}"


def leading_to(caller, network):
    """What asks for a router, and for a floating IP, of the network."""
    router = {"router": {"external_gateway_info": {"network_id": network["id"]}}}
    floating_ip = {"floatingip": {"floating_network_id": network["id"]}}
    return [
        caller.post(f"{V2}/routers", json=router),
        caller.post(f"{V2}/floatingips", json=floating_ip),
    ]


def test_a_way_out_is_used_by_the_project_it_is_for(alice, bob, way_out, refused):
    assert [each.status_code for each in leading_to(bob, way_out[0])] == [201, 201]
    for answer in leading_to(alice, way_out[0]):
        refused(answer, 404, "NetworkNotFound")
    assert alice.get(f"{V2}/routers").json["routers"] == []


@pytest.mark.parametrize(("noun", "which"), [("router", 0), ("floatingip", 1)])
def test_a_way_out_in_use_stays(admin, alice, bob, way_out, noun, which, refused):
    network, policy = way_out
    url = f"{V2}/networks/{network['id']}"
    made = leading_to(bob, network)
    for number, other in enumerate(("router", "floatingip")):
        if number != which:
            assert bob.delete(f"{V2}/{other}s/{made[number].json[other]['id']}").status_code == 204
    user = made[which].json[noun]
    assert user["id"] in refused(admin.delete(policy), 409, "RbacPolicyInUse")
    moved = {"rbac_policy": {"target_tenant": alice.project_id}}
    refused(admin.put(policy, json=moved), 409, "RbacPolicyInUse")
    closed = {"network": {"router:external": False}}
    refused(admin.put(url, json=closed), 409, "ExternalNetworkInUse")
    assert admin.get(url).json["network"]["router:external"] is True
    # What is open to all is open to it, by either kind of policy.
    assert admin.put(policy, json={"rbac_policy": {"target_tenant": "*"}}).status_code == 200
    shared = post(admin, network, bob.project_id, SHARED).json["rbac_policy"]
    assert admin.delete(policy).status_code == 204
    refused(admin.delete(f"{V2}/rbac-policies/{shared['id']}"), 409, "RbacPolicyInUse")
    assert bob.delete(f"{V2}/{noun}s/{user['id']}").status_code == 204
    assert admin.delete(f"{V2}/rbac-policies/{shared['id']}").status_code == 204
    assert admin.put(url, json=closed).status_code == 200


def at_once(*calls):
    """Return what all of these answered, begun together."""
    answers = []
    threads = [
        threading.Thread(target=lambda call: answers.append(call()), args=(call,)) for call in calls
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answer.status_code for answer in answers]


def test_nobody_begins_to_use_what_is_taken_back(admin, bob, way_out):
    """Whoever is first, a port has a share left, and a router a share of either kind."""
    network, _ = way_out
    port = {"port": {"network_id": network["id"]}}
    router = {"router": {"external_gateway_info": {"network_id": network["id"]}}}
    mine = f"{V2}/rbac-policies?target_tenant={bob.project_id}"
    for round_ in range(5):
        post(admin, network, bob.project_id, SHARED)
        post(admin, network, bob.project_id, EXTERNAL)
        policies = [each["id"] for each in admin.get(mine).json["rbac_policies"]]
        assert len(policies) == 2
        deletes = [partial(admin.delete, f"{V2}/rbac-policies/{each}") for each in policies]
        seen = at_once(
            partial(bob.post, f"{V2}/ports", json=port),
            partial(bob.post, f"{V2}/routers", json=router),
            *deletes,
        )
        assert max(seen) < 500, round_
        held = {each["action"] for each in admin.get(mine).json["rbac_policies"]}
        ports = bob.get(f"{V2}/ports").json["ports"]
        routers = bob.get(f"{V2}/routers").json["routers"]
        assert SHARED in held or not ports, (round_, held)
        assert held or not routers, (round_, held)
        for noun, rows in (("port", ports), ("router", routers)):
            for row in rows:
                assert bob.delete(f"{V2}/{noun}s/{row['id']}").status_code == 204


def test_a_network_that_is_external_no_more_is_nobodys_way_out(admin, alice, bob, way_out):
    url = f"{V2}/networks/{way_out[0]['id']}"
    # Said once more, it stays with whom it is.
    assert admin.put(url, json={"network": {"router:external": True}}).status_code == 200
    assert alice.get(url).status_code == 404
    assert bob.get(url).status_code == 200
    assert admin.put(url, json={"network": {"router:external": False}}).status_code == 200
    assert admin.get(f"{V2}/rbac-policies").json["rbac_policies"] == []
    assert bob.get(url).status_code == 404
    assert admin.put(url, json={"network": {"router:external": True}}).status_code == 200
    assert alice.get(url).status_code == 200


def test_routers_of_the_owner_need_no_share(admin, bob, public, public_subnet):
    assert [each.status_code for each in leading_to(admin, public)] == [201, 201]
    url = f"{V2}/networks/{public['id']}"
    assert admin.put(url, json={"network": {"shared": False}}).status_code == 200
    (policy,) = admin.get(f"{V2}/rbac-policies").json["rbac_policies"]
    assert admin.delete(f"{V2}/rbac-policies/{policy['id']}").status_code == 204
    assert bob.get(url).status_code == 404


def test_another_share_lets_ports_stay(admin, bob, public, public_subnet, refused):
    make(bob, "port", network_id=public["id"])
    body = {"network": {"shared": False}}
    answer = admin.put(f"{V2}/networks/{public['id']}", json=body)
    refused(answer, 409, "InvalidSharedSetting")
    assert post(admin, public, bob.project_id).status_code == 201
    assert admin.put(f"{V2}/networks/{public['id']}", json=body).status_code == 200


def test_a_policy_moves_to_another_project(alice, bob, private):
    policy = post(alice, private, "someone").json["rbac_policy"]
    path = f"{V2}/rbac-policies/{policy['id']}"
    changed = alice.put(path, json={"rbac_policy": {"target_tenant": bob.project_id}})
    assert changed.json["rbac_policy"]["target_tenant"] == bob.project_id
    assert bob.get(f"{V2}/networks/{private['id']}").status_code == 200


def test_what_is_refused(admin, alice, bob, private, public, refused):
    refused(post(alice, private, "*"), 403, "PolicyNotAuthorized")
    refused(post(alice, private, bob.project_id, EXTERNAL), 403, "PolicyNotAuthorized")
    refused(post(bob, private, bob.project_id), 404, "NetworkNotFound")
    refused(post(bob, public, bob.project_id), 403, "PolicyNotAuthorized")
    refused(post(alice, private, ""), 400, "InvalidInput")
    refused(post(alice, private, "x", "access_as_owner"), 400, "InvalidInput")
    refused(post(alice, private, "x", object_type="qos_policy"), 400, "InvalidInput")
    refused(post(alice, private, "x", colour="blue"), 400, "HTTPBadRequest")
    policy = post(alice, private, bob.project_id).json["rbac_policy"]
    refused(post(alice, private, bob.project_id), 409, "RbacPolicyAlreadyExists")
    path = f"{V2}/rbac-policies/{policy['id']}"
    refused(bob.get(path), 404, "RbacPolicyNotFound")
    refused(bob.delete(path), 404, "RbacPolicyNotFound")
    to_all = {"rbac_policy": {"target_tenant": "*"}}
    refused(alice.put(path, json=to_all), 403, "PolicyNotAuthorized")


@pytest.mark.parametrize("noun", ["network", "rbac_policy"])
def test_own_quotas(admin, alice, bob, private, noun, refused):
    path = f"{V2}/quotas/{alice.project_id}"
    refused(alice.put(path, json={"quota": {noun: 5}}), 403, "PolicyNotAuthorized")
    assert admin.put(path, json={"quota": {noun: 1}}).json["quota"][noun] == 1
    assert alice.get(path).json["quota"][noun] == 1
    assert bob.get(f"{V2}/quotas/{bob.project_id}").json["quota"][noun] > 1
    (listed,) = admin.get(f"{V2}/quotas").json["quotas"]
    assert (listed["project_id"], listed[noun]) == (alice.project_id, 1)
    assert bob.get(f"{V2}/quotas").json["quotas"] == []
    if noun == "network":
        answer = alice.post(f"{V2}/networks", json={"network": {}})
    else:
        assert post(alice, private, "one").status_code == 201
        answer = post(alice, private, "two")
    refused(answer, 409, "OverQuota")
    details = alice.get(f"{path}/details").json["quota"][noun]
    assert details == {"limit": 1, "used": 1, "reserved": 0}
    refused(admin.put(path, json={"quota": {noun: 0, "check_limit": True}}), 400, "InvalidInput")
    refused(admin.put(path, json={"quota": {"colour": 1}}), 400, "HTTPBadRequest")
    refused(admin.put(path, json={"quota": {noun: -2}}), 400, "HTTPBadRequest")
    assert admin.delete(path).status_code == 204
    assert alice.get(path).json["quota"][noun] > 1
