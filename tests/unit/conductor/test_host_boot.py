"""After a host's boot: what was rescued or resized, and ran, comes back as it was."""

from dataclasses import replace

import pytest

from controller.conductor.reconcilers import host_heartbeat
from controller.core import server_moves, server_rescue
from controller.db.models import Flavor, Server
from controller.runner.simulated_hosts import SimulatedHost
from tests.unit.conductor import killing
from tests.unit.conductor.conftest import Cloud
from tests.unit.conductor.moving import ADMIN

RUNNING, SHUT_DOWN = 1, 4


@pytest.fixture
def booting(two_hosts: Cloud) -> Cloud:
    """A cloud of two hosts that have been asked once, with a larger flavor."""
    with two_hosts.db.write() as session:
        session.add(Flavor(flavor_id="2", name="m1.big", vcpus=2, memory_mb=256, disk_gb=2))
    beat(two_hosts)
    return two_hosts


def beat(cloud: Cloud) -> None:
    cloud.clock.advance(cloud.settings.heartbeat_s)
    host_heartbeat.run(cloud.settings, cloud.db, cloud.executor, cloud.clock)


def make(cloud: Cloud, state: str, *, stopped: bool = False) -> str:
    """Return a server that is rescued or resized; one that was `stopped` before, if asked for."""
    server_id = cloud.active_server()
    if stopped:
        cloud.act(server_id, "stop")
        cloud.work()
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        if state == "rescued":
            server_rescue.rescue(session, cloud.settings, ADMIN, server, None, "r3scue")
        else:
            server_moves.resize(session, cloud.settings, ADMIN, server, "2")
    cloud.work()
    assert seen(cloud, server_id)[0] == state
    cloud.executor.runs.clear()
    return server_id


def end(cloud: Cloud, server_id: str, ending: str) -> None:
    """End the rescue or the resize, as the API does."""
    endings = {"confirm": server_moves.confirm, "revert": server_moves.revert}
    if ending in endings:
        with cloud.db.write() as session:
            server = session.get_one(Server, server_id)
            endings[ending](session, cloud.settings, ADMIN, server)
    else:
        cloud.act(server_id, ending)
    cloud.work()


def there(cloud: Cloud, server_id: str) -> SimulatedHost:
    """Return the host that the server is on."""
    return cloud.executor.hosts.hosts[str(cloud.server(server_id).host_id)]


def boot(cloud: Cloud, server_id: str) -> None:
    """Cut the power of the server's host, and have it asked once it is back."""
    there(cloud, server_id).boot()
    beat(cloud)


def seen(cloud: Cloud, server_id: str) -> tuple[str, str | None, int]:
    server = cloud.server(server_id)
    return server.state, server.task_state, server.power_state


def starts(cloud: Cloud, server_id: str) -> list[bool]:
    """Return for each start of the server whether it was one of the domain as it is defined."""
    return [
        entry.get("as_defined", False)
        for run in cloud.executor.runs
        if run.playbook == "server_start"
        for entry in run.arguments["servers"]
        if entry["id"] == server_id
    ]


def test_a_rescued_server_boots_its_rescue_disk_again(booting: Cloud) -> None:
    server_id = make(booting, "rescued")
    boot(booting, server_id)
    assert seen(booting, server_id) == ("rescued", "powering-on", SHUT_DOWN)
    booting.work()
    assert starts(booting, server_id) == [True]
    assert seen(booting, server_id) == ("rescued", None, RUNNING)
    assert there(booting, server_id).servers[server_id].state == "running"
    end(booting, server_id, "unrescue")
    assert seen(booting, server_id) == ("active", None, RUNNING)


@pytest.mark.parametrize("ending", ["confirm", "revert"])
def test_a_resized_server_starts_where_it_is_with_its_new_size(booting: Cloud, ending: str) -> None:
    server_id = make(booting, "resized")
    host_id = booting.server(server_id).host_id
    boot(booting, server_id)
    booting.work()
    assert starts(booting, server_id) == [False]
    assert seen(booting, server_id) == ("resized", None, RUNNING)
    assert booting.server(server_id).host_id == host_id
    started = there(booting, server_id).servers[server_id]
    assert (started.state, started.entry["flavor"]["memory_mb"]) == ("running", 256)
    end(booting, server_id, ending)
    assert seen(booting, server_id) == ("active", None, RUNNING)
    assert (booting.server(server_id).host_id == host_id) is (ending == "confirm")


def test_a_resized_server_that_was_off_stays_off(booting: Cloud) -> None:
    server_id = make(booting, "resized", stopped=True)
    assert seen(booting, server_id) == ("resized", None, SHUT_DOWN)
    boot(booting, server_id)
    booting.work()
    assert starts(booting, server_id) == []
    end(booting, server_id, "confirm")
    assert seen(booting, server_id) == ("stopped", None, SHUT_DOWN)


@pytest.mark.parametrize("state", ["rescued", "resized"])
def test_a_guest_that_had_ended_itself_is_not_started(booting: Cloud, state: str) -> None:
    server_id = make(booting, state)
    there(booting, server_id).servers[server_id].state = "stopped"
    beat(booting)
    assert seen(booting, server_id) == (state, None, SHUT_DOWN)
    boot(booting, server_id)
    assert seen(booting, server_id) == (state, None, SHUT_DOWN)


def test_a_resize_whose_guest_had_ended_is_confirmed_as_stopped(booting: Cloud) -> None:
    server_id = make(booting, "resized")
    there(booting, server_id).servers[server_id].state = "stopped"
    beat(booting)
    end(booting, server_id, "confirm")
    assert seen(booting, server_id) == ("stopped", None, SHUT_DOWN)


@pytest.mark.parametrize(
    ("state", "ending", "after"),
    [
        ("rescued", "unrescue", "active"),
        ("resized", "confirm", "stopped"),
        ("resized", "revert", "active"),
    ],
)
def test_where_none_is_to_be_started_the_state_stays_and_can_be_ended(
    booting: Cloud, state: str, ending: str, after: str
) -> None:
    server_id = make(booting, state)
    booting.settings = replace(booting.settings, resume_guests_on_host_boot=False)
    boot(booting, server_id)
    booting.work()
    assert starts(booting, server_id) == []
    assert seen(booting, server_id) == (state, None, SHUT_DOWN)
    end(booting, server_id, ending)
    assert seen(booting, server_id)[:2] == (after, None)


@pytest.mark.parametrize("state", ["rescued", "resized"])
def test_a_start_that_fails_leaves_the_way_out(booting: Cloud, state: str) -> None:
    server_id = make(booting, state)
    booting.executor.fails = lambda run, _id: "no" if run.playbook == "server_start" else None
    boot(booting, server_id)
    booting.work()
    assert seen(booting, server_id) == (state, None, SHUT_DOWN)
    booting.executor.fails = lambda _run, _id: None
    end(booting, server_id, "unrescue" if state == "rescued" else "revert")
    assert seen(booting, server_id) == ("active", None, RUNNING)


@pytest.mark.parametrize("state", ["rescued", "resized"])
@pytest.mark.parametrize("case", killing.moments_of("server_start"), ids=killing.name_of)
def test_a_killed_start_is_finished_by_another_worker(
    booting: Cloud, state: str, case: tuple[str, int, str]
) -> None:
    server_id = make(booting, state)
    there(booting, server_id).boot()
    booting.act(server_id, "start_again")
    assert killing.kill_at(booting, *case[1:])
    booting.work()
    assert seen(booting, server_id) == (state, None, RUNNING)
    assert there(booting, server_id).servers[server_id].state == "running"


def test_the_boot_of_a_resizes_old_host_touches_nothing(booting: Cloud) -> None:
    server_id = make(booting, "resized")
    (old,) = (
        host
        for host_id, host in booting.executor.hosts.hosts.items()
        if host_id != booting.server(server_id).host_id
    )
    old.boot()
    beat(booting)
    booting.work()
    assert starts(booting, server_id) == []
    assert seen(booting, server_id) == ("resized", None, RUNNING)
