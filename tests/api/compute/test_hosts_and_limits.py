"""Hypervisors, services, zones; limits and quotas."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Host
from tests.api.compute.conftest import at

ROOT = "/compute/v2.1"


@pytest.mark.parametrize(
    "path",
    ["os-hypervisors", "os-hypervisors/detail", "os-services", "os-availability-zone/detail"],
)
def test_hosts_are_for_admins(alice: Any, host: Host, path: str) -> None:
    assert alice.get(f"{ROOT}/{path}").status_code == 403


@pytest.mark.parametrize("version", ["2.1", "2.28", "2.53", "2.87", "2.88", "2.96"])
def test_the_shape_of_a_hypervisor_follows_the_microversion(
    admin: Any, host: Host, server: str, version: str
) -> None:
    (listed,) = admin.get(f"{ROOT}/os-hypervisors", headers=at(version)).json["hypervisors"]
    assert (listed["state"], listed["status"]) == ("up", "enabled")
    number = tuple(map(int, version.split(".")))
    assert isinstance(listed["id"], str if number >= (2, 53) else int)
    (detail,) = admin.get(f"{ROOT}/os-hypervisors/detail", headers=at(version)).json["hypervisors"]
    shown = admin.get(f"{ROOT}/os-hypervisors/{listed['id']}", headers=at(version))
    assert shown.json["hypervisor"] == detail
    assert detail["service"]["host"] == host.name
    assert ("uptime" in detail) is (number >= (2, 88))
    assert ("vcpus" in detail) is (number < (2, 88))
    if number < (2, 88):
        assert isinstance(detail["cpu_info"], dict if number >= (2, 28) else str)
        assert (detail["vcpus_used"], detail["memory_mb_used"]) == (1, 128)
        assert detail["running_vms"] == 1


def test_servers_of_a_hypervisor_are_shown_when_asked_for(
    admin: Any, host: Host, server: str
) -> None:
    query = f"{ROOT}/os-hypervisors?with_servers=1&hypervisor_hostname_pattern=host-a"
    (found,) = admin.get(query, headers=at("2.53")).json["hypervisors"]
    assert found["servers"] == [{"name": "web", "uuid": server}]
    old = admin.get(f"{ROOT}/os-hypervisors/host-a/servers").json["hypervisors"]
    assert old[0]["servers"][0]["uuid"] == server
    assert admin.get(f"{ROOT}/os-hypervisors/host-a/search", headers=at("2.53")).status_code == 404
    none = admin.get(f"{ROOT}/os-hypervisors?hypervisor_hostname_pattern=other", headers=at("2.53"))
    assert none.status_code == 404
    assert admin.get(f"{ROOT}/os-hypervisors/x", headers=at("2.53")).status_code == 400
    assert admin.get(f"{ROOT}/os-hypervisors/7").status_code == 404
    statistics = admin.get(f"{ROOT}/os-hypervisors/statistics").json["hypervisor_statistics"]
    assert (statistics["count"], statistics["running_vms"]) == (1, 1)
    gone = admin.get(f"{ROOT}/os-hypervisors/statistics", headers=at("2.88"))
    assert gone.status_code in (400, 404)


def test_a_service_is_disabled_and_enabled(admin: Any, host: Host) -> None:
    (service,) = admin.get(f"{ROOT}/os-services", headers=at("2.69")).json["services"]
    assert service["id"] == host.id
    assert (service["binary"], service["state"]) == ("nova-compute", "up")
    path = f"{ROOT}/os-services/{host.id}"
    body = {"status": "disabled", "disabled_reason": "repair"}
    changed = admin.put(path, json=body, headers=at("2.53")).json["service"]
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", "repair")
    assert admin.put(path, json={"forced_down": True}, headers=at("2.53")).status_code == 200
    (service,) = admin.get(f"{ROOT}/os-services", headers=at("2.69")).json["services"]
    assert (service["state"], service["forced_down"]) == ("down", True)
    assert admin.put(path, json={}, headers=at("2.53")).status_code == 400
    assert admin.put(path, json=body, headers=at("2.52")).status_code == 404
    assert isinstance(admin.get(f"{ROOT}/os-services").json["services"][0]["id"], int)
    assert admin.get(f"{ROOT}/os-services?binary=nova-conductor").json["services"] == []


def test_zones_are_shown_and_admins_see_their_hosts(alice: Any, admin: Any, host: Host) -> None:
    (zone,) = alice.get(f"{ROOT}/os-availability-zone").json["availabilityZoneInfo"]
    assert zone == {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}
    (zone,) = admin.get(f"{ROOT}/os-availability-zone/detail").json["availabilityZoneInfo"]
    assert zone["hosts"][host.name]["nova-compute"]["available"] is True


@pytest.mark.parametrize(
    ("version", "gone"),
    [
        ("2.1", set()),
        ("2.36", {"maxSecurityGroups", "maxTotalFloatingIps", "totalSecurityGroupsUsed"}),
        ("2.39", {"maxImageMeta"}),
        ("2.57", {"maxPersonality", "maxPersonalitySize"}),
        ("2.96", {"maxPersonality", "maxImageMeta", "maxSecurityGroups"}),
    ],
)
def test_limits_count_what_is_used(alice: Any, server: str, version: str, gone: set[str]) -> None:
    limits = alice.get(f"{ROOT}/limits", headers=at(version)).json["limits"]
    assert limits["rate"] == []
    absolute = limits["absolute"]
    assert (absolute["totalInstancesUsed"], absolute["maxTotalInstances"]) == (1, 10)
    assert (absolute["totalCoresUsed"], absolute["totalRAMUsed"]) == (1, 128)
    assert not gone & set(absolute)


def test_limits_of_another_project_are_for_admins(alice: Any, bob: Any, admin: Any) -> None:
    path = f"{ROOT}/limits?tenant_id={alice.project_id}"
    assert bob.get(path).status_code == 403
    assert admin.get(path).status_code == 200
    assert alice.get(path).status_code == 200


def test_quotas_are_shown_set_and_reset(
    alice: Any, bob: Any, admin: Any, server: str, services: Services
) -> None:
    path = f"{ROOT}/os-quota-sets/{alice.project_id}"
    shown = alice.get(path, headers=at("2.57")).json["quota_set"]
    assert shown["id"] == alice.project_id
    assert (shown["instances"], shown["cores"], shown["ram"]) == (10, 20, 51200)
    assert "injected_files" not in shown
    assert "injected_files" in alice.get(path).json["quota_set"]
    assert bob.get(path).status_code == 403
    assert alice.put(path, json={"quota_set": {"cores": 1}}).status_code == 403
    changed = admin.put(path, json={"quota_set": {"cores": 5, "ram": "-1"}}).json["quota_set"]
    assert (changed["cores"], changed["ram"]) == (5, -1)
    too_low = admin.put(path, json={"quota_set": {"instances": 0}})
    assert too_low.status_code == 400
    forced = admin.put(path, json={"quota_set": {"instances": 0, "force": True}})
    assert forced.status_code == 200
    detail = admin.get(f"{path}/detail").json["quota_set"]
    assert detail["instances"] == {"limit": 0, "in_use": 1, "reserved": 0}
    for bad in ({"cores": "x"}, {"cores": -2}, {"unknown": 1}):
        assert admin.put(path, json={"quota_set": bad}).status_code == 400
    assert admin.delete(path).status_code == 202
    assert alice.get(path).json["quota_set"]["instances"] == 10
    assert alice.get(f"{path}/defaults").json["quota_set"]["cores"] == 20


def test_there_are_no_aggregates_and_none_can_be_made(admin: Any, alice: Any) -> None:
    """`openstack hypervisor show` asks for the list, and failed on a 501."""
    path = "/compute/v2.1/os-aggregates"
    assert admin.get(path).json == {"aggregates": []}
    assert alice.get(path).status_code == 403
    assert admin.post(path, json={"aggregate": {"name": "x"}}).status_code == 501
