"""Networks: what they stand on, who sees them, and how they change and go."""

import threading

import pytest

from .conftest import V2, make


def test_tenant_network_is_isolated_and_private(alice, bob, admin):
    network = make(alice, "network", name="mine")
    assert network["project_id"] == network["tenant_id"] == alice.project_id
    assert (network["shared"], network["router:external"]) == (False, False)
    assert network["status"] == "ACTIVE"
    assert network["subnets"] == network["tags"] == []
    assert "provider:network_type" not in network
    seen_by_admin = admin.get(f"{V2}/networks/{network['id']}").json["network"]
    assert seen_by_admin["provider:network_type"] == "vxlan"
    assert seen_by_admin["provider:physical_network"] is None
    assert 1 <= seen_by_admin["provider:segmentation_id"] <= 65535
    assert network["mtu"] == 1450
    assert bob.get(f"{V2}/networks/{network['id']}").status_code == 404
    assert bob.get(f"{V2}/networks").json == {"networks": []}


def test_flat_network_is_made_by_admins_and_seen_by_all(public, admin, alice, bob):
    assert public["provider:physical_network"] == "physnet1"
    for caller in (alice, bob):
        seen = caller.get(f"{V2}/networks/{public['id']}").json["network"]
        assert seen["router:external"] is True
        assert "provider:physical_network" not in seen
    assert len(bob.get(f"{V2}/networks?router:external=true&shared=1").json["networks"]) == 1


@pytest.mark.parametrize(
    "attribute",
    [
        {"shared": True},
        {"router:external": True},
        {"provider:network_type": "flat", "provider:physical_network": "physnet1"},
    ],
)
def test_only_admins_say_what_a_network_stands_on_and_who_shares_it(alice, attribute, refused):
    answer = alice.post(f"{V2}/networks", json={"network": attribute})
    message = refused(answer, 403, "PolicyNotAuthorized")
    assert f"create_network:{next(iter(attribute))}" in message


def test_defaults_written_out_are_no_privilege(alice):
    make(alice, "network", shared=False, **{"router:external": False})


def test_a_physical_network_has_one_flat_network(admin, public, refused):
    again = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}
    answer = admin.post(f"{V2}/networks", json={"network": again})
    assert "physnet1" in refused(answer, 409, "FlatNetworkInUse")
    admin.delete(f"{V2}/networks/{public['id']}")
    make(admin, "network", **again)


def test_of_two_that_race_for_a_physical_network_one_gets_it(admin):
    statuses = []

    def create():
        body = {"network": {"provider:physical_network": "physnet9"}}
        statuses.append(admin.post(f"{V2}/networks", json=body).status_code)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 409, 409, 409]


def test_update_changes_and_counts_revisions(alice, private):
    answer = alice.put(f"{V2}/networks/{private['id']}", json={"network": {"name": "other"}})
    assert answer.status_code == 200
    network = answer.json["network"]
    assert (network["name"], network["revision_number"]) == ("other", 1)


def test_a_network_that_is_only_shared_with_you_cannot_be_changed_by_you(alice, public, refused):
    answer = alice.put(f"{V2}/networks/{public['id']}", json={"network": {"name": "mine"}})
    refused(answer, 403, "PolicyNotAuthorized")
    refused(alice.delete(f"{V2}/networks/{public['id']}"), 403, "PolicyNotAuthorized")


def test_another_projects_network_is_absent_for_every_method(alice, bob, private, refused):
    path = f"{V2}/networks/{private['id']}"
    refused(bob.get(path), 404, "NetworkNotFound")
    refused(bob.put(path, json={"network": {"name": "x"}}), 404, "NetworkNotFound")
    refused(bob.delete(path), 404, "NetworkNotFound")
    subnet = {"network_id": private["id"], "cidr": "10.0.0.0/24"}
    refused(bob.post(f"{V2}/subnets", json={"subnet": subnet}), 404, "NetworkNotFound")


def test_readers_read(rita, private, refused):
    assert rita.get(f"{V2}/networks/{private['id']}").status_code == 200
    refused(rita.post(f"{V2}/networks", json={"network": {}}), 403, "PolicyNotAuthorized")
    refused(rita.delete(f"{V2}/networks/{private['id']}"), 403, "PolicyNotAuthorized")


def test_without_a_token_nothing_is_said(anonymous, refused):
    refused(anonymous.get(f"{V2}/networks"), 401, "HTTPUnauthorized")


def test_delete_takes_subnets_along_but_not_ports(alice, private, private_subnet, refused):
    port = make(alice, "port", network_id=private["id"])
    message = refused(alice.delete(f"{V2}/networks/{private['id']}"), 409, "NetworkInUse")
    assert port["id"] in message
    assert alice.delete(f"{V2}/ports/{port['id']}").status_code == 204
    assert alice.delete(f"{V2}/networks/{private['id']}").status_code == 204
    assert alice.get(f"{V2}/subnets/{private_subnet['id']}").status_code == 404
    assert alice.get(f"{V2}/ports").json["ports"] == []


def test_sharing_ends_only_without_foreign_ports(admin, alice, public, public_subnet, refused):
    port = make(alice, "port", network_id=public["id"])
    path, body = f"{V2}/networks/{public['id']}", {"network": {"shared": False}}
    refused(admin.put(path, json=body), 409, "InvalidSharedSetting")
    alice.delete(f"{V2}/ports/{port['id']}")
    assert admin.put(path, json=body).json["network"]["shared"] is False


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "network",
        {"network": []},
        {"network": {"name": 7}},
        {"network": {"name": "x" * 256}},
        {"network": {"admin_state_up": "perhaps"}},
        {"network": {"colour": "blue"}},
        {"network": {"id": "00000000-0000-0000-0000-000000000000"}},
        {"network": {"mtu": 1}},
        {"network": {}, "port": {}},
        {"networks": []},
        {},
    ],
)
def test_bodies_that_do_not_fit_are_refused(alice, body, refused):
    refused(alice.post(f"{V2}/networks", json=body), 400, "HTTPBadRequest")


def test_broken_json_is_refused(alice, refused):
    answer = alice.post(f"{V2}/networks", data=b"{", content_type="application/json")
    refused(answer, 400, "HTTPBadRequest")


@pytest.mark.parametrize(
    "text", ["{{ 7*7 }}", "a'\"b", "two\nlines", "<x>&amp;", "- yaml: !!x", ""]
)
def test_text_stays_text(alice, text):
    network = make(alice, "network", name=text, description=text)
    again = alice.get(f"{V2}/networks", query_string={"name": text}).json["networks"]
    assert [(each["id"], each["name"], each["description"]) for each in again] == [
        (network["id"], text, text)
    ]


def test_many_in_one_body_are_all_made_or_none(alice):
    answer = alice.post(f"{V2}/networks", json={"networks": [{"name": "a"}, {"name": "b"}]})
    assert [network["name"] for network in answer.json["networks"]] == ["a", "b"]
    networks = alice.get(f"{V2}/networks").json["networks"]
    subnets = [{"network_id": networks[0]["id"], "cidr": cidr} for cidr in ("10.1.0.0/24", "bad")]
    assert alice.post(f"{V2}/subnets", json={"subnets": subnets}).status_code == 400
    assert alice.get(f"{V2}/subnets").json["subnets"] == []


def test_admins_make_networks_for_others_and_members_do_not(admin, alice, bob, refused):
    network = make(admin, "network", project_id=bob.project_id)
    assert bob.get(f"{V2}/networks/{network['id']}").status_code == 200
    answer = alice.post(f"{V2}/networks", json={"network": {"tenant_id": bob.project_id}})
    refused(answer, 403, "PolicyNotAuthorized")
