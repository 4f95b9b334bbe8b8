"""IPv6: subnets and their modes, addresses that guests make themselves, both versions at once."""

import ipaddress

import pytest

from controller.db.models import Host, Operation, Port

from .conftest import V2, make

PREFIX = "fd00:7::/64"
MAC = "fa:16:3e:12:34:56"
OWN = "fd00:7::f816:3eff:fe12:3456"


def create(caller, noun, **values):
    return caller.post(f"{V2}/{noun}s", json={noun: values})


def ips(port):
    return {each["ip_address"] for each in port["fixed_ips"]}


@pytest.fixture
def subnet6(alice, private):
    """Give a subnet of IPv6 on the private network, by mode."""

    def give(mode=None, **values):
        modes = {"ipv6_ra_mode": mode, "ipv6_address_mode": mode} if mode else {}
        wanted = {"cidr": PREFIX, "ip_version": 6, **modes, **values}
        return make(alice, "subnet", network_id=private["id"], **wanted)

    return give


def test_defaults_follow_from_the_prefix(subnet6, alice):
    subnet = subnet6()
    assert subnet["gateway_ip"] == "fd00:7::1"
    pools = [{"start": "fd00:7::2", "end": "fd00:7::ffff:ffff:ffff:ffff"}]
    assert subnet["allocation_pools"] == pools
    assert (subnet["ip_version"], subnet["ipv6_ra_mode"]) == (6, None)
    dhcp = alice.get(f"{V2}/ports?device_owner=network:dhcp").json["ports"]
    assert [ips(port) for port in dhcp] == [{"fd00:7::2"}]


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless"])
def test_where_guests_make_their_addresses_ports_have_them(alice, private, subnet6, mode, refused):
    subnet = subnet6(mode)
    port = make(alice, "port", network_id=private["id"], mac_address=MAC)
    assert ips(port) == {OWN}
    answer = create(
        alice, "port", network_id=private["id"], fixed_ips=[{"ip_address": "fd00:7::99"}]
    )
    assert "automatic" in refused(answer, 400, "AllocationOnAutoAddressSubnet")
    named = make(
        alice, "port", network_id=private["id"], mac_address="fa:16:3e:00:00:02",
        fixed_ips=[{"subnet_id": subnet["id"]}],
    )  # fmt: skip
    assert ips(named) == {"fd00:7::f816:3eff:fe00:2"}


def test_with_dhcpv6_addresses_come_from_the_pools(alice, private, subnet6):
    pools = [{"start": "fd00:7::100", "end": "fd00:7::103"}]
    subnet6("dhcpv6-stateful", allocation_pools=pools)
    given = {*ips(make(alice, "port", network_id=private["id"]))}
    for _ in range(2):
        given |= ips(make(alice, "port", network_id=private["id"]))
    # One of the four is the DHCP server's.
    assert given == {"fd00:7::101", "fd00:7::102", "fd00:7::103"}
    full = create(alice, "port", network_id=private["id"])
    assert full.json["NeutronError"]["type"] == "IpAddressGenerationFailure"
    chosen = [{"ip_address": "FD00:7::FFFF:0:0:1"}]
    port = make(alice, "port", network_id=private["id"], fixed_ips=chosen)
    assert ips(port) == {"fd00:7::ffff:0:0:1"}


def test_a_port_has_an_address_of_each_version(alice, private, private_subnet, subnet6):
    subnet6("dhcpv6-stateful")
    port = make(alice, "port", network_id=private["id"])
    assert {ipaddress.ip_address(each).version for each in ips(port)} == {4, 6}
    # The guest takes its own address by the advertisements, whatever else it is given.
    make(
        alice, "subnet", network_id=private["id"], cidr="fd00:8::/64", ip_version=6,
        ipv6_ra_mode="slaac", ipv6_address_mode="slaac",
    )  # fmt: skip
    wanted = [{"ip_address": "192.168.7.50"}]
    other = make(alice, "port", network_id=private["id"], mac_address=MAC, fixed_ips=wanted)
    assert ips(other) == {"192.168.7.50", "fd00:8::f816:3eff:fe12:3456"}
    assert make(alice, "port", network_id=private["id"], fixed_ips=[])["fixed_ips"] == []


def test_a_prefix_that_comes_later_gives_the_ports_there_their_addresses(
    services, alice, private, private_subnet, subnet6
):
    port = make(alice, "port", network_id=private["id"], mac_address=MAC)
    with services.db.write() as session:
        host = Host(name="one", address="192.0.2.1")
        session.add(host)
        session.flush()
        session.get_one(Port, port["id"]).host_id = host.id
    subnet = subnet6("slaac")
    assert OWN in ips(alice.get(f"{V2}/ports/{port['id']}").json["port"])
    with services.db.read() as session:
        assert session.query(Operation).filter_by(kind="port_update").count() == 1
    assert alice.delete(f"{V2}/subnets/{subnet['id']}").status_code == 204
    assert OWN not in ips(alice.get(f"{V2}/ports/{port['id']}").json["port"])


def test_another_mac_address_makes_another_address(alice, private, private_subnet, subnet6):
    subnet6("slaac")
    port = make(alice, "port", network_id=private["id"])
    path = f"{V2}/ports/{port['id']}"
    changed = alice.put(path, json={"port": {"mac_address": MAC}}).json["port"]
    assert OWN in ips(changed)
    assert len(changed["fixed_ips"]) == 2
    wanted = {"fixed_ips": [{"ip_address": OWN.upper()}]}
    assert ips(alice.put(path, json={"port": wanted}).json["port"]) == {OWN}


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"cidr": "fd00::/129"}, "InvalidInput"),
        ({"cidr": "fd00::/127"}, "InvalidInput"),
        ({"cidr": "fd00::1/64"}, "InvalidInput"),
        ({"cidr": "fe80::/64"}, "InvalidInput"),
        ({"cidr": "ff02::/64"}, "InvalidInput"),
        ({"cidr": "::1/126"}, "InvalidInput"),
        ({"cidr": "::ffff:10.0.0.0/104"}, "InvalidInput"),
        ({"cidr": "10.0.0.0/24"}, "InvalidInput"),
        ({"gateway_ip": "fd00:8::1"}, "InvalidInput"),
        ({"gateway_ip": "fd00:7::"}, "InvalidInput"),
        ({"gateway_ip": "10.0.0.1"}, "InvalidInput"),
        ({"gateway_ip": "fd00:7::1%eth0"}, "InvalidInput"),
        ({"dns_nameservers": ["9.9.9.9"]}, "InvalidInput"),
        ({"host_routes": [{"destination": "10.0.0.0/8", "nexthop": "fd00:7::9"}]}, "InvalidInput"),
        ({"ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"}, "InvalidInput"),
        ({"ipv6_ra_mode": "slaac", "enable_dhcp": False}, "InvalidInput"),
        ({"ipv6_address_mode": "slaac", "cidr": "fd00:7::/80"}, "InvalidInput"),
        # dnsmasq starts with no shorter prefix.
        ({"ipv6_address_mode": "dhcpv6-stateful", "cidr": "fd00:7::/63"}, "InvalidInput"),
        ({"ipv6_ra_mode": "automatic"}, "HTTPBadRequest"),
        ({"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}, "InvalidAllocationPool"),
        ({"allocation_pools": [{"start": "fd00:7::ffff:0:0:1", "end": "fd00:7::ffff:0:0:2"}]},
         "InvalidAllocationPool"),
        ({"allocation_pools": [{"start": "fd00:7::5", "end": "fd00:8::5"}]},
         "OutOfBoundsAllocationPool"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(alice, private, values, fault, refused):
    wanted = {"cidr": PREFIX, "ip_version": 6, **values}
    refused(create(alice, "subnet", network_id=private["id"], **wanted), 400, fault)
    assert alice.get(f"{V2}/subnets").json["subnets"] == []


def test_dhcp_stays_on_while_a_mode_needs_it(alice, subnet6, refused):
    subnet = subnet6("slaac")
    path = f"{V2}/subnets/{subnet['id']}"
    refused(alice.put(path, json={"subnet": {"enable_dhcp": False}}), 400, "InvalidInput")
    refused(alice.put(path, json={"subnet": {"ipv6_ra_mode": None}}), 400, "HTTPBadRequest")


def test_address_pairs_of_both_versions(alice, private, refused):
    pairs = [{"ip_address": "fd00:9::5/64"}, {"ip_address": "10.0.0.9"}]
    port = make(alice, "port", network_id=private["id"], allowed_address_pairs=pairs)
    found = [pair["ip_address"] for pair in port["allowed_address_pairs"]]
    assert found == ["fd00:9::/64", "10.0.0.9"]


def test_filters_by_mode_and_version(alice, private_subnet, subnet6):
    subnet = subnet6("slaac")
    for query in ("ip_version=6", "ipv6_ra_mode=slaac", "ipv6_address_mode=slaac"):
        found = alice.get(f"{V2}/subnets?{query}").json["subnets"]
        assert [each["id"] for each in found] == [subnet["id"]], query


def test_ports_of_a_service_make_themselves_no_address(admin, alice, private, subnet6):
    subnet6("slaac")
    dhcp = alice.get(f"{V2}/ports?device_owner=network:dhcp").json["ports"]
    assert [ips(port) for port in dhcp] == [{"fd00:7::2"}]


def test_a_network_has_room_for_ipv6_or_none_of_it(alice, refused):
    """The kernel refuses IPv6 addresses where the MTU is smaller."""
    network = make(alice, "network", mtu=1279)
    path = f"{V2}/networks/{network['id']}"
    six = {"network_id": network["id"], "ip_version": 6, "cidr": PREFIX}
    refused(create(alice, "subnet", **six), 400, "InvalidInput")
    assert alice.put(path, json={"network": {"mtu": 1280}}).status_code == 200
    assert create(alice, "subnet", **six).status_code == 201
    message = refused(alice.put(path, json={"network": {"mtu": 1279}}), 400, "InvalidInput")
    assert "1280" in message
