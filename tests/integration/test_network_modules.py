"""Networks and ports on a real host: DHCP, metadata, the packet filter, and what a delete leaves.

Guests are played by namespaces; see tests/fixtures/emulated_network.py.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import names
from tests.fixtures.emulated_network import (
    DHCP_SCRIPT,
    STATE_PATH,
    Host,
    Machine,
    Network,
    group,
    wait_until,
)

pytestmark = pytest.mark.lab


METADATA_SERVER = "/usr/local/lib/novella/metadata_server.py"
FOR_ALL_BRIDGES = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")


@dataclass
class World:
    """A network with two guests: `web`, whose groups let SSH in, and `db`, which lets web in."""

    host: Host
    network: Network
    filter: dict[str, Any]
    web_port: dict[str, Any]
    db_port: dict[str, Any]
    web: Machine
    db: Machine


@pytest.fixture(scope="module")
def host(lab_host: Any) -> Iterator[Host]:
    host = Host(lab_host)
    host.module("copy", {"content": DHCP_SCRIPT, "dest": host.dhcp_script, "mode": "0755"})
    # As operators have it who run other bridges: each network's own bridge has a switch of its own.
    host.run("sysctl", "-qw", *(f"{name}=0" for name in FOR_ALL_BRIDGES))
    yield host
    host.run("sysctl", "-qw", *(f"{name}=1" for name in FOR_ALL_BRIDGES))
    host.clean()


@pytest.fixture(scope="module")
def world(host: Host) -> Iterator[World]:
    network = Network(host)
    web_group = group({"direction": "ingress", "protocol": "tcp", "port_range_min": 22})
    db_group = group({"direction": "ingress", "remote_group_id": web_group["id"]})
    web_port = network.port(100, [web_group["id"]])
    db_port = network.port(101, [db_group["id"]])
    rules = {
        "ports": [web_port, db_port],
        "security_groups": [web_group, db_group],
        "remote_group_members": {web_group["id"]: ["10.99.7.100"]},
    }
    try:
        served = [*network.serve(web_port, "web"), *network.serve(db_port, "db")]
        # The rules first: the taps are not there yet.
        host.steps([*network.steps(), *served, ("port_filter", rules)])
        web, db = network.guest(web_port), network.guest(db_port)
        assert web.dhcp()
        assert db.dhcp()
        yield World(host, network, rules, web_port, db_port, web, db)
    finally:
        for machine in network.machines:
            machine.unplug()
        unserving = [*network.unserving(web_port), *network.unserving(db_port)]
        host.steps([*unserving, *network.removal()])


def test_dhcp_gives_address_mtu_routes_and_name(world: World) -> None:
    options = world.web.dhcp()
    assert options == {
        "ip": "10.99.7.100",
        "mtu": "1500",
        "router": "10.99.7.1",
        "dns": "192.0.2.53",
        "hostname": "web",
        "server": "10.99.7.2",
    }
    routes = world.web.run("ip", "route")
    assert "169.254.169.254 via 10.99.7.2" in routes
    assert "default via 10.99.7.1" in routes


def test_a_mac_without_a_reservation_gets_no_address(world: World) -> None:
    port = world.network.port(150, [])
    world.host.module("port_filter", {"ports": [{**port, "port_security_enabled": False}]})
    try:
        assert world.network.guest(port).dhcp() is None
    finally:
        world.host.module("port_filter", {"ports": [{"id": port["id"]}], "state": "absent"})


def test_metadata_is_told_apart_by_source_address(world: World) -> None:
    for guest, name in ((world.web, "web"), (world.db, "db")):
        status, body = guest.get("/openstack/latest/meta_data.json")
        assert (status, json.loads(body)["hostname"]) == (200, name)
        status, address = guest.get("/latest/meta-data/local-ipv4")
        assert address in guest.run("ip", "-4", "addr", "show", "dev", "eth0")


def test_metadata_listings_are_as_openstack_and_ec2_have_them(world: World) -> None:
    assert "latest" in world.web.get("/openstack/")[1].splitlines()
    assert "meta_data.json" in world.web.get("/openstack/latest")[1].splitlines()
    assert "public-keys/" in world.web.get("/latest/meta-data/")[1].splitlines()
    assert world.web.get("/latest/meta-data/public-keys/") == (200, "0=mine")
    assert world.web.get("/latest/user-data") == (200, "#!/bin/sh\n")


def test_metadata_trusts_no_header_and_takes_no_other_method(world: World) -> None:
    other = ("-H", "X-Forwarded-For: 10.99.7.101", "-H", "X-Instance-ID: x")
    assert '"web"' in world.web.get("/openstack/latest/meta_data.json", *other)[1]
    assert world.web.get("/latest/api/token", "-X", "PUT")[0] == 405
    assert world.web.get("/openstack/latest/../../../etc/passwd", "--path-as-is")[0] == 404
    assert world.web.get("/latest/" + "a" * 9000)[0] == 431


def test_ingress_is_closed_unless_a_rule_allows_it(world: World) -> None:
    for port in (22, 80):
        world.web.listen(port)
        world.db.listen(port)
    lan = world.network.lan
    wait_until(lambda: lan.connects("10.99.7.100", 22), "SSH to web")
    assert not lan.connects("10.99.7.100", 80)
    assert not lan.reaches("10.99.7.100")
    assert not lan.connects("10.99.7.101", 22)


def test_a_remote_group_lets_its_members_in(world: World) -> None:
    world.db.listen(5432)
    wait_until(lambda: world.web.connects("10.99.7.101", 5432), "web to db")
    assert not world.db.connects("10.99.7.100", 80)


def test_egress_works_and_its_replies_come_back(world: World) -> None:
    world.network.lan.listen(443)
    wait_until(lambda: world.db.connects("10.99.7.1", 443), "db to the network outside")
    assert world.web.reaches("10.99.7.1")


def test_a_spoofed_address_or_mac_is_dropped(world: World) -> None:
    assert world.web.reaches("10.99.7.1")
    world.web.run("ip", "addr", "add", "10.99.7.200/24", "dev", "eth0")
    ping = ["busybox", "ping", "-c", "2", "-W", "1"]
    spoofed = world.web.try_run(*ping, "-I", "10.99.7.200", "10.99.7.1")
    world.web.run("ip", "addr", "del", "10.99.7.200/24", "dev", "eth0")
    assert spoofed.returncode != 0
    assert "10.99.7.200" not in world.network.lan.run("ip", "neigh")
    world.web.run("ip", "link", "set", "eth0", "address", "fa:16:3e:99:07:ff")
    assert not world.web.reaches("10.99.7.1")
    # Not even learned: a guest must not draw another's frames to itself.
    learned = world.host.run("bridge", "fdb", "show", "br", world.network.bridge)
    assert "fa:16:3e:99:07:ff" not in learned
    world.web.run("ip", "link", "set", "eth0", "address", world.web_port["mac_address"])
    world.web.dhcp()
    assert world.web.reaches("10.99.7.1")


def test_a_tap_that_no_port_owns_passes_nothing(world: World) -> None:
    stranger = world.network.guest(world.network.port(160, []))
    stranger.have_address("10.99.7.160/24", gateway="10.99.7.2")
    assert not stranger.reaches("10.99.7.1")
    assert not stranger.reaches("10.99.7.2")
    assert stranger.get("/openstack/")[0] == 0


def test_each_host_serves_its_own_guests_alone(world: World) -> None:
    lan = world.network.lan
    assert not lan.reaches("10.99.7.2")
    assert lan.dhcp() is None
    lan.have_address("10.99.7.1/24", gateway="10.99.7.2")
    assert lan.get("/openstack/")[0] == 0
    # Somebody outside who takes our addresses gets nothing from our guests.
    lan.run("ip", "addr", "add", "10.99.7.2/24", "dev", "eth0")
    lan.run("ip", "addr", "add", "169.254.169.254/32", "dev", "eth0")
    try:
        assert world.db.get("/openstack/latest/meta_data.json")[0] == 200
        seen = world.db.run("ip", "neigh", "show", "10.99.7.2")
        assert "02:00:00:99:07:01" not in seen
    finally:
        lan.have_address("10.99.7.1/24")


def test_the_host_has_no_part_in_the_network(world: World) -> None:
    shown = json.loads(world.host.run("ip", "-j", "addr", "show", "dev", world.network.bridge))
    assert shown[0]["addr_info"] == []
    veth = names.veth_name(world.network.id)
    assert json.loads(world.host.run("ip", "-j", "addr", "show", "dev", veth))[0]["addr_info"] == []
    # A guest that sends to the bridge's own MAC reaches none of the host's other addresses.
    management = json.loads(world.host.run("ip", "-j", "-4", "addr", "show", "dev", "eth0"))
    address, bridge_mac = management[0]["addr_info"][0]["local"], shown[0]["address"]
    world.web.run("ip", "route", "add", f"{address}/32", "dev", "eth0")
    world.web.run("ip", "neigh", "replace", address, "lladdr", bridge_mac, "dev", "eth0")
    assert not world.web.reaches(address)
    world.web.run("ip", "neigh", "del", address, "dev", "eth0")
    assert not world.web.reaches(address)


def test_an_open_port_passes_everything_and_can_be_closed_again(world: World) -> None:
    opened = {**world.db_port, "port_security_enabled": False}
    assert world.host.module("port_filter", {**world.filter, "ports": [opened]})["changed"]
    assert world.network.lan.reaches("10.99.7.101")
    assert world.host.module("port_filter", world.filter)["changed"]
    assert not world.network.lan.reaches("10.99.7.101")


def test_a_second_run_changes_nothing(world: World) -> None:
    one_port = {**world.filter, "ports": [world.web_port]}
    again = [*world.network.steps(), ("port_filter", world.filter), ("port_filter", one_port)]
    assert [step["changed"] for step in world.host.steps(again)] == [False] * 4


def test_services_that_die_come_back(world: World) -> None:
    for service in (names.dhcp_service, names.metadata_service):
        name = service(world.network.id)
        folder = f"/run/service/novella-{name}"
        world.host.run("s6-svc", "-k", folder)
    wait_until(lambda: world.web.get("/openstack/")[0] == 200, "metadata again")
    wait_until(world.web.dhcp, "DHCP again")


def test_the_metadata_server_runs_as_a_user_of_its_own(world: World) -> None:
    service = f"/run/service/novella-{names.metadata_service(world.network.id)}"
    pid = world.host.run("s6-svstat", "-o", "pid", service).strip()
    assert world.host.run("ps", "-o", "user:20=", "-p", pid).strip() == "novella-metadata"
    folder = f"{STATE_PATH}/networks/{world.network.id}/metadata"
    assert world.host.run("stat", "-c", "%U %G %a", folder).split() == [
        *("root", "novella-metadata", "750")
    ]


def test_enrolment_that_brings_a_new_metadata_server_has_it_serve(world: World) -> None:
    service = f"/run/service/novella-{names.metadata_service(world.network.id)}"
    pid = world.host.run("s6-svstat", "-o", "pid", service)
    world.host.run("sh", "-c", f"echo '# an older one' >> {METADATA_SERVER}")
    lab = world.host.lab_host.lab
    for is_new in (True, False):
        done = lab.playbook("host_enroll", "-l", world.host.lab_host.name)
        assert done.returncode == 0, done.stdout + done.stderr
        now = world.host.run("s6-svstat", "-o", "pid", service)
        assert (now != pid) is is_new
        pid = now
    wait_until(lambda: world.web.get("/openstack/")[0] == 200, "metadata again")


def test_only_if_unused_keeps_a_network_with_ports(world: World) -> None:
    steps = world.host.steps(world.network.removal(only_if_unused=True))
    assert [step["changed"] for step in steps] == [False, False]


def test_what_a_host_lost_comes_back(world: World) -> None:
    """As after a boot, but with the old namespace's processes still there."""
    namespace = names.namespace_name(world.network.id)
    world.host.run("ip", "netns", "del", namespace)
    world.host.run("ip", "link", "del", names.veth_name(world.network.id))
    for port in (world.web_port, world.db_port):
        world.host.run("iptables", "-F", names.port_ingress_chain(port["id"]))
    assert world.web.get("/openstack/")[0] == 0
    lost = [*world.network.steps(), ("port_filter", world.filter)]
    assert [step["changed"] for step in world.host.steps(lost)] == [False, True, True]
    wait_until(world.web.dhcp, "DHCP again")
    assert world.web.get("/openstack/")[0] == 200
    assert not world.network.lan.reaches("10.99.7.101")


def test_an_address_goes_to_its_next_owner_at_once(world: World) -> None:
    first, second = world.network.port(120, []), world.network.port(121, [])
    second["fixed_ips"] = first["fixed_ips"]
    for port in (first, second):
        reservation = world.network.serve(port, "next")[0]
        world.host.steps([reservation, ("port_filter", {"ports": [port]})])
        guest = world.network.guest(port)
        try:
            options = guest.dhcp()
            assert options
            assert options["ip"] == "10.99.7.120"
        finally:
            guest.unplug()
            world.host.steps(world.network.unserving(port))


def test_check_mode_says_what_would_change_and_changes_nothing(host: Host) -> None:
    network = Network(host)
    try:
        before = host.everything()
        port = network.port(100, [])
        steps = [*network.steps(), *network.serve(port, "web"), ("port_filter", {"ports": [port]})]
        for module, args in steps:
            assert host.module(module, args, check=True)["changed"] is True, module
        assert host.everything() == before
    finally:
        network.lan.unplug()


def test_every_protocol_becomes_rules_that_iptables_takes_and_shows_alike(host: Host) -> None:
    """iptables prints many by name; read as a difference, each run would write them again."""
    numbers = [{"direction": "ingress", "protocol": str(number)} for number in range(256)]
    with_ports = [
        {"direction": "egress", "protocol": name, "port_range_min": 7, "port_range_max": 9}
        for name in ("tcp", "udp", "dccp", "sctp", "udplite", "icmp", "icmpv6")
    ]
    some = group(*numbers, *with_ports, {"direction": "egress", "protocol": "hopopt"})
    network = Network(host)
    rules = {"ports": [network.port(100, [some["id"]])], "security_groups": [some]}
    try:
        assert host.module("port_filter", rules)["changed"]
        again = host.module("port_filter", rules, check=True)
        assert not again["changed"], again["diff"]
    finally:
        host.module("port_filter", {**rules, "state": "absent"})
        network.lan.unplug()


def test_a_network_that_a_port_was_recorded_for_is_kept(host: Host) -> None:
    network = Network(host)
    port_id = str(uuid.uuid4())
    recorded = [(module, {**args, "port_ids": [port_id]}) for module, args in network.steps()]
    removal = network.removal(only_if_unused=True)
    own_removal = [(module, {**args, "port_ids": [port_id]}) for module, args in removal]
    try:
        steps = host.steps([*recorded, *removal, *own_removal])
        assert [step["changed"] for step in steps] == [True, True, False, False, True, True]
    finally:
        network.lan.unplug()


def test_what_a_failed_run_made_of_a_network_goes_again(world: World) -> None:
    host = world.host
    before = host.everything()
    network = Network(host)
    try:
        port = network.port(100, [])
        made = [(module, {**args, "port_ids": [port["id"]]}) for module, args in network.steps()]
        rules = ("port_filter", {"ports": [port]})
        fails = ("linux_bridge", {"name": "br0"})
        result = host.try_steps([*made, *network.serve(port, "web"), rules, fails], undo=True)
        assert [step["failed"] for step in result["steps"]] == [False] * 5 + [True]
        assert [undone["failed"] for undone in result["undone"]] == [False] * 5
        # A port that was served before keeps its network when a later run fails.
        host.steps([*made, *network.serve(port, "web"), rules])
        served = host.everything()
        result = host.try_steps([*made, *network.serve(port, "web"), rules, fails], undo=True)
        assert "undone" not in result
        assert host.everything() == served
        removal = network.removal(only_if_unused=True)
        own = [(module, {**args, "port_ids": [port["id"]]}) for module, args in removal]
        host.steps([*network.unserving(port), *own])
    finally:
        network.lan.unplug()
    assert host.everything() == before


def test_a_network_that_cannot_be_made_whole_leaves_no_part(world: World) -> None:
    host = world.host
    before = host.everything()
    network = Network(host)
    try:
        bridge, (module, args) = network.steps()
        # Found out when cable and rules are made already.
        wrong = {"port_ids": [str(uuid.uuid4())], "metadata_user": "nobody-has-this-name"}
        result = host.try_steps([bridge, (module, {**args, **wrong})])
        assert "nobody-has-this-name" in result["msg"]
        assert names.namespace_name(network.id) not in host.everything()
        [bridge_removed] = host.steps(network.removal(only_if_unused=True)[1:])
        assert bridge_removed["changed"]
    finally:
        network.lan.unplug()
    assert host.everything() == before


def test_a_service_that_cannot_start_fails_in_its_own_words_and_is_undone(host: Host) -> None:
    before = host.everything()
    network = Network(host)
    port_ids = [str(uuid.uuid4())]
    bridge, (module, args) = network.steps()
    try:
        # Supervised, it is started again each second, which alone would look like running.
        nobody = {"port_ids": port_ids, "dhcp_user": "nobody-has-this-name"}
        result = host.try_steps([bridge, (module, {**args, **nobody})])
        assert "unknown user or group: nobody-has-this-name" in result["msg"]
        assert names.namespace_name(network.id) not in host.everything()
        # One that died since is found out by the next run, though that has nothing to change.
        host.steps([bridge, (module, {**args, "port_ids": port_ids})])
        with port_80_taken(host, network):
            result = host.try_steps([bridge, (module, args)])
            assert "Address already in use" in result["msg"]
        assert not host.steps([bridge, (module, args)])[1]["changed"]
        host.steps([(name, {**a, "port_ids": port_ids}) for name, a in network.removal()])
    finally:
        network.lan.unplug()
    assert host.everything() == before


@contextlib.contextmanager
def port_80_taken(host: Host, network: Network) -> Iterator[None]:
    """Have another program in the network's namespace where its metadata server would be."""
    service = f"/run/service/novella-{names.metadata_service(network.id)}"
    holder = "import socket, time; s = socket.create_server(('', 80)); time.sleep(600)"
    enter = f"ip netns exec {names.namespace_name(network.id)}"
    host.run("s6-svc", "-wD", "-d", service)
    pid = host.run(
        "sh", "-c", f'{enter} python3 -c "{holder}" >/dev/null 2>&1 </dev/null & echo $!'
    ).strip()
    wait_until(lambda: ":80 " in host.run("sh", "-c", f"{enter} ss -Htln"), what="port 80 is taken")
    host.run("s6-svc", "-u", service)
    try:
        yield
    finally:
        host.run("kill", pid)


def test_a_network_removed_in_the_middle_of_a_run_is_made_again(host: Host) -> None:
    before = host.everything()
    network = Network(host)
    try:
        made, removed = network.steps(), network.removal()
        changed = [
            step["changed"] for step in host.steps([*made, *made, *removed, *made, *removed])
        ]
        assert changed == [True, True, False, False, *[True] * 6]
    finally:
        network.lan.unplug()
    assert host.everything() == before


def test_the_undo_of_a_failed_server_leaves_the_others_their_network(
    host: Host, tmp_path: Path
) -> None:
    before = host.everything()
    network = Network(host)
    items = [
        {"id": str(uuid.uuid4()), "port_ids": [str(uuid.uuid4())], "fails": fails}
        for fails in (True, False, True, False)
    ]
    tasks: list[dict[str, Any]] = [
        {"name": name, f"novella.cloud.{name}": {**args, "port_ids": "{{ server.port_ids }}"}}
        for name, args in network.steps()
    ]
    tasks.append(
        {"name": "Fail", "novella.cloud.linux_bridge": {"name": "br0"}, "when": "server.fails"}
    )
    path = tmp_path / "steps.yml"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    try:
        args = {"steps": str(path), "items": items, "undo_on_failure": True}
        results = host.lab_host.ansible("apply", args)["results"]
        assert [result["failed"] for result in results] == [True, False, True, False]
        changed = [[step["changed"] for step in result["steps"][:2]] for result in results]
        assert changed == [[True, True], [True, True], [False, False], [False, False]]
        assert names.namespace_name(network.id) in host.everything()
        own = [port_id for item in items for port_id in item["port_ids"]]
        host.steps([(name, {**a, "port_ids": own}) for name, a in network.removal(True)])
    finally:
        network.lan.unplug()
        for item in items:
            host.run("find", STATE_PATH, "-name", f"*{item['id']}*", "-delete")
    assert host.everything() == before


def test_a_removed_network_leaves_nothing(host: Host) -> None:
    before = host.everything()
    network = Network(host)
    try:
        remote = group()
        used = group({"direction": "ingress", "remote_group_id": remote["id"]})
        port = network.port(100, [used["id"]])
        rules = {"ports": [port], "security_groups": [used, remote]}
        host.steps([*network.steps(), *network.serve(port, "web"), ("port_filter", rules)])
        guest = network.guest(port)
        assert guest.dhcp()
        assert guest.get("/openstack/")[0] == 200
        guest.unplug()
        removal = [*network.unserving(port), *network.removal(only_if_unused=True)]
        assert [step["changed"] for step in host.steps(removal)] == [True] * 5
        assert [step["changed"] for step in host.steps(removal)] == [False] * 5
    finally:
        for machine in network.machines:
            machine.unplug()
    assert host.everything() == before
