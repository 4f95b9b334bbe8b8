"""addSecurityGroup and removeSecurityGroup: all ports of a server at once, without a restart."""

from typing import Any

import pytest

from controller.runner.simulated import SimulatedExecutor
from tests.api.compute.conftest import SERVERS

V2 = "/network/v2.0"


def make(caller: Any, name: str) -> str:
    answer = caller.post(f"{V2}/security-groups", json={"security_group": {"name": name}})
    group_id: str = answer.json["security_group"]["id"]
    return group_id


def act(caller: Any, server: str, action: str, name: str) -> Any:
    return caller.post(f"{SERVERS}/{server}/action", json={action: {"name": name}})


def groups(caller: Any, server: str) -> list[str]:
    found = caller.get(f"{SERVERS}/{server}/os-security-groups").json["security_groups"]
    return [each["name"] for each in found]


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_group_is_added_and_removed_and_the_hosts_rules_follow(
    alice: Any, server: str, work: Any, executor: SimulatedExecutor, by: str
) -> None:
    group_id = make(alice, "web")
    name = {"name": "web", "id": group_id}[by]
    executor.runs.clear()

    assert act(alice, server, "addSecurityGroup", name).status_code == 202
    work()
    assert groups(alice, server) == ["default", "web"]
    (run,) = executor.runs
    (entry,) = run.arguments["servers"]
    assert run.playbook == "port_update"
    assert group_id in entry["ports"][0]["security_groups"]
    # Once more is no change.
    assert act(alice, server, "addSecurityGroup", name).status_code == 202
    work()
    assert len(executor.runs) == 1

    assert act(alice, server, "removeSecurityGroup", name).status_code == 202
    work()
    assert groups(alice, server) == ["default"]
    (entry,) = executor.runs[-1].arguments["servers"]
    assert group_id not in entry["ports"][0]["security_groups"]


def test_what_is_not_there_or_not_ones_own_is_refused(
    alice: Any, bob: Any, rita: Any, server: str
) -> None:
    make(bob, "bobs")
    make(alice, "web")
    assert act(alice, server, "addSecurityGroup", "absent").status_code == 404
    assert act(alice, server, "addSecurityGroup", "bobs").status_code == 404
    assert act(alice, server, "removeSecurityGroup", "web").status_code == 404
    assert act(bob, server, "addSecurityGroup", "bobs").status_code == 404
    assert act(rita, server, "addSecurityGroup", "web").status_code == 403
    assert act(alice, server, "addSecurityGroup", "").status_code == 400
    make(alice, "web")
    assert act(alice, server, "addSecurityGroup", "web").status_code == 409
    assert groups(alice, server) == ["default"]


def test_ports_that_are_not_filtered_are_left_out(alice: Any, admin: Any, server: str) -> None:
    make(alice, "web")
    (port,) = alice.get(f"{V2}/ports?device_id={server}").json["ports"]
    open_port = {"security_groups": [], "port_security_enabled": False}
    assert admin.put(f"{V2}/ports/{port['id']}", json={"port": open_port}).status_code == 200
    refused = act(alice, server, "addSecurityGroup", "web")
    assert refused.status_code == 400
    assert "none of its ports is filtered" in refused.json["badRequest"]["message"]
