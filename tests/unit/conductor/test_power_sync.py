"""What heartbeats say of domains: guests that are off, that run, and hosts that have booted."""

from dataclasses import replace

import pytest

from controller.conductor.reconcilers import host_heartbeat, rounds
from controller.db.models import Server
from controller.errors import QueueFull
from controller.runner.requests import Run, RunResult
from controller.runner.simulated_hosts import SimulatedHost
from tests.fixtures.statements import counted
from tests.unit.conductor.conftest import Cloud


@pytest.fixture
def host(cloud: Cloud) -> SimulatedHost:
    """The one host of a cloud, which has been asked once."""
    host_id = cloud.add_host("a")
    beat(cloud)
    return cloud.executor.hosts.hosts[host_id]


def beat(cloud: Cloud) -> int:
    cloud.clock.advance(cloud.settings.heartbeat_s)
    return host_heartbeat.run(cloud.settings, cloud.db, cloud.executor, cloud.clock)


def state(cloud: Cloud, server_id: str) -> tuple[str, str | None, int]:
    server = cloud.server(server_id)
    return server.state, server.task_state, server.power_state


def test_a_guest_that_shut_itself_down_is_stopped(cloud: Cloud, host: SimulatedHost) -> None:
    server_id = cloud.active_server()
    beat(cloud)
    assert state(cloud, server_id) == ("active", None, 1)
    host.servers[server_id].state = "stopped"
    beat(cloud)
    assert state(cloud, server_id) == ("stopped", None, 4)


def test_a_guest_that_runs_although_stopped_is_stopped_again(
    cloud: Cloud, host: SimulatedHost
) -> None:
    server_id = stopped_but_running(cloud, host)
    beat(cloud)
    assert state(cloud, server_id)[1] == "powering-off"
    cloud.work()
    assert state(cloud, server_id) == ("stopped", None, 4)
    assert host.servers[server_id].state == "stopped"


def test_it_is_only_reported_when_the_setting_says_so(
    cloud: Cloud, host: SimulatedHost, caplog: pytest.LogCaptureFixture
) -> None:
    server_id = stopped_but_running(cloud, host)
    cloud.settings = replace(cloud.settings, power_sync="report")
    beat(cloud)
    assert state(cloud, server_id) == ("stopped", None, 4)
    assert f"server {server_id} is stopped, and runs on host a" in caplog.text


def stopped_but_running(cloud: Cloud, host: SimulatedHost) -> str:
    server_id = cloud.active_server()
    cloud.act(server_id, "stop")
    cloud.work()
    host.servers[server_id].state = "running"
    return server_id


def test_after_a_hosts_boot_what_should_run_is_started_and_rules_are_set(
    cloud: Cloud, host: SimulatedHost
) -> None:
    runs = cloud.active_server()
    stopped = cloud.add_server("stopped")
    cloud.work()
    cloud.act(stopped, "stop")
    cloud.work()
    host.boot()
    beat(cloud)
    assert state(cloud, runs)[1] == "rebooting_hard"
    assert state(cloud, stopped) == ("stopped", None, 4)
    cloud.work()
    assert state(cloud, runs) == ("active", None, 1)
    assert host.servers[runs].state == "running"
    assert host.servers[stopped].state == "stopped"
    assert "port_update" in cloud.playbooks()
    beat(cloud)
    assert state(cloud, runs) == ("active", None, 1)


def test_after_a_hosts_boot_nothing_is_started_when_the_setting_says_so(
    cloud: Cloud, host: SimulatedHost
) -> None:
    server_id = cloud.active_server()
    cloud.settings = replace(cloud.settings, resume_guests_on_host_boot=False)
    host.boot()
    beat(cloud)
    assert state(cloud, server_id) == ("stopped", None, 4)
    cloud.work()
    assert cloud.playbooks().count("server_hard_reboot") == 0
    assert "port_update" in cloud.playbooks()


def test_after_a_hosts_boot_leftovers_are_looked_for_at_once(
    cloud: Cloud, host: SimulatedHost
) -> None:
    def mine() -> bool:
        turn = rounds.turn(
            cloud.db, rounds.LEFTOVERS, "me", cloud.clock, every_s=86400, longest_s=60
        )
        with turn as is_mine:
            return is_mine

    assert [mine(), mine()] == [True, False]
    host.boot()
    beat(cloud)
    assert [mine(), mine()] == [True, False]


def test_a_full_queue_keeps_no_server_from_its_start_after_a_boot(
    cloud: Cloud, host: SimulatedHost
) -> None:
    servers = [cloud.active_server(), cloud.active_server()]
    cloud.settings = replace(cloud.settings, queue_max=0)
    host.boot()
    assert beat(cloud) == 1
    assert [state(cloud, each)[1] for each in servers] == ["rebooting_hard"] * 2


def test_the_starts_after_a_boot_keep_no_user_out(cloud: Cloud, host: SimulatedHost) -> None:
    servers = [cloud.active_server(), cloud.active_server()]
    cloud.settings = replace(cloud.settings, queue_max=1)
    host.boot()
    beat(cloud)
    assert [state(cloud, each)[1] for each in servers] == ["rebooting_hard"] * 2
    # Two of users' own are more than may wait.
    accepted = [cloud.add_server("one"), cloud.add_server("two")]
    assert [cloud.server(each).task_state for each in accepted] == ["scheduling"] * 2
    with pytest.raises(QueueFull):
        cloud.add_server("three")


def test_what_is_being_worked_on_is_left_to_its_operation(
    cloud: Cloud, host: SimulatedHost
) -> None:
    server_id = cloud.active_server()
    cloud.act(server_id, "reboot")
    host.servers[server_id].state = "stopped"
    beat(cloud)
    assert state(cloud, server_id)[:2] == ("active", "rebooting")


def test_an_answer_from_before_an_action_says_nothing(cloud: Cloud, host: SimulatedHost) -> None:
    """The host was asked while the server was off; it was started before the answer came in."""
    server_id = cloud.active_server()
    host.servers[server_id].state = "stopped"
    run = cloud.executor.run

    def run_while_it_is_rebooted(request: Run) -> RunResult:
        result = run(request)
        if request.playbook == "host_info":
            cloud.executor.run = run  # type: ignore[method-assign]
            cloud.act(server_id, "hard_reboot")
            cloud.work()
        return result

    cloud.executor.run = run_while_it_is_rebooted  # type: ignore[method-assign]
    beat(cloud)
    assert state(cloud, server_id) == ("active", None, 1)


def test_a_server_without_a_domain_is_not_called_stopped(cloud: Cloud, host: SimulatedHost) -> None:
    server_id = cloud.active_server()
    host.servers.clear()
    beat(cloud)
    assert state(cloud, server_id) == ("active", None, 1)


@pytest.mark.parametrize("said", [None, [], {"x": 7}, "text"])
def test_nonsense_from_a_host_changes_nothing(
    cloud: Cloud, host: SimulatedHost, said: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_id = cloud.active_server()
    monkeypatch.setattr(cloud.executor.hosts, "domains", lambda _host: said)
    assert beat(cloud) == 1
    with cloud.db.read() as session:
        assert session.get_one(Server, server_id).state == "active"


@pytest.mark.parametrize("said", [None, 7, [], {}])
def test_a_state_that_is_no_text_changes_nothing(
    cloud: Cloud, host: SimulatedHost, said: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_id = cloud.active_server()
    monkeypatch.setattr(cloud.executor.hosts, "domains", lambda _host: {server_id: said})
    assert beat(cloud) == 1
    assert state(cloud, server_id) == ("active", None, 1)


def put(cloud: Cloud, server_id: str, state_name: str) -> None:
    with cloud.db.write() as session:
        session.get_one(Server, server_id).state = state_name


def test_a_paused_guest_that_went_off_is_stopped(cloud: Cloud, host: SimulatedHost) -> None:
    server_id = cloud.active_server()
    put(cloud, server_id, "paused")
    host.servers[server_id].state = "paused"
    beat(cloud)
    assert state(cloud, server_id)[0] == "paused"
    host.servers[server_id].state = "crashed"
    beat(cloud)
    assert state(cloud, server_id) == ("stopped", None, 4)


def test_a_heartbeat_asks_as_little_whatever_the_number_of_rescued_servers(
    cloud: Cloud, host: SimulatedHost
) -> None:
    counts = []
    for _ in range(2):
        for _ in range(3):
            put(cloud, cloud.active_server(), "rescued")
        beat(cloud)
        with counted(cloud.db.engine) as asked:
            beat(cloud)
        counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("settled", ["suspended", "shelved", "soft-delete", "rescued"])
def test_what_only_its_owner_can_decide_is_reported(
    settled: str, cloud: Cloud, host: SimulatedHost, caplog: pytest.LogCaptureFixture
) -> None:
    server_id = cloud.active_server()
    put(cloud, server_id, settled)
    is_off = settled == "rescued"
    host.servers[server_id].state = "running" if is_off else "stopped"
    beat(cloud)
    assert server_id not in caplog.text
    host.servers[server_id].state = found = "stopped" if is_off else "running"
    beat(cloud)
    assert state(cloud, server_id)[:2] == (settled, None)
    assert f"server {server_id} is {settled}, and {found} on host a" in caplog.text


def test_a_hosts_boot_takes_a_paused_guests_memory_and_no_suspended_ones(
    cloud: Cloud, host: SimulatedHost
) -> None:
    paused, suspended = cloud.active_server(), cloud.active_server()
    put(cloud, paused, "paused")
    put(cloud, suspended, "suspended")
    host.boot()
    beat(cloud)
    assert state(cloud, paused) == ("stopped", None, 4)
    assert state(cloud, suspended)[:2] == ("suspended", None)
