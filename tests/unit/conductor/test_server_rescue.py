"""Rescue and unrescue: what hosts are told, and what becomes of a rescue that fails."""

import pytest

from controller.core import server_rescue
from controller.db.models import Server
from tests.unit.conductor import killing
from tests.unit.conductor.conftest import CONTEXT, Cloud


def begin(cloud: Cloud, server_id: str) -> None:
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        server_rescue.rescue(session, cloud.settings, CONTEXT, server, None, "r3scue")


def rescued_server(cloud: Cloud) -> str:
    server_id = cloud.active_server()
    begin(cloud, server_id)
    cloud.work()
    cloud.executor.runs.clear()
    return server_id


def test_a_server_is_rescued_with_its_own_image_unless_told_otherwise(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    begin(cloud, server_id)
    cloud.work()
    (run,) = cloud.executor.runs
    (entry,) = run.arguments["servers"]
    assert entry["rescue"]["image"] == entry["image"]
    assert run.secrets[server_id]["admin_pass"] == "r3scue"
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.power_state) == ("rescued", None, 1)
    cloud.act(server_id, "unrescue")
    cloud.work()
    assert cloud.playbooks() == ["server_rescue", "server_unrescue"]
    assert cloud.server(server_id).state == "active"


@pytest.mark.parametrize("was_off", [False, True])
def test_a_rescue_that_fails_is_taken_back(cloud: Cloud, was_off: bool) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    if was_off:
        cloud.act(server_id, "stop")
        cloud.work()
        cloud.executor.runs.clear()
    cloud.executor.fails = lambda run, _item: "no" if run.playbook == "server_rescue" else None
    begin(cloud, server_id)
    cloud.work()
    assert cloud.playbooks() == ["server_rescue", "server_unrescue"]
    assert cloud.executor.runs[-1].arguments["servers"][0]["stays_off"] is was_off
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("error", None)


def test_a_rescued_server_is_deleted_and_not_rebooted(cloud: Cloud) -> None:
    """As upstream, which reboots none: the way out is to unrescue it."""
    cloud.add_host("h1")
    server_id = rescued_server(cloud)
    with pytest.raises(Exception, match="it is rescued"):
        cloud.act(server_id, "hard_reboot")
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"


@pytest.mark.parametrize("case", killing.moments_of("server_rescue"), ids=killing.name_of)
def test_a_killed_rescue_is_finished_by_another_worker(
    cloud: Cloud, case: tuple[str, int, str]
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    begin(cloud, server_id)
    assert killing.kill_at(cloud, *case[1:])
    cloud.work()
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("rescued", None)


@pytest.mark.parametrize("case", killing.moments_of("server_unrescue"), ids=killing.name_of)
def test_a_killed_unrescue_is_finished_by_another_worker(
    cloud: Cloud, case: tuple[str, int, str]
) -> None:
    cloud.add_host("h1")
    server_id = rescued_server(cloud)
    cloud.act(server_id, "unrescue")
    assert killing.kill_at(cloud, *case[1:])
    cloud.work()
    assert (cloud.server(server_id).state, cloud.server(server_id).task_state) == ("active", None)
