"""Agents and zones: the hosts, in the shape that clients know."""

import pytest

from controller.core import hosts
from controller.db.base import utcnow
from controller.db.models import Host

from .conftest import V2


@pytest.fixture
def host_id(services):
    with services.db.write() as session:
        host = hosts.enroll_record(
            session, "h1", "192.0.2.7", host_keys=[], availability_zone="east",
            variables={"compute_flat_interfaces": {"physnet1": "eth1"}},
        )  # fmt: skip
        host.last_seen_at = utcnow()
        return host.id


def test_hosts_are_agents(admin, alice, host_id, refused):
    (agent,) = admin.get(f"{V2}/agents").json["agents"]
    assert (agent["id"], agent["host"], agent["alive"]) == (host_id, "h1", True)
    assert agent["configurations"]["tunneling_ip"] == "192.0.2.7"
    assert agent["configurations"]["interface_mappings"] == {"physnet1": "eth1"}
    assert admin.get(f"{V2}/agents/{host_id}").json["agent"] == agent
    assert admin.get(f"{V2}/agents?host=h2").json["agents"] == []
    assert admin.get(f"{V2}/agents?alive=true").json["agents"] == [agent]
    assert admin.get(f"{V2}/agents?alive=false").json["agents"] == []
    assert admin.get(f"{V2}/agents?description=disks").json["agents"] == []
    refused(alice.get(f"{V2}/agents"), 403, "PolicyNotAuthorized")
    refused(admin.get(f"{V2}/agents/nowhere"), 404, "AgentNotFound")


def test_a_host_that_was_never_seen_is_not_alive(admin, services, host_id):
    with services.db.write() as session:
        session.get_one(Host, host_id).last_seen_at = None
    (agent,) = admin.get(f"{V2}/agents?alive=false").json["agents"]
    assert (agent["id"], agent["alive"]) == (host_id, False)
    assert admin.get(f"{V2}/agents?alive=true").json["agents"] == []


def test_an_agent_is_closed_and_opened_and_not_deleted(admin, alice, host_id, refused):
    path = f"{V2}/agents/{host_id}"
    body = {"agent": {"admin_state_up": False, "description": "new disks"}}
    agent = admin.put(path, json=body).json["agent"]
    assert (agent["admin_state_up"], agent["description"]) == (False, "new disks")
    listed = admin.get("/compute/v2.1/os-services").json["services"]
    assert [each["status"] for each in listed] == ["disabled"]
    assert admin.put(path, json={"agent": {"admin_state_up": True}}).json["agent"]["admin_state_up"]
    refused(alice.put(path, json=body), 403, "PolicyNotAuthorized")
    assert "novella host remove" in refused(admin.delete(path), 409, "HTTPConflict")


def test_zones_of_hosts_serve_networks_and_routers(alice, host_id):
    zones = alice.get(f"{V2}/availability_zones").json["availability_zones"]
    assert [(zone["name"], zone["resource"]) for zone in zones] == [
        ("east", "network"), ("east", "router"), ("nova", "network"), ("nova", "router"),
    ]  # fmt: skip
    found = alice.get(f"{V2}/availability_zones?name=east&resource=router").json
    assert len(found["availability_zones"]) == 1
