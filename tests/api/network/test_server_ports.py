"""What servers get of ports, what hosts are told of it, and when they are told."""

import pytest

from controller.core import (
    network_arguments,
    port_records,
    ports,
    server_connections,
    server_list,
    server_security_groups,
)
from controller.core.server_needs import check_reach, segments_of
from controller.db.models import Host, IPAllocation, Network, Port, Router
from controller.errors import BadRequest, Conflict, Forbidden

from .conftest import V2, make


def shown(services, server_id):
    """What the server shows of its ports."""
    with services.db.read() as session:
        found = server_connections.of_servers(session, [server_id])
        return found.get(server_id, server_connections.NONE)


def rows(services, server_id):
    with services.db.read() as session:
        query = session.query(Port).filter(port_records.serving([server_id]))
        return query.order_by(Port.device_position).all()


def told(services, server_id):
    with services.db.read() as session:
        return network_arguments.for_servers(session, [server_id])[server_id]


def test_the_only_network_is_taken_when_none_is_named(services, boot, public, public_subnet):
    server_id = boot()
    (port,) = rows(services, server_id)
    assert (port.network_id, port.device_owner) == (public["id"], "compute:nova")
    assert port.made_by_server is True
    ((network, mac_address, ip_address, _),) = shown(services, server_id).addresses
    assert (network, mac_address) == ("public", port.mac_address)
    assert ip_address.startswith("10.91.1.")
    assert shown(services, server_id).security_groups == ["default"]


def test_a_server_shows_its_floating_ips(services, alice, boot, public, public_subnet, private,
                                          private_subnet):  # fmt: skip
    router = make(alice, "router", external_gateway_info={"network_id": public["id"]})
    path = f"{V2}/routers/{router['id']}/add_router_interface"
    assert alice.put(path, json={"subnet_id": private_subnet["id"]}).status_code == 200
    server_id = boot([{"uuid": private["id"]}])
    (port,) = rows(services, server_id)
    made = make(alice, "floatingip", floating_network_id=public["id"], port_id=port.id)
    fixed, floating = shown(services, server_id).addresses
    assert fixed == ("private", port.mac_address, made["fixed_ip_address"], "fixed")
    assert floating == ("private", port.mac_address, made["floating_ip_address"], "floating")


def test_several_networks_want_a_choice(boot, public, public_subnet, private, private_subnet):
    with pytest.raises(Conflict, match="Multiple possible networks found"):
        boot()


def test_without_a_network_a_server_has_no_ports_unless_it_demands_one(services, boot):
    assert rows(services, boot()) == rows(services, boot("none")) == []
    with pytest.raises(BadRequest, match="Unable to automatically allocate a network"):
        boot("auto")


def test_ports_come_in_the_order_asked_for(
    alice, services, boot, public, public_subnet, private, private_subnet
):
    # An address of its own: one drawn at random may be the one that is asked for below.
    address = [{"ip_address": "192.168.7.41"}]
    port = make(alice, "port", network_id=private["id"], security_groups=[], fixed_ips=address)
    server_id = boot(
        [
            {"uuid": public["id"]},
            {"port": port["id"]},
            {"uuid": private["id"], "fixed_ip": "192.168.7.42"},
        ]
    )
    found = shown(services, server_id).addresses
    assert [network for network, *_ in found] == ["public", "private", "private"]
    assert found[1][1] == port["mac_address"]
    assert found[2][2] == "192.168.7.42"
    assert [each.id for each in rows(services, server_id)][1] == port["id"]


def test_what_is_not_there_is_a_bad_request(alice, bob, boot, private, private_subnet):
    nobody = "00000000-0000-0000-0000-000000000000"
    other = make(bob, "network", name="theirs")
    foreign = make(bob, "port", network_id=other["id"])
    for networks in (
        [{"uuid": nobody}],
        [{"uuid": other["id"]}],
        [{"port": nobody}],
        [{"port": foreign["id"]}],
    ):
        with pytest.raises(BadRequest):
            boot(networks)
    with pytest.raises(BadRequest, match="Security group web not found"):
        boot(groups=["web"])


def test_a_network_without_a_subnet_cannot_boot_a_server(boot, private):
    with pytest.raises(BadRequest, match="requires a subnet"):
        boot([{"uuid": private["id"]}])


def test_a_port_serves_one_server(alice, boot, private, private_subnet):
    port = make(alice, "port", network_id=private["id"])
    boot([{"port": port["id"]}])
    with pytest.raises(Conflict, match="still in use"):
        boot([{"port": port["id"]}])
    other = make(alice, "port", network_id=private["id"])
    with pytest.raises(BadRequest, match="asked for twice"):
        boot([{"port": other["id"]}, {"port": other["id"]}])


def test_external_networks_that_are_not_shared_are_refused(admin, boot):
    network = make(admin, "network", **{"router:external": True})
    make(admin, "subnet", network_id=network["id"], cidr="10.0.0.0/24")
    with pytest.raises(Forbidden, match="external network"):
        boot([{"uuid": network["id"]}])


def test_addresses_of_others_networks_are_not_chosen(boot, public, public_subnet):
    with pytest.raises(Forbidden, match="fixed IP"):
        boot([{"uuid": public["id"], "fixed_ip": "10.91.1.77"}])


def test_groups_by_name_or_id_and_names_that_are_ambiguous(
    alice, services, boot, hosts, private, private_subnet
):
    web = make(alice, "security_group", name="web")
    server_id = boot(groups=["web", web["id"], "default"], host_id=hosts[0])
    assert shown(services, server_id).security_groups == ["default", "web"]
    (port,) = told(services, server_id)["ports"]
    assert len(port["security_groups"]) == 2
    make(alice, "security_group", name="web")
    with pytest.raises(Conflict, match="Multiple security groups"):
        boot(groups=["web"])


def test_a_deleted_server_leaves_only_ports_that_were_there_before(
    alice, services, boot, hosts, private, private_subnet
):
    kept = make(alice, "port", network_id=private["id"])
    server_id = boot([{"port": kept["id"]}, {"uuid": private["id"]}], host_id=hosts[0])
    with services.db.write() as session:
        ports.set_status(session, server_id, "ACTIVE")
    assert alice.get(f"{V2}/ports/{kept['id']}").json["port"]["status"] == "ACTIVE"
    with services.db.write() as session:
        ports.release(session, server_id)
    left = alice.get(f"{V2}/ports", query_string={"device_owner": ""}).json["ports"]
    assert [(port["id"], port["device_id"], port["status"]) for port in left] == [
        (kept["id"], "", "DOWN")
    ]
    assert alice.get(f"{V2}/ports").json["ports"][0]["id"]
    with services.db.read() as session:
        assert session.get(Port, kept["id"]).host_id is None


def test_hosts_are_told_all_of_a_servers_networks(
    admin, alice, services, boot, hosts, private, private_subnet
):
    seen = admin.get(f"{V2}/networks/{private['id']}").json["network"]
    overlay_id = seen["provider:segmentation_id"]
    default = alice.get(f"{V2}/security-groups?name=default").json["security_groups"][0]
    body = {
        "security_group_id": default["id"], "direction": "ingress", "protocol": "gre",
        "remote_ip_prefix": "10.0.0.0/8",
    }  # fmt: skip
    alice.post(f"{V2}/security-group-rules", json={"security_group_rule": body})
    server_id = boot([{"uuid": private["id"], "fixed_ip": "192.168.7.42"}], host_id=hosts[0])
    arguments = told(services, server_id)
    assert arguments["networks"] == [
        {
            "id": private["id"],
            "name": "private",
            "mtu": 1450,
            "network_type": "vxlan",
            "physical_network": None,
            "segmentation_id": overlay_id,
            "members": [
                {
                    "mac_address": arguments["ports"][0]["mac_address"],
                    "ip_addresses": ["192.168.7.42"],
                    "tunnel_ip": "192.0.2.1",
                }
            ],
            "peers": [],
            "subnets": [
                {
                    "id": private_subnet["id"],
                    "ip_version": 4,
                    "cidr": "192.168.7.0/24",
                    "gateway_ip": "192.168.7.1",
                    "dhcp_ip": "192.168.7.2",
                    "gateway_served": True,
                    "routed": False,
                    "enable_dhcp": True,
                    "ipv6_ra_mode": None,
                    "ipv6_address_mode": None,
                    "dns_nameservers": [],
                    "host_routes": [],
                }
            ],
        }
    ]
    (port,) = arguments["ports"]
    assert port["fixed_ips"] == [{"subnet_id": private_subnet["id"], "ip_address": "192.168.7.42"}]
    assert port["security_groups"] == [default["id"]]
    assert set(port) == {
        "id", "network_id", "network_driver", "mac_address", "tag", "fixed_ips",
        "extra_dhcp_opts", "dns_name", "hostname",
        "port_security_enabled", "allowed_address_pairs", "security_groups",
    }  # fmt: skip
    (group,) = arguments["security_groups"]
    assert len(group["rules"]) == 5
    assert {rule["protocol"] for rule in group["rules"]} == {None, "47"}
    assert arguments["remote_group_members"] == {default["id"]: ["192.168.7.42"]}


def test_hosts_are_told_where_the_members_of_an_overlay_are(
    services, boot, hosts, private, private_subnet
):
    first = boot(host_id=hosts[0])
    second = boot([{"uuid": private["id"], "fixed_ip": "192.168.7.42"}], host_id=hosts[1])
    ((seen,), (from_there,)) = (told(services, each)["networks"] for each in (first, second))
    assert seen["members"] == from_there["members"]
    assert (seen["peers"], from_there["peers"]) == (["192.0.2.2"], ["192.0.2.1"])
    macs = [member["mac_address"] for member in seen["members"]]
    assert macs == sorted(macs)
    there = [each for each in seen["members"] if each["tunnel_ip"] == "192.0.2.2"]
    assert [each["ip_addresses"] for each in there] == [["192.168.7.42"]]
    with services.db.write() as session:
        ports.unbind(session, second)
    (seen,) = told(services, first)["networks"]
    assert (len(seen["members"]), seen["peers"]) == (1, [])


def test_of_a_flat_network_hosts_learn_members_once_it_has_a_router(
    alice, services, boot, hosts, public, public_subnet
):
    server_id = boot(host_id=hosts[0])
    (seen,) = told(services, server_id)["networks"]
    assert (seen["network_type"], seen["members"], seen["peers"]) == ("flat", [], [])
    with services.db.write() as session:
        session.add(
            Port(
                network_id=public["id"], project_id="p", mac_address="fa:16:3e:00:00:01",
                device_owner="network:router_interface",
            )
        )  # fmt: skip
    (seen,) = told(services, server_id)["networks"]
    assert (len(seen["members"]), seen["peers"]) == (1, [])


def test_a_gateway_that_a_router_has_is_not_served(services, boot, hosts, private, private_subnet):
    server_id = boot(host_id=hosts[0])
    with services.db.write() as session:
        router = Router(project_id="p")
        session.add(router)
        session.flush()
        port = Port(
            network_id=private["id"], project_id="p", mac_address="fa:16:3e:00:00:01",
            device_id=router.id, device_owner="network:router_interface",
        )  # fmt: skip
        session.add(port)
        session.flush()
        session.add(
            IPAllocation(
                subnet_id=private_subnet["id"], ip_address="192.168.7.1", position=1,
                port_id=port.id,
            )
        )  # fmt: skip
    ((subnet,),) = (network["subnets"] for network in told(services, server_id)["networks"])
    assert (subnet["gateway_served"], subnet["routed"]) == (False, True)


@pytest.mark.parametrize(
    ("values", "facts", "said"),
    [
        ({"provider:network_type": "vlan", "provider:physical_network": "physnet2",
          "provider:segmentation_id": 7}, {}, "for VLANs of physical network physnet2"),
        ({"provider:network_type": "vlan", "provider:physical_network": "physnet1",
          "provider:segmentation_id": 7}, {"vlan": False}, "8021q"),
        ({"provider:physical_network": "physnet2"}, {}, "no interface into physical network"),
    ],
)  # fmt: skip
def test_a_card_on_what_its_host_cannot_carry_is_refused(
    admin, services, hosts, values, facts, said
):
    network = make(admin, "network", **values)
    port = make(admin, "port", network_id=network["id"])
    with services.db.write() as session:
        host = session.get_one(Host, hosts[0])
        host.variables = {"compute_flat_interfaces": {"physnet1": "eth1"}}
        host.facts = facts
    with services.db.read() as session:
        with pytest.raises(Conflict, match="does not carry it") as refusal:
            check_reach(session, hosts[0], session.get_one(Port, port["id"]))
        assert said in refusal.value.details["reason"]
        assert "physnet" not in refusal.value.message


def test_the_number_zero_is_any_protocol_to_hosts_and_hopopt_is_not(
    alice, services, boot, hosts, private, private_subnet
):
    group = make(alice, "security_group", name="odd")
    for protocol in ("hopopt", "0", "vrrp"):
        make(
            alice, "security_group_rule",
            security_group_id=group["id"], direction="ingress", protocol=protocol,
        )  # fmt: skip
    server_id = boot(groups=["odd"], host_id=hosts[0])
    (told_group,) = told(services, server_id)["security_groups"]
    ingress = [rule for rule in told_group["rules"] if rule["direction"] == "ingress"]
    assert {rule["protocol"] for rule in ingress} == {"hopopt", "0", "112"}


def test_members_are_ports_on_hosts_with_what_they_may_use(
    alice, services, boot, hosts, private, private_subnet
):
    make(alice, "port", network_id=private["id"], fixed_ips=[{"ip_address": "192.168.7.9"}])
    pairs = [{"ip_address": "10.5.0.0/16"}]
    port = make(
        alice, "port", network_id=private["id"], fixed_ips=[{"ip_address": "192.168.7.10"}],
        allowed_address_pairs=pairs,
    )  # fmt: skip
    server_id = boot([{"port": port["id"]}], host_id=hosts[0])
    other = boot([{"uuid": private["id"], "fixed_ip": "192.168.7.11"}], host_id=hosts[1])
    (members,) = told(services, other)["remote_group_members"].values()
    assert members == ["10.5.0.0/16", "192.168.7.10", "192.168.7.11"]
    with services.db.write() as session:
        ports.unbind(session, server_id)
    assert list(told(services, other)["remote_group_members"].values()) == [["192.168.7.11"]]


def test_a_port_on_no_host_is_told_to_nobody(services, boot, hosts, private, private_subnet):
    server_id = boot(host_id=hosts[0])
    with services.db.write() as session:
        ports.unbind(session, server_id)
    assert told(services, server_id)["ports"] == []


@pytest.mark.parametrize("noun", ["port", "network"])
def test_what_is_set_down_is_shut(alice, services, boot, hosts, private, private_subnet, noun):
    server_id = boot(host_id=hosts[0])
    (port,) = told(services, server_id)["ports"]
    down = {"port": port["id"], "network": private["id"]}[noun]
    alice.put(f"{V2}/{noun}s/{down}", json={noun: {"admin_state_up": False}})
    (port,) = told(services, server_id)["ports"]
    assert (port["port_security_enabled"], port["security_groups"]) == (True, [])


def test_arguments_cost_the_same_statements_for_any_number_of_servers(
    services, boot, hosts, private, private_subnet, count_statements
):
    server_ids = [boot(host_id=hosts[0]) for _ in range(10)]
    costs = []
    for some in (server_ids[:1], server_ids):
        with services.db.read() as session, count_statements() as seen:
            assert len(network_arguments.for_servers(session, some)) == len(some)
            costs.append(len(seen))
    assert costs[0] == costs[1] <= 12


def test_other_hosts_learn_of_new_and_lost_members(
    services, boot, hosts, waiting, private, private_subnet
):
    first = boot(host_id=hosts[0])
    assert waiting() == []
    second = boot(host_id=hosts[1])
    assert waiting() == [hosts[0]]
    with services.db.write() as session:
        ports.release(session, second)
    assert waiting() == [hosts[0]]
    with services.db.write() as session:
        ports.bind(session, first, hosts[1])
    assert waiting() == [hosts[0]]


def test_a_host_learns_of_new_members_that_only_its_other_servers_rules_name(
    alice, services, boot, hosts, waiting, private, private_subnet
):
    """The play that plugs a server in knows of the groups that its own rules name, no others."""
    groups = {
        name: alice.post(f"{V2}/security-groups", json={"security_group": {"name": name}}).json[
            "security_group"
        ]["id"]
        for name in ("web", "db")
    }
    rule = {"security_group_id": groups["db"], "direction": "ingress"}
    rule["remote_group_id"] = groups["web"]
    answer = alice.post(f"{V2}/security-group-rules", json={"security_group_rule": rule})
    assert answer.status_code == 201
    boot(groups=["db"], host_id=hosts[0])
    assert waiting() == []
    boot(groups=["web"], host_id=hosts[0])
    assert waiting() == [hosts[0]]
    boot(groups=["db"], host_id=hosts[1])
    assert waiting() == []


def test_one_update_of_a_host_waits_at_a_time(
    alice, services, boot, hosts, waiting, private, private_subnet
):
    boot(host_id=hosts[0])
    boot(host_id=hosts[1])
    waiting()
    group = alice.get(f"{V2}/security-groups?name=default").json["security_groups"][0]
    rules = [
        {"security_group_id": group["id"], "direction": "ingress", "protocol": protocol}
        for protocol in ("tcp", "udp", "icmp")
    ]
    body = {"security_group_rules": rules}
    assert alice.post(f"{V2}/security-group-rules", json=body).status_code == 201
    assert waiting() == sorted(hosts)
    rule = group["security_group_rules"][0]["id"]
    alice.delete(f"{V2}/security-group-rules/{rule}")
    assert waiting() == sorted(hosts)


def test_a_changed_port_is_told_to_its_host(
    alice, services, boot, hosts, waiting, private, private_subnet, refused
):
    server_id = boot(host_id=hosts[0])
    waiting()
    port_id = rows(services, server_id)[0].id
    path = f"{V2}/ports/{port_id}"
    alice.put(path, json={"port": {"security_groups": []}})
    assert waiting() == [hosts[0]]
    for change in ({"fixed_ips": []}, {"mac_address": "fa:16:3e:00:00:01"}):
        refused(alice.put(path, json={"port": change}), 409, "PortBound")
    assert waiting() == []


def test_a_tenant_cannot_put_its_port_on_anothers_server(
    admin, alice, bob, services, boot, hosts, public, public_subnet
):
    server_id = boot([{"uuid": public["id"]}], host_id=hosts[0])
    group = make(bob, "security_group", name="trap")
    own = make(bob, "network", name="bobs")
    make(bob, "subnet", network_id=own["id"], cidr="172.16.5.0/24")
    for network in (public, own):
        port = {
            "network_id": network["id"], "device_id": server_id, "security_groups": [group["id"]],
        }  # fmt: skip
        assert bob.post(f"{V2}/ports", json={"port": port}).status_code == 201
    assert len(shown(services, server_id).addresses) == 1
    assert shown(services, server_id).security_groups == ["default"]
    assert len(told(services, server_id)["ports"]) == 1
    with services.db.read() as session:
        groups = server_security_groups.of_server(session, server_id)
        assert [group.name for group, _ in groups] == ["default"]
        at_bobs = server_list.Filters(None, conditions=[server_list.has_address("^172", 4)])
        assert server_list.list_servers(session, at_bobs) == []


def test_a_tenant_cannot_send_anothers_server_elsewhere(bob, services, boot, public, public_subnet):
    """The physical networks of its ports say which hosts can take a server."""
    server_id = boot([{"uuid": public["id"]}])
    with services.db.write() as session:
        elsewhere = Network(project_id=bob.project_id, physical_network="physnet9")
        session.add(elsewhere)
        session.flush()
        session.add(
            Port(
                network_id=elsewhere.id, project_id=bob.project_id, device_id=server_id,
                mac_address="fa:16:3e:00:00:09",
            )
        )  # fmt: skip
        session.flush()
        assert segments_of(session, server_id).flat == {"physnet1"}
