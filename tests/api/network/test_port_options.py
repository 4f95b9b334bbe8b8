"""Extra DHCP options, names in DNS and the binding of ports."""

import pytest

from controller.core import network_arguments, ports
from controller.core.context import Context
from controller.db.models import Host, Port, Server
from controller.errors import BadRequest

from .conftest import V2, make


def create(caller, network, **values):
    return caller.post(f"{V2}/ports", json={"port": {"network_id": network["id"], **values}})


def option(name, value, version=4):
    return {"opt_name": name, "opt_value": value, "ip_version": version}


def test_options_are_kept_changed_and_taken_away(alice, private):
    wanted = [
        {"opt_name": "mtu", "opt_value": "1400"},
        {"opt_name": "ntp-server", "opt_value": "10.0.0.7,10.0.0.8"},
        option("dns-server", "[fd00::7]", 6),
        option("150", "10.0.0.9"),
    ]
    port = make(alice, "port", network_id=private["id"], extra_dhcp_opts=wanted)
    assert sorted(port["extra_dhcp_opts"], key=lambda each: each["opt_name"]) == [
        option("150", "10.0.0.9"),
        option("dns-server", "[fd00::7]", 6),
        option("mtu", "1400"),
        option("ntp-server", "10.0.0.7,10.0.0.8"),
    ]
    path = f"{V2}/ports/{port['id']}"
    changes = [{"opt_name": "mtu", "opt_value": "1300"}, {"opt_name": "150", "opt_value": None}]
    changed = alice.put(path, json={"port": {"extra_dhcp_opts": changes}}).json["port"]
    assert option("mtu", "1300") in changed["extra_dhcp_opts"]
    assert len(changed["extra_dhcp_opts"]) == 3


@pytest.mark.parametrize(
    "bad",
    [
        option("mtu", "1400\ndhcp-script=/bin/sh"),
        option("mtu", "1400,6"),
        option("mtu", "much"),
        option("domain-name", 'a"b'),
        option("domain-name", "a\\b"),
        option("domain-name", "two words, and a comma"),
        option("domain-name", "b\u00fccher.example"),
        option("domain-name", ""),
        option("ntp-server", "here"),
        option("ntp-server", "fd00::1"),
        option("router", "10.0.0.1,,10.0.0.2"),
        option("dhcp-script", "/bin/sh"),
        option("tag:x,3", "1"),
        option("encap:175", "x"),
        option("53", "5"),
        option("0", "5"),
        option("999", "5"),
        option("mtu", "1400", 6),
    ],
)
def test_options_that_dnsmasq_would_take_for_something_else_are_refused(
    alice, private, bad, refused
):
    answer = create(alice, private, extra_dhcp_opts=[bad])
    assert answer.status_code == 400
    refused(answer, 400, answer.json["NeutronError"]["type"])
    assert alice.get(f"{V2}/ports").json["ports"] == []


def test_names_are_assigned_by_port_or_by_address(alice, private, private_subnet, refused):
    fixed_ips = [{"ip_address": "192.168.7.20"}]
    port = make(alice, "port", network_id=private["id"], fixed_ips=fixed_ips)
    assert port["dns_name"] == ""
    assert port["dns_assignment"] == [
        {
            "ip_address": "192.168.7.20",
            "hostname": "host-192-168-7-20",
            "fqdn": "host-192-168-7-20.openstacklocal.",
        }
    ]
    named = alice.put(f"{V2}/ports/{port['id']}", json={"port": {"dns_name": "Web1"}}).json["port"]
    assert named["dns_name"] == "web1"
    assert named["dns_assignment"][0]["fqdn"] == "web1.openstacklocal."
    assert len(alice.get(f"{V2}/ports?dns_name=web1").json["ports"]) == 1
    for bad in ("-x", "a b", "a\n", "x" * 64, "a..b", "{{ 7*7 }}", "a,b", "\u017f", "\u212a"):
        refused(create(alice, private, dns_name=bad), 400, "InvalidInput")


def test_a_servers_ports_bear_its_name(alice, services, settings, private, private_subnet):
    context = Context("req-1", user_id=alice.user_id, project_id=alice.project_id)
    kept = make(alice, "port", network_id=private["id"])
    other = make(alice, "port", network_id=private["id"], dns_name="db")
    with services.db.write() as session:
        host = Host(name="one", address="192.0.2.1")
        server = Server(
            project_id=context.project_id, user_id="u", name="s", hostname="web", flavor={},
            reservation_id="r-1",
        )  # fmt: skip
        session.add_all([host, server])
        session.flush()
        wanted = [{"uuid": private["id"]}, {"port": kept["id"]}]
        ports.prepare_for_servers(session, settings, context, [server], wanted, [])
        ports.bind(session, server.id, host.id)
        told = network_arguments.for_servers(session, [server.id])[server.id]["ports"]
        assert [(port["dns_name"], port["hostname"]) for port in told] == [("web", "web")] * 2
        # dnsmasq's file takes one label.
        ports.rename(session, server.id, "shop.example.org")
        told = network_arguments.for_servers(session, [server.id])[server.id]["ports"]
        assert {port["hostname"] for port in told} == {"shop"}
        ports.rename(session, server.id, "shop")
        with pytest.raises(BadRequest, match="dns_name"):
            ports.prepare_for_servers(
                session, settings, context, [server], [{"port": other["id"]}], []
            )
        ports.release(session, server.id)
        session.expire_all()
        assert session.get_one(Port, kept["id"]).dns_name == ""


def test_where_a_port_is_nobody_chooses(admin, alice, private, refused):
    assert create(admin, private, **{"binding:host_id": ""}).status_code == 201
    answer = create(admin, private, **{"binding:host_id": "one"})
    refused(answer, 400, "HTTPBadRequest")
    refused(create(alice, private, **{"binding:vnic_type": "direct"}), 400, "HTTPBadRequest")
    refused(create(admin, private, **{"binding:profile": {"a": 1}}), 400, "HTTPBadRequest")
