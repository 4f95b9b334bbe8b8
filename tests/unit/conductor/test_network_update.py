"""network_update: the hosts follow their networks, routers and floating IPs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from controller.core import (
    floating_ips,
    network_arguments,
    network_updates,
    networks,
    ports,
    router_arguments,
    router_interfaces,
    routers,
    subnets,
)
from controller.core.context import Context
from controller.db.models import (
    AgentGateway,
    FloatingIP,
    Host,
    IPAllocation,
    Network,
    Port,
    Router,
    Subnet,
    SubnetPool,
)
from tests.unit.conductor.conftest import CONTEXT, Cloud
from tests.unit.conductor.killing import kill_at, moments_of, name_of

ADMIN = Context("req-test", user_id="u" * 32, project_id=CONTEXT.project_id, is_admin=True)


@dataclass
class Fabric:
    """Two overlay networks, `blue` and `red`, behind one router that leads to `outside`."""

    cloud: Cloud
    first: str
    second: str
    networks: dict[str, str]
    subnet_ids: dict[str, str]
    router_id: str

    def server_on(self, name: str, host_id: str, address: str) -> str:
        """Return the port of a new server's on network `name`, bound to the host."""
        server_id = self.cloud.add_server()
        with self.cloud.db.write() as session:
            port = Port(
                network_id=self.networks[name], project_id=CONTEXT.project, device_id=server_id,
                device_owner="compute:nova", mac_address=f"fa:16:3e:00:00:{address[-2:]}",
            )  # fmt: skip
            session.add(port)
            session.flush()
            allocation = IPAllocation(
                subnet_id=self.subnet_ids[name], ip_address=address, port_id=port.id,
                position=int(address.rpartition(".")[2]),
            )  # fmt: skip
            session.add(allocation)
            session.flush()
            ports.bind(session, server_id, host_id)
            return port.id

    def settle(self) -> None:
        """Have everything done that waits, servers' own plays left out."""
        for operation in self.cloud.operations(kind="server_create", state="queued"):
            with self.cloud.db.write() as session:
                session.merge(operation).state = "succeeded"
        self.cloud.clock.advance(network_updates.GATHER_S + 1)
        self.cloud.work()

    def told(self, name: str) -> Mapping[str, Any]:
        """Return what the host was told last."""
        runs = [
            run.arguments
            for run in self.cloud.executor.runs
            if run.playbook == "network_update" and run.hosts[0].name == name
        ]
        return runs[-1]


@pytest.fixture
def fabric(cloud: Cloud) -> Fabric:
    hosts = cloud.add_host("h1"), cloud.add_host("h2")
    networks, subnet_ids = {}, {}
    with cloud.db.write() as session:
        for number, host_id in enumerate(hosts, 1):
            session.get_one(Host, host_id).tunnel_ip = f"10.90.0.{number}"
        for number, name in enumerate(("blue", "red", "outside")):
            network = Network(
                project_id=CONTEXT.project, name=name, mtu=1450,
                network_type="flat" if name == "outside" else "vxlan",
                physical_network="physnet1" if name == "outside" else None,
                segmentation_id=None if name == "outside" else 100 + number,
                external=name == "outside",
            )  # fmt: skip
            session.add(network)
            session.flush()
            subnet = subnets.create(
                session, cloud.settings, network, CONTEXT.project, {"cidr": f"10.{number}.0.0/24"}
            )
            networks[name], subnet_ids[name] = network.id, subnet.id
        router = routers.create(
            session, cloud.settings, ADMIN, CONTEXT.project,
            {"external_gateway_info": {"network_id": networks["outside"]}},
        )  # fmt: skip
        for name in ("blue", "red"):
            router_interfaces.add_subnet(session, cloud.settings, ADMIN, router, subnet_ids[name])
        router_id = router.id
    return Fabric(cloud, *hosts, networks, subnet_ids, router_id)


def test_a_host_learns_of_members_elsewhere(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    fabric.server_on("red", fabric.second, "10.1.0.22")
    fabric.settle()
    told = fabric.told("h1")
    assert [each["id"] for each in told["networks"]] == [fabric.networks["blue"]]
    (router,) = told["routers"]
    assert {each["network"]["id"] for each in router["interfaces"]} == {
        fabric.networks["blue"],
        fabric.networks["red"],
    }
    by_network = {each["network"]["id"]: each for each in router["interfaces"]}
    red = by_network[fabric.networks["red"]]
    assert red["ip_addresses"] == [{"ip_address": "10.1.0.1", "cidr": "10.1.0.0/24"}]
    assert red["network"]["peers"] == ["10.90.0.2"]
    assert [each["ip_addresses"] for each in red["network"]["members"]] == [["10.1.0.22"]]


def test_a_subnet_is_routed_while_its_router_is_up(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    for is_up in (True, False):
        with fabric.cloud.db.write() as session:
            session.get_one(Router, fabric.router_id).admin_state_up = is_up
            ((subnet,),) = [
                network["subnets"]
                for network in router_arguments.of_host(session, fabric.first)["networks"]
            ]
        assert (subnet["routed"], subnet["gateway_served"]) == (is_up, False)


def test_of_ipv6_only_ranges_of_the_operators_pools_are_seen_outside(fabric: Fabric) -> None:
    """All tenants' are routed in one table of the host, and any of them could choose another's."""
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    settings, project = fabric.cloud.settings, CONTEXT.project
    with fabric.cloud.db.write() as session:
        ranges = {"own": "2001:db8:1::/48", "given": "2001:db8:2::/48"}
        pools = {
            name: SubnetPool(
                project_id=project, name=name, ip_version=6, prefixes=[prefix], min_prefixlen=64,
                default_prefixlen=64, max_prefixlen=64, shared=name == "given",
            )
            for name, prefix in ranges.items()
        }  # fmt: skip
        session.add_all(pools.values())
        session.flush()
        wanted: list[tuple[dict[str, Any], SubnetPool | None]] = [
            ({"cidr": "2000::/3"}, None), ({}, pools["own"]), ({}, pools["given"]),
        ]  # fmt: skip
        router = session.get_one(Router, fabric.router_id)
        for number, (values, pool) in enumerate(wanted):
            network = Network(
                project_id=project, name=f"six{number}", mtu=1450, network_type="vxlan",
                segmentation_id=200 + number,
            )  # fmt: skip
            session.add(network)
            session.flush()
            subnet = subnets.create(
                session, settings, network, project, {"ip_version": 6, **values}, pool
            )
            if number:
                router_interfaces.add_subnet(session, settings, ADMIN, router, subnet.id)
            else:
                other = routers.create(
                    session, settings, ADMIN, project,
                    {"external_gateway_info": {"network_id": fabric.networks["outside"]}},
                )  # fmt: skip
                router_interfaces.add_subnet(session, settings, ADMIN, other, subnet.id)
                port = Port(
                    network_id=fabric.networks["blue"], project_id=project, status="ACTIVE",
                    device_id=other.id, device_owner="network:router_interface",
                    mac_address="fa:16:3e:00:00:77",
                )  # fmt: skip
                session.add(port)
        session.flush()
        told = router_arguments.of_host(session, fabric.first)["routers"]
        seen = {each["id"]: each["gateway"]["seen_outside"] for each in told}
    assert seen == {fabric.router_id: ["2001:db8:2::/64"], other.id: []}


def test_a_card_that_goes_names_the_routers_of_its_network(fabric: Fabric) -> None:
    port_id = fabric.server_on("blue", fabric.first, "10.0.0.11")
    with fabric.cloud.db.write() as session:
        port = session.get_one(Port, port_id)
        ports.unbind_port(session, port)
        told = network_arguments.detached(session, port, fabric.first)
    assert [each["id"] for each in told["detached_routers"]] == [fabric.router_id]


def test_each_host_has_an_address_outside_while_it_needs_one(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    port_id = fabric.server_on("red", fabric.second, "10.1.0.22")
    fabric.settle()
    with fabric.cloud.db.write() as session:
        held = set(session.scalars(select(AgentGateway.host_id)))
        assert held == {fabric.first, fabric.second}
        (router,) = router_arguments.of_host(session, fabric.first)["routers"]
        own = router["gateway"]["host_port"]["ip_addresses"]
        assert own != router["gateway"]["ip_addresses"]
        assert router["gateway"]["gateway_ips"] == ["10.2.0.1"]
        ports.unbind_port(session, session.get_one(Port, port_id))
    fabric.settle()
    assert fabric.told("h2")["routers"] == []
    with fabric.cloud.db.read() as session:
        assert list(session.scalars(select(AgentGateway.host_id))) == [fabric.first]
        left = select(Port.device_id).where(Port.device_owner == "network:floatingip_agent_gateway")
        assert list(session.scalars(left)) == [fabric.first]


def _floating_ip(fabric: Fabric, port_id: str) -> str:
    with fabric.cloud.db.write() as session:
        made = floating_ips.create(
            session, fabric.cloud.settings, ADMIN, CONTEXT.project,
            {"floating_network_id": fabric.networks["outside"], "port_id": port_id},
        )  # fmt: skip
        return made.id


def _status(fabric: Fabric, floating_ip_id: str) -> str:
    with fabric.cloud.db.read() as session:
        return session.get_one(FloatingIP, floating_ip_id).status


def test_a_floating_ip_is_active_when_its_host_was_told(fabric: Fabric) -> None:
    port_id = fabric.server_on("blue", fabric.first, "10.0.0.11")
    fabric.settle()
    floating_ip_id = _floating_ip(fabric, port_id)
    assert _status(fabric, floating_ip_id) == "DOWN"
    fabric.cloud.executor.unreachable = {"h1"}
    fabric.settle()
    assert _status(fabric, floating_ip_id) == "DOWN"
    fabric.cloud.executor.unreachable = set()
    fabric.cloud.clock.advance(3600)
    fabric.settle()
    assert _status(fabric, floating_ip_id) == "ACTIVE"
    (router,) = fabric.told("h1")["routers"]
    assert [each["tunnel_ip"] for each in router["floating_ips"]] == ["10.90.0.1"]


def test_a_floating_ip_that_moves_leaves_its_old_host_first(fabric: Fabric) -> None:
    port_id = fabric.server_on("blue", fabric.first, "10.0.0.11")
    floating_ip_id = _floating_ip(fabric, port_id)
    fabric.settle()
    fabric.cloud.executor.runs.clear()
    with fabric.cloud.db.write() as session:
        port = session.get_one(Port, port_id)
        ports.bind_port(session, port, fabric.second)
    assert _status(fabric, floating_ip_id) == "DOWN"
    fabric.cloud.work()
    told = [
        run.hosts[0].name for run in fabric.cloud.executor.runs if run.playbook == "network_update"
    ]
    assert told == ["h1", "h2"]
    assert _status(fabric, floating_ip_id) == "ACTIVE"


def test_the_host_that_a_live_migration_comes_to_has_its_networks_before(fabric: Fabric) -> None:
    port_id = fabric.server_on("blue", fabric.first, "10.0.0.11")
    _floating_ip(fabric, port_id)
    fabric.settle()
    with fabric.cloud.db.write() as session:
        server_id = session.get_one(Port, port_id).device_id
        ports.expect(session, server_id, fabric.second)
        told = network_arguments.for_servers(session, [server_id], fabric.second)[server_id]
        (router,) = told["routers"]
        own = session.get_one(AgentGateway, (fabric.second, fabric.networks["outside"]))
        # Its own address outside, and the floating IP to translate: h1 answers for that.
        assert router["gateway"]["host_port"]["port_id"] == own.port_id
        (floating,) = router["floating_ips"]
        assert (floating["tunnel_ip"], floating["arriving"]) == ("10.90.0.2", True)
        assert router_arguments.of_host(session, fabric.second)["routers"] == [router]
        assert [each["peers"] for each in told["networks"]] == [["10.90.0.1"]]
        at_source = router_arguments.of_host(session, fabric.first)
        (mine,) = at_source["routers"][0]["floating_ips"]
        assert (mine["tunnel_ip"], mine["arriving"]) == ("10.90.0.1", False)
    fabric.settle()
    assert [each["peers"] for each in fabric.told("h1")["networks"]] == [["10.90.0.2"]]


def test_a_host_that_a_live_migration_does_not_come_to_has_nothing_left(fabric: Fabric) -> None:
    port_id = fabric.server_on("blue", fabric.first, "10.0.0.11")
    with fabric.cloud.db.write() as session:
        server_id = session.get_one(Port, port_id).device_id
        ports.expect(session, server_id, fabric.second)
    fabric.settle()
    with fabric.cloud.db.write() as session:
        ports.expect_no_longer(session, server_id)
    fabric.settle()
    assert (fabric.told("h2")["networks"], fabric.told("h2")["routers"]) == ([], [])
    assert [each["peers"] for each in fabric.told("h1")["networks"]] == [[]]
    with fabric.cloud.db.read() as session:
        assert {each.host_id for each in session.scalars(select(AgentGateway))} == {fabric.first}


def test_a_host_is_told_once_of_many_changes(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    fabric.settle()
    with fabric.cloud.db.write() as session:
        for _ in range(5):
            network_updates.submit_for_hosts(session, {fabric.first})
    assert len(fabric.cloud.operations(kind="network_update", state="queued")) == 1


def test_it_is_tried_until_the_host_is_back(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    fabric.cloud.executor.unreachable = {"h1"}
    fabric.server_on("blue", fabric.second, "10.0.0.22")
    fabric.settle()
    (update,) = fabric.cloud.operations(kind="network_update", host_id=fabric.first)
    assert (update.state, update.attempts) == ("queued", 1)
    fabric.cloud.executor.unreachable = set()
    fabric.cloud.clock.advance(3600)
    fabric.cloud.work()
    (update,) = fabric.cloud.operations(kind="network_update", host_id=fabric.first)
    assert update.state == "succeeded"
    assert fabric.told("h1")["networks"][0]["peers"] == ["10.90.0.2"]


def _changed(fabric: Fabric, network: str, values: dict[str, Any]) -> list[str]:
    """Change the subnet of a network; return the hosts that are told of it."""
    fabric.settle()
    fabric.cloud.executor.runs.clear()
    with fabric.cloud.db.write() as session:
        subnet = session.get_one(Subnet, fabric.subnet_ids[network])
        subnets.update(session, session.get_one(Network, fabric.networks[network]), subnet, values)
    fabric.settle()
    runs = fabric.cloud.executor.runs
    return sorted(run.hosts[0].name for run in runs if run.playbook == "network_update")


def test_hosts_follow_a_subnets_name_servers_and_routes(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    fabric.server_on("red", fabric.second, "10.1.0.22")
    route = {"destination": "198.51.100.0/24", "nexthop": "10.0.0.9"}
    changed = {"dns_nameservers": ["192.0.2.53"], "host_routes": [route]}
    # The other host has the router's other network, and so this one too.
    assert _changed(fabric, "blue", changed) == ["h1", "h2"]
    (subnet,) = fabric.told("h1")["networks"][0]["subnets"]
    assert (subnet["dns_nameservers"], subnet["host_routes"]) == (["192.0.2.53"], [route])
    # What no host is told of, and what is as it was.
    assert _changed(fabric, "blue", {"name": "sky", "dns_nameservers": ["192.0.2.53"]}) == []


def test_hosts_follow_an_mtu(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    fabric.settle()
    with fabric.cloud.db.write() as session:
        network = session.get_one(Network, fabric.networks["blue"])
        networks.update(session, fabric.cloud.settings, ADMIN, network, {"mtu": 1400})
    fabric.settle()
    assert fabric.told("h1")["networks"][0]["mtu"] == 1400


def test_hosts_follow_the_next_hop_of_an_external_network(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    hop = {
        "gateway_ip": "10.2.0.254",
        "allocation_pools": [{"start": "10.2.0.2", "end": "10.2.0.99"}],
    }
    assert _changed(fabric, "outside", hop) == ["h1"]
    assert fabric.told("h1")["routers"][0]["gateway"]["gateway_ips"] == ["10.2.0.254"]


def test_a_host_gets_its_address_outside_when_the_pool_has_one(fabric: Fabric) -> None:
    # The network's own DHCP server has the only one.
    _changed(fabric, "outside", {"allocation_pools": [{"start": "10.2.0.2", "end": "10.2.0.2"}]})
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    with fabric.cloud.db.read() as session:
        (router,) = router_arguments.of_host(session, fabric.first)["routers"]
    assert router["gateway"] is None
    wider = {"allocation_pools": [{"start": "10.2.0.2", "end": "10.2.0.9"}]}
    assert _changed(fabric, "outside", wider) == ["h1"]
    assert fabric.told("h1")["routers"][0]["gateway"]["host_port"]["ip_addresses"]


def _more_outside(fabric: Fabric, **values: Any) -> str:
    """Return a subnet more of the external network."""
    with fabric.cloud.db.write() as session:
        network = session.get_one(Network, fabric.networks["outside"])
        made = subnets.create(session, fabric.cloud.settings, network, CONTEXT.project, values)
        return made.id


def _outside(fabric: Fabric) -> tuple[list[str], list[str]]:
    """Return the ranges of the first host's own addresses outside, and its next hops there."""
    gateway = fabric.told("h1")["routers"][0]["gateway"]
    return [each["cidr"] for each in gateway["host_port"]["ip_addresses"]], gateway["gateway_ips"]


def test_a_host_goes_out_by_the_subnet_that_its_own_address_is_of(fabric: Fabric) -> None:
    """Also for a router whose addresses are of another: the first one's may be used up."""
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    subnet_id = _more_outside(fabric, cidr="10.3.0.0/24")
    with fabric.cloud.db.write() as session:
        wanted = {
            "network_id": fabric.networks["outside"],
            "external_fixed_ips": [{"subnet_id": subnet_id}],
        }
        router = session.get_one(Router, fabric.router_id)
        values = {"external_gateway_info": wanted}
        routers.update(session, fabric.cloud.settings, ADMIN, router, values)
    fabric.settle()
    gateway = fabric.told("h1")["routers"][0]["gateway"]
    assert [each["cidr"] for each in gateway["ip_addresses"]] == ["10.3.0.0/24"]
    assert _outside(fabric) == (["10.2.0.0/24"], ["10.2.0.1"])


def test_a_host_gets_an_address_of_the_version_that_comes_later(fabric: Fabric) -> None:
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    fabric.settle()
    _more_outside(fabric, cidr="fd00:3::/64", ip_version=6)
    fabric.settle()
    both = (["10.2.0.0/24", "fd00:3::/64"], ["10.2.0.1", "fd00:3::1"])
    assert _outside(fabric) == both


def test_an_external_subnet_goes_though_hosts_have_addresses_of_it(fabric: Fabric) -> None:
    """They are nobody's to take off; a host that is away would hold it for ever."""
    fabric.server_on("blue", fabric.first, "10.0.0.11")
    subnet_id = _more_outside(fabric, cidr="10.3.0.0/24")
    fabric.settle()
    info = {"network_id": fabric.networks["outside"], "external_fixed_ips": []}
    with fabric.cloud.db.write() as session:
        info["external_fixed_ips"] = [{"subnet_id": subnet_id}]
        router = session.get_one(Router, fabric.router_id)
        values = {"external_gateway_info": info}
        routers.update(session, fabric.cloud.settings, ADMIN, router, values)
        subnets.remove(session, session.get_one(Subnet, fabric.subnet_ids["outside"]))
    fabric.settle()
    assert _outside(fabric) == (["10.3.0.0/24"], ["10.3.0.1"])


@pytest.mark.parametrize("case", moments_of("network_update"), ids=name_of)
def test_killed_at_each_step_another_worker_tells_the_host(
    fabric: Fabric, case: tuple[str, int, str]
) -> None:
    _, number, moment = case
    port_id = fabric.server_on("blue", fabric.first, "10.0.0.11")
    fabric.settle()
    floating_ip_id = _floating_ip(fabric, port_id)
    assert kill_at(fabric.cloud, number, moment)
    assert _status(fabric, floating_ip_id) == "DOWN"
    # What the killed worker read is out of date by now.
    fabric.server_on("red", fabric.second, "10.1.0.22")
    fabric.settle()
    assert fabric.cloud.operations(kind="network_update", state="queued") == []
    told = fabric.told("h1")["routers"][0]
    members = [each["network"]["members"] for each in told["interfaces"]]
    assert {each["ip_addresses"][0] for part in members for each in part} == {
        "10.0.0.11",
        "10.1.0.22",
    }
    assert _status(fabric, floating_ip_id) == "ACTIVE"
