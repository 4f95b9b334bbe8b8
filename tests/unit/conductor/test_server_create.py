"""The create of a server: its steps, its tries on several hosts, and how each is taken back."""

from datetime import timedelta

import pytest
from sqlalchemy import event

from controller.db.models import Allocation, Port, ServerAction, ServerEvent
from controller.runner.requests import Run
from tests.unit.conductor.conftest import Cloud


def allocated(cloud: Cloud) -> dict[tuple[str, str], int]:
    """MEMORY_MB by consumer and provider."""
    with cloud.db.read() as session:
        rows = session.query(Allocation).filter_by(resource_class="MEMORY_MB")
        return {(row.consumer_id, row.provider_id): row.used for row in rows}


def test_a_server_becomes_active_on_the_host_with_most_room(cloud: Cloud) -> None:
    cloud.add_host("small", memory_mb=2048)
    large = cloud.add_host("large")
    server_id = cloud.add_server()

    cloud.work()

    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.power_state) == ("active", None, 1)
    assert server.host_id == large
    assert server.launched_at is not None
    assert server.fault is None
    assert allocated(cloud) == {(server_id, large): 128}
    assert cloud.playbooks() == ["server_create"]


def test_its_ports_are_bound_to_the_host_and_up(cloud: Cloud) -> None:
    host = cloud.add_host("h1")
    server_id = cloud.add_server()
    port_id = cloud.add_port(server_id)
    cloud.work()
    with cloud.db.read() as session:
        port = session.get_one(Port, port_id)
        assert (port.host_id, port.status) == (host, "ACTIVE")


def test_the_run_carries_secrets_apart_from_arguments_and_forgets_them(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server(user_data="IyEvYmluL3No")
    cloud.work()
    run = cloud.executor.runs[0]
    assert run.secrets == {server_id: {"admin_pass": "s3cret", "user_data": "IyEvYmluL3No"}}
    assert "s3cret" not in str(run.arguments)
    assert "IyEvYmluL3No" not in str(run.arguments)
    assert cloud.operations()[0].sealed is None


def test_its_steps_are_events_of_its_action(cloud: Cloud) -> None:
    cloud.add_host("h1")
    cloud.add_server()
    cloud.work()
    with cloud.db.read() as session:
        events = session.query(ServerEvent).order_by(ServerEvent.id).all()
        assert [event.name for event in events] == ["choose_host", "bind_ports", "spawn", "Pretend"]
        assert {event.result for event in events} == {"Success"}
        assert all(event.finished_at is not None for event in events)


def test_without_a_host_that_fits_it_ends_in_error_with_each_filters_count(cloud: Cloud) -> None:
    cloud.add_host("tiny", memory_mb=600)
    host = cloud.host(cloud.add_host("silent"))
    with cloud.db.write() as session:
        session.merge(host).last_seen_at = cloud.clock() - timedelta(hours=1)
    server_id = cloud.add_server()

    cloud.work()

    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.host_id) == ("error", None, None)
    assert server.fault is not None
    assert (
        server.fault["message"] == "No valid host was found. There are not enough hosts available."
    )
    assert "Resources 1" in server.fault["details"]
    assert "Enabled 1" in server.fault["details"]
    assert allocated(cloud) == {}
    assert cloud.playbooks() == []


def test_a_host_that_fails_is_cleaned_and_the_next_one_tried(cloud: Cloud) -> None:
    first, second = cloud.add_host("a", memory_mb=10000), cloud.add_host("b")
    cloud.executor.fails = lambda run, _id: (
        "disk full" if run.playbook == "server_create" and run.hosts[0].name == "a" else None
    )
    server_id = cloud.add_server()

    cloud.work()

    assert cloud.server(server_id).state == "active"
    assert cloud.server(server_id).host_id == second
    assert cloud.playbooks() == ["server_create", "server_delete", "server_create"]
    assert [run.hosts[0].id for run in cloud.executor.runs] == [first, first, second]
    assert allocated(cloud) == {(server_id, second): 128}


def test_three_hosts_are_tried_in_all(cloud: Cloud) -> None:
    for name in "abcd":
        cloud.add_host(name)
    cloud.executor.fails = lambda run, _id: (
        "/var/lib/novella: disk full" if run.playbook == "server_create" else None
    )
    server_id = cloud.add_server()

    cloud.work()

    server = cloud.server(server_id)
    assert cloud.playbooks() == ["server_create", "server_delete"] * 3
    assert (server.state, server.host_id) == ("error", None)
    assert allocated(cloud) == {}
    with cloud.db.read() as session:
        assert session.query(ServerAction).one().message == "Error"


def test_a_fault_names_neither_host_nor_path_to_tenants(cloud: Cloud) -> None:
    cloud.add_host("secret-host")
    cloud.executor.fails = lambda run, _id: f"/var/lib/novella on {run.hosts[0].name}: disk full"
    server_id = cloud.add_server()
    cloud.work()
    fault = cloud.server(server_id).fault
    assert fault is not None
    assert "secret-host" not in fault["message"]
    assert "/" not in fault["message"]
    assert "disk full" in fault["details"]


def test_an_unreachable_host_keeps_the_room_until_it_is_known_to_be_clean(cloud: Cloud) -> None:
    first, second = cloud.add_host("a", memory_mb=10000), cloud.add_host("b")
    cloud.executor.unreachable = {"a"}
    server_id = cloud.add_server()

    cloud.work()

    assert cloud.server(server_id).state == "active"
    (cleanup,) = cloud.operations(kind="server_cleanup")
    assert cleanup.state == "queued"
    assert allocated(cloud) == {(server_id, second): 128, (cleanup.id, first): 128}
    # A host that did not answer gets no new servers before it does.
    assert not _is_up(cloud, first)

    cloud.executor.unreachable = set()
    cloud.clock.advance(120)
    cloud.work()

    assert cloud.operations(kind="server_cleanup")[0].state == "succeeded"
    assert allocated(cloud) == {(server_id, second): 128}
    assert cloud.executor.runs[-1].hosts[0].id == first
    assert cloud.executor.runs[-1].playbook == "server_delete"


def test_each_run_has_a_higher_generation_than_the_one_before(cloud: Cloud) -> None:
    cloud.add_host("a", memory_mb=10000)
    cloud.add_host("b")
    cloud.executor.fails = lambda run, _id: (
        "no" if run.playbook == "server_create" and run.hosts[0].name == "a" else None
    )
    cloud.add_server()
    cloud.work()
    assert [run.arguments["servers"][0]["generation"] for run in cloud.executor.runs] == [1, 2, 3]


def test_a_result_for_somebody_elses_server_is_not_believed(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    original = cloud.executor._item

    def lie(run: Run, item_id: str) -> dict[str, object]:
        return original(run, item_id) | {"id": "00000000-0000-4000-8000-000000000001"}

    cloud.executor._item = lie  # type: ignore[method-assign]
    cloud.work()
    assert cloud.server(server_id).state == "error"


def test_ten_at_once_spread_over_hosts_and_go_out_in_batches(cloud: Cloud) -> None:
    cloud.add_host("a")
    cloud.add_host("b")
    servers = [cloud.add_server(f"s{number}") for number in range(10)]
    cloud.work()
    assert {cloud.server(each).state for each in servers} == {"active"}
    sizes = [len(run.arguments["servers"]) for run in cloud.executor.runs]
    assert sizes == [5, 5]


def _is_up(cloud: Cloud, host_id: str) -> bool:
    from controller.core import hosts

    return hosts.is_up(cloud.host(host_id), cloud.settings, cloud.clock())


@pytest.mark.parametrize("said", ["half a pair \ud800", "\x00"])
def test_a_host_that_says_what_cannot_be_kept_holds_up_nothing(cloud: Cloud, said: str) -> None:
    cloud.add_host("h1")
    cloud.executor.fails = lambda _run, _item: said
    server_id = cloud.add_server()
    cloud.work()
    assert cloud.server(server_id).state == "error"
    assert [each.state for each in cloud.operations(kind="server_create")] == ["failed"]


def test_a_create_takes_few_statements(cloud: Cloud) -> None:
    """Each step's rows go out once, at the end, and not before each question of the next."""
    cloud.add_host("h1")
    cloud.active_server()
    server_id = cloud.add_server("web")
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        # How a transaction begins differs between databases.
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(cloud.db.engine, "before_cursor_execute", note)
    cloud.work()
    event.remove(cloud.db.engine, "before_cursor_execute", note)
    assert cloud.server(server_id).state == "active"
    assert len([each for each in statements if each.startswith("UPDATE servers")]) <= 3
    assert len([each for each in statements if "operations SET" in each]) <= 4
    # It was 69 once.
    assert len(statements) <= 52
