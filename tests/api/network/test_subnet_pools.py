"""Subnet pools: what is cut from them, never twice, and their address scopes."""

import threading

import pytest

from .conftest import V2, make


def create(caller, noun, **values):
    return caller.post(f"{V2}/{noun.replace('_', '-')}s", json={noun: values})


@pytest.fixture
def pool(alice):
    return make(
        alice, "subnetpool", name="p", prefixes=["10.8.0.0/16"], default_prefixlen="26",
        min_prefixlen=24,
    )  # fmt: skip


def test_a_pool_says_what_it_gives_out(alice, pool):
    lengths = pool["min_prefixlen"], pool["default_prefixlen"], pool["max_prefixlen"]
    assert lengths == (24, 26, 32)
    assert (pool["ip_version"], pool["is_default"], pool["shared"]) == (4, False, False)
    six = make(alice, "subnetpool", name="six", prefixes=["fd00:0:1::/48", "fd00::/48"])
    assert (six["min_prefixlen"], six["prefixes"]) == (64, ["fd00::/47"])


def test_subnets_are_cut_without_overlap(alice, private, pool, refused):
    def cut(**values):
        return create(alice, "subnet", network_id=private["id"], subnetpool_id=pool["id"], **values)

    first = cut().json["subnet"]
    assert (first["cidr"], first["subnetpool_id"]) == ("10.8.0.0/26", pool["id"])
    assert cut(prefixlen="24").json["subnet"]["cidr"] == "10.8.1.0/24"
    assert cut().json["subnet"]["cidr"] == "10.8.0.64/26"
    assert cut(cidr="10.8.9.0/24").json["subnet"]["cidr"] == "10.8.9.0/24"
    refused(cut(cidr="10.8.9.128/25"), 400, "SubnetAllocationError")
    refused(cut(cidr="10.9.0.0/24"), 400, "SubnetAllocationError")
    refused(cut(prefixlen=23), 400, "InvalidInput")
    refused(cut(prefixlen=26, cidr="10.8.3.0/26"), 400, "HTTPBadRequest")
    refused(cut(ip_version=6), 400, "HTTPBadRequest")
    message = refused(alice.delete(f"{V2}/subnetpools/{pool['id']}"), 400, "SubnetPoolDeleteError")
    held = alice.get(f"{V2}/subnets?subnetpool_id={pool['id']}").json["subnets"]
    assert len(held) == 4
    assert any(subnet["id"] in message for subnet in held)


def test_who_races_for_a_pool_gets_another_range(alice, pool):
    networks = [make(alice, "network")["id"] for _ in range(4)]
    cidrs = []

    def cut(network_id):
        answer = create(alice, "subnet", network_id=network_id, subnetpool_id=pool["id"])
        cidrs.append(answer.json["subnet"]["cidr"])

    threads = [threading.Thread(target=cut, args=(each,)) for each in networks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(cidrs)) == 4


def test_a_full_pool_and_a_projects_share_of_it(alice, private, refused):
    pool = make(
        alice, "subnetpool", name="p", prefixes=["10.8.0.0/25"], default_prefixlen=26,
        default_quota=64,
    )  # fmt: skip
    wanted = {"network_id": private["id"], "subnetpool_id": pool["id"]}
    make(alice, "subnet", **wanted)
    refused(create(alice, "subnet", **wanted), 409, "SubnetPoolQuotaExceeded")
    body = {"subnetpool": {"default_quota": None}}
    assert alice.put(f"{V2}/subnetpools/{pool['id']}", json=body).status_code == 200
    make(alice, "subnet", **wanted)
    refused(create(alice, "subnet", **wanted), 400, "SubnetAllocationError")


def test_the_default_pool_is_an_admins_and_the_only_one(admin, alice, private, refused):
    values = {"name": "d", "prefixes": ["10.8.0.0/16"], "min_prefixlen": 24}
    refused(create(alice, "subnetpool", **values, is_default=True), 403, "PolicyNotAuthorized")
    refused(create(alice, "subnetpool", **values, shared=True), 403, "PolicyNotAuthorized")
    wanted = {"network_id": private["id"], "use_default_subnetpool": True}
    refused(create(alice, "subnet", **wanted), 404, "SubnetPoolNotFound")
    pool = make(admin, "subnetpool", **values, is_default=True, shared=True)
    assert make(alice, "subnet", **wanted)["subnetpool_id"] == pool["id"]
    values["prefixes"] = ["10.9.0.0/16"]
    refused(create(admin, "subnetpool", **values, is_default=True), 400, "InvalidInput")
    assert alice.get(f"{V2}/subnetpools?shared=true").json["subnetpools"][0]["id"] == pool["id"]
    answer = alice.put(f"{V2}/subnetpools/{pool['id']}", json={"subnetpool": {"name": "mine"}})
    refused(answer, 403, "PolicyNotAuthorized")


def test_pools_of_a_scope_do_not_overlap(alice, bob, private, refused):
    scope = make(alice, "address_scope", name="s", ip_version=4)
    pool = make(
        alice, "subnetpool", name="p", prefixes=["10.8.0.0/16"], min_prefixlen=24,
        address_scope_id=scope["id"],
    )  # fmt: skip
    again = {"name": "q", "prefixes": ["10.8.4.0/24"], "address_scope_id": scope["id"]}
    refused(create(alice, "subnetpool", **again), 400, "AddressScopePrefixConflict")
    again["prefixes"] = ["fd00::/48"]
    refused(create(alice, "subnetpool", **again), 400, "InvalidInput")
    refused(create(bob, "subnetpool", **again), 404, "AddressScopeNotFound")
    make(alice, "subnet", network_id=private["id"], subnetpool_id=pool["id"])
    network = alice.get(f"{V2}/networks/{private['id']}").json["network"]
    assert (network["ipv4_address_scope"], network["ipv6_address_scope"]) == (scope["id"], None)
    path = f"{V2}/address-scopes/{scope['id']}"
    refused(alice.delete(path), 409, "AddressScopeInUse")
    refused(bob.get(path), 404, "AddressScopeNotFound")
    body = {"address_scope": {"name": "t"}}
    assert alice.put(path, json=body).json["address_scope"]["name"] == "t"


@pytest.mark.parametrize(
    "values",
    [
        {"prefixes": ["x"]},
        {"prefixes": ["10.0.0.1/8"]},
        {"prefixes": ["10.0.0.0/8", "fd00::/48"]},
        {"prefixes": []},
        {"prefixes": ["10.0.0.0/8"], "min_prefixlen": 33},
        {"prefixes": ["10.0.0.0/8"], "min_prefixlen": 25, "default_prefixlen": 24},
        {"prefixes": ["10.0.0.0/8"], "default_quota": -1},
        {"prefixes": ["10.0.0.0/8"], "colour": "blue"},
        {},
    ],
)
def test_what_is_no_pool_is_refused(alice, values):
    answer = create(alice, "subnetpool", name="p", **values)
    assert answer.status_code == 400, answer.text
    assert alice.get(f"{V2}/subnetpools").json["subnetpools"] == []


def test_prefixes_only_grow(alice, pool, refused):
    path = f"{V2}/subnetpools/{pool['id']}"
    wanted = {"subnetpool": {"prefixes": ["10.8.0.0/16", "10.9.0.0/16"]}}
    assert alice.put(path, json=wanted).json["subnetpool"]["prefixes"] == ["10.8.0.0/15"]
    less = {"subnetpool": {"prefixes": ["10.8.0.0/16"]}}
    refused(alice.put(path, json=less), 400, "InvalidInput")


def test_anothers_pool_is_absent(bob, pool, refused):
    path = f"{V2}/subnetpools/{pool['id']}"
    refused(bob.get(path), 404, "SubnetPoolNotFound")
    refused(bob.delete(path), 404, "SubnetPoolNotFound")
    assert bob.get(f"{V2}/subnetpools").json["subnetpools"] == []


def test_a_default_pool_that_is_not_shared_is_none_of_others(admin, alice, private, refused):
    make(admin, "subnetpool", name="d", prefixes=["10.8.0.0/16"], is_default=True)
    wanted = {"network_id": private["id"], "use_default_subnetpool": True, "prefixlen": 24}
    refused(create(alice, "subnet", **wanted), 404, "SubnetPoolNotFound")


def test_scopes_tell_nobody_of_others_pools(admin, alice, refused):
    for shared, status, fault in ((False, 404, "AddressScopeNotFound"),
                                  (True, 400, "AddressScopePrefixConflict")):  # fmt: skip
        scope = make(admin, "address_scope", name="s", ip_version=4, shared=shared)
        held = make(
            admin, "subnetpool", name="p", prefixes=["10.8.0.0/16"], address_scope_id=scope["id"]
        )
        mine = {"name": "p", "prefixes": ["10.0.0.0/8"], "address_scope_id": scope["id"]}
        message = refused(create(alice, "subnetpool", **mine), status, fault)
        assert held["id"] not in message
        assert "10.8.0.0" not in message


def test_a_shared_scope_stays_shared(admin, refused):
    scope = make(admin, "address_scope", name="s", ip_version=4, shared=True)
    path = f"{V2}/address-scopes/{scope['id']}"
    body = {"address_scope": {"name": "t", "shared": False}}
    refused(admin.put(path, json=body), 400, "AddressScopeUpdateError")
    body["address_scope"]["shared"] = True
    assert admin.put(path, json=body).json["address_scope"]["name"] == "t"
