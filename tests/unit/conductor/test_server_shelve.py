"""Shelved servers: kept as an image, off their hosts, and back where there is room."""

from dataclasses import replace
from typing import Any

import pytest

from controller.conductor import runs
from controller.conductor.reconcilers import shelved_servers
from controller.core import images, server_shelve
from controller.core.server_shelve import Place
from controller.db.models import Allocation, Image, Port, Server
from controller.errors import BadRequest, Conflict, InvalidState
from tests.unit.conductor import killing
from tests.unit.conductor.conftest import CONTEXT, Cloud

STAYS, LEAVES = -1, 0


def keep_for(cloud: Cloud, seconds: int) -> None:
    cloud.settings = replace(cloud.settings, shelved_offload_time_s=seconds)


def shelve(cloud: Cloud, server_id: str) -> None:
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        server_shelve.shelve(session, cloud.settings, CONTEXT, server)


def unshelve(cloud: Cloud, server_id: str, **place: Any) -> None:
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        server_shelve.unshelve(session, cloud.settings, CONTEXT, server, Place(**place))


def shelved_server(cloud: Cloud, seconds: int = LEAVES) -> str:
    keep_for(cloud, seconds)
    server_id = cloud.add_server()
    cloud.add_port(server_id)
    cloud.work()
    shelve(cloud, server_id)
    cloud.work()
    cloud.executor.runs.clear()
    return server_id


def image_of(cloud: Cloud) -> Image:
    with cloud.db.read() as session:
        return session.query(Image).order_by(Image.created_at.desc()).first() or Image()


def held(cloud: Cloud, server_id: str) -> int:
    with cloud.db.read() as session:
        return session.query(Allocation).filter_by(consumer_id=server_id).count()


def port_host(cloud: Cloud) -> str | None:
    with cloud.db.read() as session:
        return session.query(Port).one().host_id


def test_a_shelved_server_leaves_its_host_and_its_room_at_once(cloud: Cloud) -> None:
    cloud.add_host("h1")
    keep_for(cloud, LEAVES)
    server_id = cloud.add_server()
    cloud.add_port(server_id)
    cloud.work()
    cloud.executor.runs.clear()
    shelve(cloud, server_id)
    assert cloud.server(server_id).task_state == "shelving"
    cloud.work()
    assert cloud.playbooks() == ["server_shelve", "server_shelve", "server_shelve_offload"]
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.host_id) == ("shelved_offloaded", None, None)
    assert (held(cloud, server_id), port_host(cloud)) == (0, None)
    made = image_of(cloud)
    assert (made.name, made.status) == ("web-shelved", "active")
    assert (server.shelved or {})["image_id"] == made.id


def test_it_stays_for_as_long_as_the_setting_says(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = shelved_server(cloud, 600)
    assert cloud.server(server_id).state == "shelved"
    assert held(cloud, server_id) > 0
    assert shelved_servers.run(cloud.settings, cloud.db, cloud.clock) == 0
    cloud.clock.advance(601)
    assert shelved_servers.run(cloud.settings, cloud.db, cloud.clock) == 1
    cloud.work()
    assert cloud.server(server_id).state == "shelved_offloaded"
    keep_for(cloud, STAYS)
    assert shelved_servers.run(cloud.settings, cloud.db, cloud.clock) == 0


def test_it_comes_back_where_there_is_room_from_its_image_which_goes(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = shelved_server(cloud)
    source, made = cloud.server(server_id).image_id, image_of(cloud)
    with cloud.db.write() as session:
        session.query(Image).update({"size_bytes": 72})
    cloud.add_host("h2", memory_mb=100000)
    unshelve(cloud, server_id)
    cloud.work()
    (run,) = cloud.executor.runs
    assert (run.playbook, run.hosts[0].name) == ("server_unshelve", "h2")
    assert run.arguments["servers"][0]["image"]["id"] == made.id
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.image_id) == ("active", None, source)
    assert server.shelved is None
    assert held(cloud, server_id) > 0
    assert port_host(cloud) == server.host_id
    assert image_of(cloud).deleted_at is not None


def test_one_that_is_still_on_its_host_is_only_started(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = shelved_server(cloud, STAYS)
    host_id = cloud.server(server_id).host_id
    with pytest.raises(InvalidState, match="still on its host"):
        unshelve(cloud, server_id, zone="nova", zone_given=True)
    unshelve(cloud, server_id)
    cloud.work()
    assert cloud.playbooks() == ["server_start"]
    assert (cloud.server(server_id).state, cloud.server(server_id).host_id) == ("active", host_id)
    assert image_of(cloud).deleted_at is not None


def test_a_shelve_that_fails_starts_the_server_again(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.fails = lambda run, _id: (
        "no" if run.arguments["servers"][0].get("snapshot", {}).get("state") == "present" else None
    )
    shelve(cloud, server_id)
    cloud.work()
    assert cloud.playbooks() == ["server_shelve", "server_shelve", "server_start"]
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.shelved) == ("active", None, None)
    assert image_of(cloud).deleted_at is not None


def test_an_unshelve_that_fails_leaves_nothing_and_tries_another_host(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = shelved_server(cloud)
    cloud.add_host("h2")
    cloud.executor.fails = lambda run, _id: "no" if run.playbook == "server_unshelve" else None
    unshelve(cloud, server_id)
    cloud.work()
    assert cloud.playbooks() == ["server_unshelve", "server_shelve_offload"] * 2
    assert len({run.hosts[0].name for run in cloud.executor.runs}) == 2
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.host_id) == ("shelved_offloaded", None, None)
    assert (held(cloud, server_id), port_host(cloud)) == (0, None)
    assert image_of(cloud).status == "active"


def test_where_it_is_to_go_is_checked(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = shelved_server(cloud)
    with pytest.raises(BadRequest, match="h9"):
        unshelve(cloud, server_id, host="h9")
    with pytest.raises(BadRequest):
        unshelve(cloud, server_id, zone="nowhere", zone_given=True)
    with cloud.db.write() as session:
        session.get_one(Server, server_id).availability_zone = "other"
    with pytest.raises(Conflict, match="not in the availability zone"):
        unshelve(cloud, server_id, host="h1")
    unshelve(cloud, server_id, host="h1", zone_given=True)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.availability_zone) == ("active", None)


def test_without_its_image_it_can_not_come_back(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = shelved_server(cloud)
    with cloud.db.write() as session:
        images.remove(session, session.get_one(Image, image_of(cloud).id))
    with pytest.raises(InvalidState, match="was deleted"):
        unshelve(cloud, server_id)
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"


def begun(cloud: Cloud, kind: str) -> str:
    """Return a server of which this operation is queued."""
    if kind == "server_shelve":
        keep_for(cloud, STAYS)
        server_id = cloud.active_server()
        shelve(cloud, server_id)
        return server_id
    server_id = shelved_server(cloud, STAYS if kind == "server_shelve_offload" else LEAVES)
    if kind == "server_shelve_offload":
        cloud.act(server_id, "shelve_offload")
    else:
        unshelve(cloud, server_id)
    return server_id


AFTER = {
    "server_shelve": "shelved",
    "server_shelve_offload": "shelved_offloaded",
    "server_unshelve": "active",
}
CASES = [case for kind in AFTER for case in killing.moments_of(kind)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {killing.name_of(case)}")
def test_one_that_is_killed_is_finished_by_another_worker(
    cloud: Cloud, case: tuple[str, int, str]
) -> None:
    cloud.add_host("h1")
    server_id = begun(cloud, case[0])
    killing.kill_at(cloud, *case[1:])
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state) == (AFTER[case[0]], None)
    assert (server.host_id is None) == (server.state == "shelved_offloaded")
    assert (held(cloud, server_id) == 0) == (server.state == "shelved_offloaded")


def test_a_server_that_leaves_its_host_is_no_more_told_of_in_rules_of_all_of_it(
    cloud: Cloud,
) -> None:
    """With the offload's own generation it set rules again behind it. Found by chaos."""
    host_id = cloud.add_host("a")
    server_id = shelved_server(cloud, STAYS)
    with cloud.db.write() as session:
        (entry,) = runs.rules_of_host(session, host_id)["servers"]
        assert entry["id"] == server_id
        server = session.get_one(Server, server_id)
        server_shelve.offload(session, cloud.settings, server)
        assert runs.rules_of_host(session, host_id)["servers"] == []
