"""Ports: addresses and MACs without races, groups, pairs, and who may choose what."""

import threading

import pytest

from controller.core import addresses, network_arguments
from controller.db.models import IPAllocation, Port, Server, Subnet

from .conftest import V2, make


def create(caller, network, **values):
    return caller.post(f"{V2}/ports", json={"port": {"network_id": network["id"], **values}})


def ips(port):
    return [each["ip_address"] for each in port["fixed_ips"]]


def use(session, subnet, holder, positions):
    """Write the addresses at `positions` of 10.0.0.0 down as the port `holder`'s."""
    session.execute(
        IPAllocation.__table__.insert(),
        [
            {
                "subnet_id": subnet["id"],
                "ip_address": f"10.0.{position >> 8}.{position & 255}",
                "position": position,
                "port_id": holder,
            }
            for position in positions
        ],
    )


def test_a_port_gets_address_mac_and_the_default_group(alice, public, public_subnet):
    port = make(alice, "port", network_id=public["id"])
    assert len(ips(port)) == 1
    assert ips(port)[0].startswith("10.91.1.")
    assert port["mac_address"].startswith("fa:16:3e:")
    assert port["status"] == "DOWN"
    groups = alice.get(f"{V2}/security-groups?name=default").json["security_groups"]
    assert port["security_groups"] == [groups[0]["id"]]
    assert "binding:host_id" not in port


def test_operators_see_the_binding(admin, public, public_subnet):
    port = make(admin, "port", network_id=public["id"])
    assert port["binding:host_id"] == ""
    assert port["binding:vif_type"] == "unbound"


def test_a_network_without_a_subnet_gives_no_address(alice, private):
    assert make(alice, "port", network_id=private["id"])["fixed_ips"] == []


def test_chosen_addresses(alice, private, private_subnet, refused):
    port = make(
        alice,
        "port",
        network_id=private["id"],
        fixed_ips=[{"ip_address": "192.168.7.77"}, {"subnet_id": private_subnet["id"]}],
    )
    assert "192.168.7.77" in ips(port)
    assert len(ips(port)) == 2
    for taken in ("192.168.7.77", "192.168.7.1", "192.168.7.2"):
        answer = create(alice, private, fixed_ips=[{"ip_address": taken}])
        assert taken in refused(answer, 409, "IpAddressInUse")


@pytest.mark.parametrize(
    ("fixed_ips", "fault"),
    [
        ([{"ip_address": "10.9.9.9"}], "InvalidIpForNetwork"),
        ([{"ip_address": "192.168.7.255"}], "InvalidIpForSubnet"),
        ([{"ip_address": "192.168.7.0"}], "InvalidIpForSubnet"),
        ([{"ip_address": "192.168.7.9\n"}], "InvalidIpForSubnet"),
        ([{"ip_address": "fd00::1"}], "InvalidIpForNetwork"),
        ([{"ip_address": "fd00::1%eth0"}], "InvalidIpForSubnet"),
        ([{"subnet_id": "00000000-0000-0000-0000-000000000000"}], "InvalidInput"),
        ([{}], "HTTPBadRequest"),
        ([{"ip_address": 7}], "HTTPBadRequest"),
        ("192.168.7.9", "HTTPBadRequest"),
        ([{"ip_address": "192.168.7.9", "host": "x"}], "HTTPBadRequest"),
    ],
)
def test_addresses_that_cannot_be_are_refused(
    alice, private, private_subnet, fixed_ips, fault, refused
):
    refused(create(alice, private, fixed_ips=fixed_ips), 400, fault)
    assert len(alice.get(f"{V2}/ports").json["ports"]) == 1


def test_on_a_shared_network_only_its_owner_chooses(alice, public, public_subnet, refused):
    for values in (
        {"fixed_ips": [{"ip_address": "10.91.1.50"}]},
        {"mac_address": "fa:16:3e:00:00:01"},
        {"port_security_enabled": False},
        {"allowed_address_pairs": [{"ip_address": "10.91.1.9"}]},
        {"device_owner": "network:dhcp"},
        {"device_owner": "Network:dhcp"},
        {"device_owner": "COMPUTE:nova"},
        {"device_owner": "compute:nova", "device_id": "00000000-0000-0000-0000-000000000000"},
    ):
        refused(create(alice, public, **values), 403, "PolicyNotAuthorized")
    assert create(alice, public, fixed_ips=[{"subnet_id": public_subnet["id"]}]).status_code == 201


def test_an_external_network_that_is_not_shared_takes_no_ports(admin, alice, refused):
    network = make(admin, "network", **{"router:external": True})
    make(admin, "subnet", network_id=network["id"], cidr="10.0.0.0/24")
    refused(create(alice, network), 403, "NotAuthorized")
    assert alice.get(f"{V2}/subnets").json["subnets"] == []


def test_the_last_address_goes_to_one_of_those_who_race(alice, private, refused):
    make(alice, "subnet", network_id=private["id"], cidr="10.0.0.0/29", gateway_ip=None)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(create(alice, private))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Six addresses, one of which DHCP has.
    given = [ips(answer.json["port"])[0] for answer in answers if answer.status_code == 201]
    assert len(given) == len(set(given)) == 5
    for answer in answers:
        if answer.status_code != 201:
            refused(answer, 409, "IpAddressGenerationFailure")


def test_one_address_named_by_two_at_once_goes_to_one(alice, private, private_subnet):
    statuses = []

    def race():
        answer = create(alice, private, fixed_ips=[{"ip_address": "192.168.7.99"}])
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 409, 409, 409]


def test_a_full_subnet_leaves_the_next_one(alice, private):
    for cidr in ("10.0.0.0/30", "10.0.1.0/24"):
        make(alice, "subnet", network_id=private["id"], cidr=cidr, enable_dhcp=False)
    first, second = (ips(make(alice, "port", network_id=private["id"])) for _ in range(2))
    assert first == ["10.0.0.2"]
    assert second[0].startswith("10.0.1.")


@pytest.mark.parametrize("used", [10, 60_000])
def test_an_address_is_found_in_three_statements_however_many_are_used(
    services, alice, private, count_statements, used
):
    subnet = make(alice, "subnet", network_id=private["id"], cidr="10.0.0.0/16")
    holder = alice.get(f"{V2}/ports").json["ports"][0]["id"]
    with services.db.write() as session:
        # Position 2 is DHCP's.
        use(session, subnet, holder, range(3, 3 + used))
    with services.db.read() as session:
        row = session.get(Subnet, subnet["id"])
        for _ in range(20):
            with count_statements() as seen:
                position = addresses.find_free(session, row)
            assert 3 + used <= position <= 65_534
            assert len(seen) <= 3


def test_a_gap_is_found_among_many_by_a_statement_that_was_planned_for_few(
    services, alice, private
):
    # PostgreSQL keeps the plan of a statement that a connection has often sent.
    subnet = make(alice, "subnet", network_id=private["id"], cidr="10.0.0.0/16")
    holder = alice.get(f"{V2}/ports").json["ports"][0]["id"]
    with services.db.write() as session:
        row = session.get(Subnet, subnet["id"])
        row.allocation_pools = [{"start": "10.0.0.3", "end": "10.0.255.254"}]
        # Few enough that whichever are drawn, the look for a gap comes next.
        use(session, subnet, holder, range(3, 7))
        for _ in range(20):
            assert addresses._end_of_run(session, subnet["id"], 3, 65_534) == 7
        use(session, subnet, holder, range(7, 65_534))
        assert addresses._end_of_run(session, subnet["id"], 3, 65_534) == 65_534
        use(session, subnet, holder, [65_534])
        assert addresses.find_free(session, row) is None


def test_the_one_gap_of_a_dense_subnet_is_found(services, alice, private):
    subnet = make(alice, "subnet", network_id=private["id"], cidr="10.0.0.0/20")
    holder = alice.get(f"{V2}/ports").json["ports"][0]["id"]
    for gap in (3, 2000, 4094):
        with services.db.write() as session:
            session.execute(IPAllocation.__table__.delete().where(IPAllocation.position > 2))
            use(session, subnet, holder, [at for at in range(3, 4095) if at != gap])
            assert addresses.find_free(session, session.get(Subnet, subnet["id"])) == gap


def test_mac_addresses_are_single_in_a_network(alice, private, refused):
    mac = "fa:16:3e:00:00:01"
    port = make(alice, "port", network_id=private["id"], mac_address=mac.upper())
    assert port["mac_address"] == mac
    refused(create(alice, private, mac_address=mac), 409, "MacAddressInUse")
    other = make(alice, "port", network_id=private["id"])
    answer = alice.put(f"{V2}/ports/{other['id']}", json={"port": {"mac_address": mac}})
    refused(answer, 409, "MacAddressInUse")
    for bad in (
        "01:00:5e:00:00:01",
        "00:00:00:00:00:00",
        "x",
        "fa:16:3e:00:00:1",
        "fa:16:3e:00:0:\n",
    ):
        refused(create(alice, private, mac_address=bad), 400, "InvalidInput")


def test_groups_are_the_projects_own(alice, bob, private, refused):
    foreign = make(bob, "security_group", name="theirs")
    answer = create(alice, private, security_groups=[foreign["id"]])
    refused(answer, 404, "SecurityGroupNotFound")
    assert (
        make(alice, "port", network_id=private["id"], security_groups=[])["security_groups"] == []
    )


def test_groups_change(alice, private, refused):
    port = make(alice, "port", network_id=private["id"])
    group = make(alice, "security_group", name="web")
    path = f"{V2}/ports/{port['id']}"
    changed = alice.put(path, json={"port": {"security_groups": [group["id"], group["id"]]}})
    assert changed.json["port"]["security_groups"] == [group["id"]]
    refused(alice.delete(f"{V2}/security-groups/{group['id']}"), 409, "SecurityGroupInUse")
    answer = alice.put(path, json={"port": {"port_security_enabled": False}})
    refused(answer, 409, "PortSecurityPortHasSecurityGroup")
    opened = alice.put(path, json={"port": {"port_security_enabled": False, "security_groups": []}})
    assert opened.json["port"]["port_security_enabled"] is False
    answer = alice.put(path, json={"port": {"security_groups": [group["id"]]}})
    refused(answer, 400, "PortSecurityAndIPRequiredForSecurityGroups")


def test_address_pairs(alice, private, refused):
    pairs = [
        {"ip_address": "10.0.0.7/24"},
        {"ip_address": "10.0.0.9", "mac_address": "FA:16:3E:00:00:09"},
    ]
    port = make(alice, "port", network_id=private["id"], allowed_address_pairs=pairs)
    assert port["allowed_address_pairs"] == [
        {"ip_address": "10.0.0.0/24", "mac_address": port["mac_address"]},
        {"ip_address": "10.0.0.9", "mac_address": "fa:16:3e:00:00:09"},
    ]
    answer = create(alice, private, allowed_address_pairs=[{"ip_address": "x; rm -rf /"}])
    refused(answer, 400, "InvalidInput")
    answer = create(alice, private, allowed_address_pairs=pairs, port_security_enabled=False)
    refused(answer, 409, "AddressPairAndPortSecurityRequired")


def test_changed_addresses_keep_what_still_fits(alice, private, private_subnet):
    port = make(
        alice,
        "port",
        network_id=private["id"],
        fixed_ips=[{"ip_address": "192.168.7.20"}, {"ip_address": "192.168.7.21"}],
    )
    path = f"{V2}/ports/{port['id']}"
    wanted = [{"ip_address": "192.168.7.21"}, {"ip_address": "192.168.7.22"}]
    changed = alice.put(path, json={"port": {"fixed_ips": wanted}}).json["port"]
    assert ips(changed) == ["192.168.7.21", "192.168.7.22"]
    # The one that was given up is free again.
    again = [{"ip_address": "192.168.7.20"}]
    assert ips(make(alice, "port", network_id=private["id"], fixed_ips=again)) == ["192.168.7.20"]
    one = alice.put(path, json={"port": {"fixed_ips": [{"subnet_id": private_subnet["id"]}]}})
    assert ips(one.json["port"])[0] in ("192.168.7.21", "192.168.7.22")


def test_deleted_ports_free_their_address(alice, private, private_subnet):
    wanted = [{"ip_address": "192.168.7.20"}]
    for _ in range(2):
        port = make(alice, "port", network_id=private["id"], fixed_ips=wanted)
        assert alice.delete(f"{V2}/ports/{port['id']}").status_code == 204


def test_a_servers_port_is_not_taken_from_it(services, alice, private, private_subnet, refused):
    port = make(alice, "port", network_id=private["id"])
    with services.db.write() as session:
        row = session.get(Port, port["id"])
        row.device_id, row.device_owner = "server-1", "compute:nova"
    path = f"{V2}/ports/{port['id']}"
    assert "server-1" in refused(alice.delete(path), 409, "PortInUse")
    refused(alice.put(path, json={"port": {"device_id": ""}}), 409, "PortInUse")
    assert alice.put(path, json={"port": {"name": "still mine"}}).status_code == 200


def test_another_projects_port_is_absent(alice, bob, public, public_subnet, refused):
    port = make(alice, "port", network_id=public["id"])
    path = f"{V2}/ports/{port['id']}"
    refused(bob.get(path), 404, "PortNotFound")
    refused(bob.put(path, json={"port": {"name": "x"}}), 404, "PortNotFound")
    refused(bob.delete(path), 404, "PortNotFound")
    assert bob.get(f"{V2}/ports").json["ports"] == []


def test_filters(alice, private, private_subnet):
    port = make(alice, "port", network_id=private["id"], fixed_ips=[{"ip_address": "192.168.7.66"}])
    group = port["security_groups"][0]
    for query in (
        "fixed_ips=ip_address=192.168.7.66",
        f"fixed_ips=ip_address=192.168.7.66&fixed_ips=subnet_id={private_subnet['id']}",
        "fixed_ips=ip_address_substr=7.66",
        f"security_groups={group}",
        f"mac_address={port['mac_address']}",
        "device_owner=",
    ):
        found = alice.get(f"{V2}/ports?{query}").json["ports"]
        assert [each["id"] for each in found] == [port["id"]], query
    assert alice.get(f"{V2}/ports?fixed_ips=colour=blue").status_code == 400
    assert alice.get(f"{V2}/ports?binding:host_id=host1").status_code == 400


def test_quota(alice, private, settings, services, refused, monkeypatch):
    monkeypatch.setitem(settings.default_quota, "port", 1)
    make(alice, "port", network_id=private["id"])
    assert "port" in refused(create(alice, private), 409, "OverQuota")


@pytest.mark.parametrize("owner", ["Compute:nova", "compute:nova", "c\u00f6mpute:nova"])
def test_no_tenant_plugs_a_port_into_anothers_server(
    alice, bob, private, private_subnet, services, owner
):
    """Databases compare with LIKE in any case; what a server has is found by the owner."""
    with services.db.write() as session:
        server = Server(
            project_id=bob.project_id, user_id="u", name="s", hostname="s", flavor={},
            reservation_id="r-1",
        )  # fmt: skip
        session.add(server)
        session.flush()
    values = {"device_id": server.id, "device_owner": owner}
    assert create(alice, private, **values).status_code in (400, 403)
    port = make(alice, "port", network_id=private["id"], device_id=server.id)
    changed = alice.put(f"{V2}/ports/{port['id']}", json={"port": {"device_owner": owner}})
    assert changed.status_code in (400, 403)
    with services.db.read() as session:
        assert network_arguments.for_servers(session, [server.id])[server.id]["ports"] == []
