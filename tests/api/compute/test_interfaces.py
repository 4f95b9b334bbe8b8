"""os-interface: a server's ports listed, attached and detached."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Network, Port
from controller.runner.requests import Run
from controller.runner.simulated import SimulatedExecutor
from tests.api.compute.conftest import SERVERS, at

PORTS = "/network/v2.0/ports"
ABSENT = "5f2c4c9e-1111-4222-8333-444455556666"


@pytest.fixture
def path(server: str) -> str:
    return f"{SERVERS}/{server}/os-interface"


def attach(caller: Any, path: str, version: str = "2.70", **wanted: Any) -> Any:
    return caller.post(path, json={"interfaceAttachment": wanted}, headers=at(version))


def listed(caller: Any, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get(path, headers=at("2.70")).json["interfaceAttachments"]
    return found


def addresses(caller: Any, server: str) -> list[str]:
    shown = caller.get(f"{SERVERS}/{server}").json["server"]["addresses"]
    return [each["addr"] for each in shown.get("public", [])]


def actions(caller: Any, server: str) -> list[str]:
    shown = caller.get(f"{SERVERS}/{server}/os-instance-actions").json["instanceActions"]
    return [each["action"] for each in shown]


def test_an_interface_is_attached_by_its_network_and_detached(
    alice: Any, server: str, path: str, network: Network, work: Any, executor: SimulatedExecutor
) -> None:
    (first,) = listed(alice, path)
    answer = attach(alice, path, net_id=network.id, tag="backup")
    assert answer.status_code == 200, answer.json
    made = answer.json["interfaceAttachment"]
    assert (made["net_id"], made["port_state"], made["tag"]) == (network.id, "DOWN", "backup")
    assert len(made["fixed_ips"]) == 1
    work()

    assert [each["port_id"] for each in listed(alice, path)] == [first["port_id"], made["port_id"]]
    shown = alice.get(f"{path}/{made['port_id']}").json["interfaceAttachment"]
    assert shown == {name: made[name] for name in made if name != "tag"} | {"port_state": "ACTIVE"}
    assert addresses(alice, server)[1] == made["fixed_ips"][0]["ip_address"]
    run = executor.runs[-1]
    assert run.playbook == "server_attach_interface"
    (entry,) = run.arguments["servers"]
    assert [(each["id"], each["tag"]) for each in entry["ports"]] == [
        (first["port_id"], None), (made["port_id"], "backup"),
    ]  # fmt: skip

    assert alice.delete(f"{path}/{made['port_id']}").status_code == 202
    work()
    assert listed(alice, path) == [first]
    # It was made for the server, so it is gone.
    assert alice.get(f"{PORTS}/{made['port_id']}").status_code == 404
    run = executor.runs[-1]
    (entry,) = run.arguments["servers"]
    assert run.playbook == "server_detach_interface"
    assert [each["id"] for each in entry["ports"]] == [first["port_id"]]
    assert [each["id"] for each in entry["detached_ports"]] == [made["port_id"]]
    assert [each["id"] for each in entry["detached_networks"]] == [network.id]
    assert entry["detached_routers"] == []
    assert actions(alice, server)[:2] == ["detach_interface", "attach_interface"]


def test_a_port_of_ones_own_is_attached_and_outlives_its_detach(
    alice: Any, path: str, network: Network, work: Any
) -> None:
    port = alice.post(PORTS, json={"port": {"network_id": network.id}}).json["port"]
    made = attach(alice, path, port_id=port["id"]).json["interfaceAttachment"]
    assert (made["port_id"], made["mac_addr"]) == (port["id"], port["mac_address"])
    work()
    assert attach(alice, path, port_id=port["id"]).status_code == 409
    alice.delete(f"{path}/{port['id']}")
    work()
    freed = alice.get(f"{PORTS}/{port['id']}").json["port"]
    assert (freed["device_id"], freed["status"], freed["fixed_ips"]) == (
        "", "DOWN", port["fixed_ips"],
    )  # fmt: skip


def test_without_a_choice_it_is_the_only_network_there_is(
    alice: Any, path: str, network: Network
) -> None:
    assert attach(alice, path).json["interfaceAttachment"]["net_id"] == network.id


def test_an_address_may_be_chosen_on_a_network_of_ones_own(
    admin: Any, path: str, network: Network
) -> None:
    wanted = [{"ip_address": "10.91.7.7"}]
    made = attach(admin, path, net_id=network.id, fixed_ips=wanted).json["interfaceAttachment"]
    assert [each["ip_address"] for each in made["fixed_ips"]] == ["10.91.7.7"]
    assert attach(admin, path, net_id=network.id, fixed_ips=wanted).status_code == 409


def test_what_can_not_be_attached_is_refused(
    alice: Any, bob: Any, rita: Any, path: str, network: Network
) -> None:
    own = {"net_id": network.id}
    assert attach(alice, path, net_id=network.id, port_id=ABSENT).status_code == 400
    assert attach(alice, path, fixed_ips=[{"ip_address": "10.91.7.7"}]).status_code == 400
    assert attach(alice, path, fixed_ips=[]).status_code == 400
    assert attach(alice, path, version="2.48", tag="x", **own).status_code == 400
    assert attach(alice, path, tag="a,b", **own).status_code == 400
    assert attach(alice, path, net_id=ABSENT).status_code == 404
    assert attach(alice, path, port_id=ABSENT).status_code == 404
    assert attach(bob, path, **own).status_code == 404
    assert attach(rita, path, **own).status_code == 403
    assert alice.delete(f"{path}/{ABSENT}").status_code == 404
    assert alice.get(f"{path}/{ABSENT}").status_code == 404
    assert len(listed(alice, path)) == 1


def test_a_server_that_is_busy_refuses_and_a_stopped_one_does_not(
    alice: Any, server: str, path: str, network: Network, work: Any
) -> None:
    alice.post(f"{SERVERS}/{server}/action", json={"os-stop": None})
    refused = attach(alice, path, net_id=network.id)
    assert refused.status_code == 409
    assert "powering-off" in refused.json["conflictingRequest"]["message"]
    work()
    made = attach(alice, path, net_id=network.id).json["interfaceAttachment"]
    work()
    shown = alice.get(f"{path}/{made['port_id']}").json["interfaceAttachment"]
    assert shown["port_state"] == "DOWN"
    assert alice.get(f"{SERVERS}/{server}").json["server"]["status"] == "SHUTOFF"


def test_what_the_host_can_not_plug_in_is_nobodys_again(
    alice: Any, server: str, path: str, network: Network, work: Any, executor: SimulatedExecutor,
    services: Services,
) -> None:  # fmt: skip
    own = alice.post(PORTS, json={"port": {"network_id": network.id}}).json["port"]

    def fails(run: Run, _server_id: str) -> str | None:
        return "no more slots" if run.playbook == "server_attach_interface" else None

    executor.fails = fails
    made = attach(alice, path, net_id=network.id).json["interfaceAttachment"]
    attach(alice, path, port_id=own["id"])
    work()

    assert len(listed(alice, path)) == 1
    with services.db.read() as session:
        assert session.get(Port, made["port_id"]) is None
        freed = session.get_one(Port, own["id"])
        assert (freed.device_id, freed.host_id) == ("", None)
    # The host is told to take out what may have been plugged in.
    assert executor.runs[-1].playbook == "server_detach_interface"
    assert alice.get(f"{SERVERS}/{server}").json["server"]["status"] == "ACTIVE"


def test_what_the_guest_does_not_let_go_stays_attached(
    alice: Any, path: str, network: Network, work: Any, executor: SimulatedExecutor
) -> None:
    made = attach(alice, path, net_id=network.id).json["interfaceAttachment"]
    work()

    def fails(run: Run, _server_id: str) -> str | None:
        return "the guest keeps it" if run.playbook == "server_detach_interface" else None

    executor.fails = fails
    alice.delete(f"{path}/{made['port_id']}")
    work()
    assert [each["port_state"] for each in listed(alice, path)] == ["ACTIVE", "ACTIVE"]
    ((entry,),) = [
        run.arguments["servers"]
        for run in executor.runs[-2:]
        if run.playbook == "server_attach_interface"
    ]
    assert made["port_id"] in [each["id"] for each in entry["ports"]]


def test_a_host_that_does_not_answer_keeps_the_port(
    alice: Any, path: str, network: Network, executor: SimulatedExecutor, work: Any, host: Any,
    services: Services, settings: Any,
) -> None:  # fmt: skip
    """It may have the card or not, so its address is nobody else's."""
    executor.unreachable.add(host.name)
    made = attach(alice, path, net_id=network.id).json["interfaceAttachment"]
    work()
    with services.db.read() as session:
        port = session.get_one(Port, made["port_id"])
        assert (port.host_id, port.status) == (host.id, "DOWN")


def test_a_servers_delete_takes_what_is_being_attached(
    alice: Any, server: str, path: str, network: Network, work: Any, services: Services
) -> None:
    made = attach(alice, path, net_id=network.id).json["interfaceAttachment"]
    assert alice.delete(f"{SERVERS}/{server}").status_code == 204
    work()
    with services.db.read() as session:
        assert session.get(Port, made["port_id"]) is None
