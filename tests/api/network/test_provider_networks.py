"""What networks stand on: types, ids taken without a race, packets' sizes, and the driver."""

import threading
from dataclasses import replace

import pytest

from controller.core import segments
from controller.db.models import Network

from .conftest import V2, make

TYPE, PHYSICAL, ID = (
    f"provider:{name}" for name in ("network_type", "physical_network", "segmentation_id")
)


def create(caller, **values):
    return caller.post(f"{V2}/networks", json={"network": values})


def stands_on(network):
    return network[TYPE], network[PHYSICAL], network[ID], network["mtu"]


@pytest.fixture
def settings(settings):
    return replace(settings, vlan_ids={"physnet1": ["100-101"]}, vxlan_ids=("7-9",))


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({TYPE: "flat", PHYSICAL: "physnet1"}, ("flat", "physnet1", None, 1500)),
        ({PHYSICAL: "physnet1"}, ("flat", "physnet1", None, 1500)),
        ({TYPE: "vlan", PHYSICAL: "physnet2", ID: 4094}, ("vlan", "physnet2", 4094, 1500)),
        ({TYPE: "vlan", PHYSICAL: "physnet2", ID: "12"}, ("vlan", "physnet2", 12, 1500)),
        ({TYPE: "vxlan", ID: 16777215}, ("vxlan", None, 16777215, 1450)),
        ({TYPE: "vxlan", ID: 5000, "mtu": 1400}, ("vxlan", None, 5000, 1400)),
        ({TYPE: "local"}, ("local", None, None, 1500)),
    ],
)
def test_admins_say_what_a_network_stands_on(admin, asked, given):
    network = make(admin, "network", **asked)
    assert stands_on(network) == given
    assert network["network_driver"] == "bridge"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({TYPE: "gre"}, "flat"),
        ({TYPE: "{{ 7*7 }}"}, "vxlan"),
        ({TYPE: "flat"}, "needs provider:physical_network"),
        ({TYPE: "local", PHYSICAL: "physnet1"}, "has no provider:physical_network"),
        ({TYPE: "vxlan", PHYSICAL: "physnet1"}, "has no provider:physical_network"),
        ({PHYSICAL: "physnet1", ID: 5}, "not for flat"),
        ({TYPE: "local", ID: 5}, "not for local"),
        ({ID: 5}, "not for flat"),
        ({TYPE: "vlan", ID: 5}, "needs provider:physical_network"),
        ({TYPE: "vlan", PHYSICAL: "physnet1", ID: 0}, "1 to 4094"),
        ({TYPE: "vlan", PHYSICAL: "physnet1", ID: 4095}, "1 to 4094"),
        ({TYPE: "vlan", PHYSICAL: "physnet9"}, "vlan_ids"),
        ({TYPE: "vxlan", ID: 1 << 24}, "1 to 16777215"),
        ({TYPE: "vxlan", ID: "0x7"}, "expected a number"),
        ({TYPE: "vxlan", "mtu": 1500}, "1450 at most"),
        ({TYPE: "vxlan", "mtu": "5"}, "too small"),
        ({TYPE: "flat", PHYSICAL: "physnet1", "mtu": 1501}, "1500 at most"),
        ({"network_driver": "openvswitch"}, "bridge"),
    ],
)
def test_what_a_network_cannot_stand_on_is_refused(admin, asked, said, refused):
    assert said in refused(create(admin, **asked), 400, "InvalidInput")
    assert admin.get(f"{V2}/networks").json["networks"] == []


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({TYPE: "flat", PHYSICAL: "physnet1"}, "FlatNetworkInUse"),
        ({TYPE: "vlan", PHYSICAL: "physnet1", ID: 7}, "VlanIdInUse"),
        ({TYPE: "vxlan", ID: 7}, "TunnelIdInUse"),
    ],
)
def test_what_one_network_holds_no_other_gets(admin, asked, fault, refused):
    first = make(admin, "network", **asked)
    refused(create(admin, **asked), 409, fault)
    assert admin.delete(f"{V2}/networks/{first['id']}").status_code == 204
    make(admin, "network", **asked)


def test_the_same_vlan_of_two_physical_networks_is_two(admin):
    for physical in ("physnet1", "physnet2"):
        make(admin, "network", **{TYPE: "vlan", PHYSICAL: physical, ID: 7})


def test_ids_come_out_of_the_settings_until_they_are_used_up(admin, alice, refused):
    made = [make(alice, "network") for _ in range(3)]
    seen = admin.get(f"{V2}/networks?{TYPE}=vxlan").json["networks"]
    assert {network[ID] for network in seen} == {7, 8, 9}
    assert "in use" in refused(create(alice), 409, "NoNetworkAvailable")
    # One that an admin names lies outside of what is given out.
    make(admin, "network", **{TYPE: "vxlan", ID: 10})
    alice.delete(f"{V2}/networks/{made[0]['id']}")
    make(alice, "network")
    vlans = [make(admin, "network", **{TYPE: "vlan"}) for _ in range(2)]
    assert {network[ID] for network in vlans} == {100, 101}
    refused(create(admin, **{TYPE: "vlan", PHYSICAL: "physnet1"}), 409, "NoNetworkAvailable")


def test_of_many_that_race_for_the_last_ids_each_gets_another_or_none(admin, alice):
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(create(alice).status_code))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 201, 201, 409, 409, 409]
    seen = admin.get(f"{V2}/networks").json["networks"]
    assert {network[ID] for network in seen} == {7, 8, 9}


def test_the_one_free_id_among_many_is_found(services, settings, alice):
    wide = replace(settings, vxlan_ids=("1-2000",))
    with services.db.write() as session:
        session.add_all(
            Network(
                project_id=alice.project_id, network_type="vxlan", segmentation_id=number,
                segment=f"vxlan:{number}",
            )
            for number in range(1, 2001) if number != 1234
        )  # fmt: skip
        session.flush()
        network = Network(project_id=alice.project_id)
        segments.insert(session, wide, network)
        assert network.segmentation_id == 1234


def test_projects_networks_are_what_the_settings_say(admin, alice, services, refused):
    def say(**values):
        object.__setattr__(services, "settings", replace(services.settings, **values))

    say(tenant_network_type="vlan")
    network = make(alice, "network")
    shown = admin.get(f"{V2}/networks/{network['id']}").json["network"]
    assert stands_on(shown)[:2] == ("vlan", "physnet1")
    say(tenant_network_type="local")
    make(alice, "network")
    say(tenant_network_type="")
    refused(create(alice), 409, "NoNetworkAvailable")
    make(admin, "network", **{TYPE: "vxlan"})


def test_a_larger_packet_than_fits_is_refused_later_too(alice, private, refused):
    path = f"{V2}/networks/{private['id']}"
    refused(alice.put(path, json={"network": {"mtu": 1451}}), 400, "InvalidInput")
    assert alice.put(path, json={"network": {"mtu": 1400}}).json["network"]["mtu"] == 1400


@pytest.mark.parametrize("attribute", [{ID: 7}, {TYPE: "vxlan"}, {"network_driver": "bridge"}])
def test_tenants_choose_none_of_it(alice, attribute, refused):
    refused(create(alice, **attribute), 403, "PolicyNotAuthorized")
