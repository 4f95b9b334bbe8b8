"""Two calls about the same thing at once: the second comes when the first has done its work and
not yet committed it. With SQLite it waits for its turn anyway; the others need our locks."""

import threading
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from controller.core import agent_gateways, ports
from controller.db.models import AgentGateway, Port
from controller.errors import NovellaError

from .conftest import V2, make
from .test_floating_ips import create
from .test_routers import add, gateway, take

# Longer than a call takes that waits for nobody.
MEANWHILE_S = 1.0


def overtaken(first: Callable, second: Callable):
    """Return what both gave, of which `second` began when `first` was about to commit."""
    answers, failures = {}, []
    about_to_commit, go_on = threading.Event(), threading.Event()

    def hold(session):
        # Savepoints are committed too.
        if threading.current_thread().name == "first" and not session.in_nested_transaction():
            about_to_commit.set()
            go_on.wait(20)

    def run(name, call):
        try:
            answers[name] = call()
        except Exception as error:
            failures.append(error)
        finally:
            about_to_commit.set()

    event.listen(Session, "before_commit", hold)
    try:
        calls = {"first": first, "second": second}
        threads = {n: threading.Thread(target=run, args=(n, c), name=n) for n, c in calls.items()}
        threads["first"].start()
        assert about_to_commit.wait(20)
        threads["second"].start()
        threads["second"].join(MEANWHILE_S)
        go_on.set()
        for thread in threads.values():
            thread.join(30)
    finally:
        event.remove(Session, "before_commit", hold)
    assert not failures, failures
    return answers["first"], answers["second"]


@pytest.fixture
def router(alice, public, public_subnet, private_subnet):
    router = make(alice, "router", external_gateway_info=gateway(public))
    assert add(alice, router, subnet_id=private_subnet["id"]).status_code == 200
    return router


@pytest.fixture
def port(alice, private, router):
    return make(alice, "port", network_id=private["id"])


def url(noun, row):
    return f"{V2}/{noun}s/{row['id']}"


def change(caller, noun, row, **values):
    return caller.put(url(noun, row), json={noun: values})


def floating(caller):
    return [
        (each["port_id"], each["fixed_ip_address"], each["router_id"])
        for each in caller.get(f"{V2}/floatingips").json["floatingips"]
    ]


NOTHING = [(None, None, None)]


def test_a_port_goes_while_a_floating_ip_comes(alice, public, port):
    first, second = overtaken(
        partial(create, alice, public, port_id=port["id"]), partial(alice.delete, url("port", port))
    )
    assert (first.status_code, second.status_code) == (201, 204), second.text
    assert floating(alice) == NOTHING


def test_a_floating_ip_comes_while_its_port_goes(alice, public, port, refused):
    first, second = overtaken(
        partial(alice.delete, url("port", port)), partial(create, alice, public, port_id=port["id"])
    )
    assert first.status_code == 204
    refused(second, 404, "PortNotFound")
    assert floating(alice) == []


def test_a_port_changes_its_address_while_a_floating_ip_comes(alice, public, port):
    """Else it would lead to whoever is given the address next."""
    first, second = overtaken(
        partial(create, alice, public, port_id=port["id"]),
        partial(change, alice, "port", port, fixed_ips=[{"ip_address": "192.168.7.99"}]),
    )
    assert (first.status_code, second.status_code) == (201, 200), second.text
    assert floating(alice) == NOTHING


def test_a_floating_ip_comes_while_its_port_changes_its_address(alice, public, port):
    first, second = overtaken(
        partial(change, alice, "port", port, fixed_ips=[{"ip_address": "192.168.7.99"}]),
        partial(create, alice, public, port_id=port["id"]),
    )
    assert (first.status_code, second.status_code) == (200, 201), second.text
    assert [each[1] for each in floating(alice)] == ["192.168.7.99"]


def test_an_interface_goes_while_a_floating_ip_comes(alice, public, port, router, private_subnet):
    associate = partial(create, alice, public, port_id=port["id"])
    remove = partial(take, alice, router, subnet_id=private_subnet["id"])
    first, second = overtaken(associate, remove)
    assert (first.status_code, second.status_code) == (201, 409), second.text
    made = first.json["floatingip"]
    assert change(alice, "floatingip", made, port_id=None).status_code == 200
    first, second = overtaken(
        remove, partial(change, alice, "floatingip", made, port_id=port["id"])
    )
    assert (first.status_code, second.status_code) == (200, 404), second.text
    assert floating(alice) == NOTHING


def test_a_floating_ip_is_changed_while_it_goes(alice, public, port, refused):
    made = create(alice, public).json["floatingip"]
    first, second = overtaken(
        partial(alice.delete, url("floatingip", made)),
        partial(change, alice, "floatingip", made, port_id=port["id"]),
    )
    assert first.status_code == 204
    refused(second, 404, "FloatingIPNotFound")


def test_a_floating_ip_is_given_to_two_ports(alice, public, private, port):
    """The second knows whom it takes it from, whose host must be told."""
    made = create(alice, public).json["floatingip"]
    other = make(alice, "port", network_id=private["id"])
    first, second = overtaken(
        partial(change, alice, "floatingip", made, port_id=port["id"]),
        partial(change, alice, "floatingip", made, port_id=other["id"]),
    )
    assert (first.status_code, second.status_code) == (200, 200), second.text
    assert second.json["floatingip"]["revision_number"] == 2
    assert [each[0] for each in floating(alice)] == [other["id"]]


def of_server(services, boot, networks):
    """Return the ports of a new server, or the name of what its create was refused with."""
    try:
        server_id = boot(networks)
    except NovellaError as error:
        return type(error).__name__
    with services.db.read() as session:
        return list(session.scalars(select(Port.id).where(Port.device_id == server_id)))


def test_a_port_goes_while_a_server_is_given_it(alice, services, port, boot, refused):
    first, second = overtaken(
        partial(of_server, services, boot, [{"port": port["id"]}]),
        partial(alice.delete, url("port", port)),
    )
    assert first == [port["id"]]
    refused(second, 409, "PortInUse")
    assert alice.get(url("port", port)).status_code == 200


def test_a_server_is_given_a_port_that_goes(alice, services, port, boot):
    first, second = overtaken(
        partial(alice.delete, url("port", port)),
        partial(of_server, services, boot, [{"port": port["id"]}]),
    )
    assert (first.status_code, second) == (204, "BadRequest")


def test_a_router_is_given_a_port_that_goes(alice, private, router, port, refused):
    first, second = overtaken(
        partial(alice.delete, url("port", port)), partial(add, alice, router, port_id=port["id"])
    )
    assert first.status_code == 204
    refused(second, 404, "PortNotFound")


def test_a_port_changes_while_it_comes_to_a_host(
    alice, services, private, private_subnet, boot, hosts, waiting, refused
):
    """What its guest is told can't change any more; what filters it, the host is told."""
    server_id = boot([{"uuid": private["id"]}])
    with services.db.read() as session:
        port = {"id": session.scalar(select(Port.id).where(Port.device_id == server_id))}

    def bind(host_id):
        with services.db.write() as session:
            ports.bind(session, server_id, host_id)

    moved = partial(change, alice, "port", port, fixed_ips=[{"ip_address": "192.168.7.99"}])
    refused(overtaken(partial(bind, hosts[0]), moved)[1], 409, "PortBound")
    waiting()
    shut = partial(change, alice, "port", port, security_groups=[])
    assert overtaken(partial(bind, hosts[1]), shut)[1].status_code == 200
    assert hosts[1] in waiting()


def test_a_port_is_put_into_two_groups(alice, port):
    one, two = (make(alice, "security_group", name=name) for name in ("one", "two"))
    answers = overtaken(
        *(partial(change, alice, "port", port, security_groups=[each["id"]]) for each in (one, two))
    )
    assert [each.status_code for each in answers] == [200, 200], answers[1].text
    seen = alice.get(url("port", port)).json["port"]
    assert (seen["security_groups"], seen["revision_number"]) == ([two["id"]], 2)


def test_a_network_is_renamed_while_it_goes(alice, private):
    first, second = overtaken(
        partial(alice.delete, url("network", private)),
        partial(change, alice, "network", private, name="late"),
    )
    assert first.status_code == 204
    assert second.status_code in (404, 409), second.text


def test_a_subnets_gateway_and_pools_change(alice, private_subnet, refused):
    """Each alone would do; together the gateway would be given to a port."""
    pools = [{"start": "192.168.7.2", "end": "192.168.7.100"}]
    gone = [{"start": "192.168.7.2", "end": "192.168.7.50"}]
    assert change(alice, "subnet", private_subnet, allocation_pools=gone).status_code == 200
    first, second = overtaken(
        partial(change, alice, "subnet", private_subnet, gateway_ip="192.168.7.60"),
        partial(change, alice, "subnet", private_subnet, allocation_pools=pools),
    )
    assert first.status_code == 200
    refused(second, 409, "GatewayConflictWithAllocationPools")


def test_a_gateway_changes_while_a_port_takes_its_address(alice, private, private_subnet, refused):
    pools = [{"start": "192.168.7.2", "end": "192.168.7.50"}]
    assert change(alice, "subnet", private_subnet, allocation_pools=pools).status_code == 200
    at = [{"ip_address": "192.168.7.60"}]
    _, second = overtaken(
        partial(make, alice, "port", network_id=private["id"], fixed_ips=at),
        partial(change, alice, "subnet", private_subnet, gateway_ip="192.168.7.60"),
    )
    refused(second, 400, "InvalidInput")


def test_a_host_lets_go_of_its_address_outside_while_it_needs_one(
    services, private, private_subnet, router, boot, hosts
):
    server_id = boot([{"uuid": private["id"]}], host_id=hosts[0])

    def within(work, *arguments):
        with services.db.write() as session:
            work(session, *arguments)

    def held():
        with services.db.read() as session:
            return list(session.scalars(select(AgentGateway.host_id)))

    comes = partial(within, ports.bind, server_id, hosts[0])
    lets_go = partial(within, agent_gateways.drop_unneeded, hosts[0])
    for first, second in ((comes, lets_go), (lets_go, comes)):
        within(ports.unbind, server_id)
        assert held() == [hosts[0]]
        overtaken(first, second)
        assert held() == [hosts[0]]
