"""Deletes: of servers that run, that are being built, and whose host is away."""

import threading

from controller.core import transitions
from controller.db.models import Allocation, Port
from controller.runner.requests import Run
from controller.states import TABLE
from lab.waiting import wait_until
from tests.unit.conductor.conftest import Cloud


def allocations(cloud: Cloud) -> int:
    with cloud.db.read() as session:
        return session.query(Allocation).count()


def test_a_server_is_removed_from_its_host_and_from_the_books(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server(unique_name="web")
    mine, theirs = cloud.add_port(server_id), cloud.add_port(server_id, made_by_server=False)
    cloud.work()

    cloud.act(server_id, "delete")
    cloud.work()

    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.unique_name) == ("deleted", None, None)
    assert server.deleted_at is not None
    assert cloud.playbooks() == ["server_create", "server_delete"]
    assert allocations(cloud) == 0
    with cloud.db.read() as session:
        assert session.get(Port, mine) is None
        assert session.get_one(Port, theirs).device_id == ""


def test_a_server_without_a_host_needs_no_play(cloud: Cloud) -> None:
    server_id = cloud.add_server()
    cloud.work()
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"
    assert cloud.playbooks() == []


def test_a_delete_before_the_build_began_leaves_nothing_to_do(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"
    assert cloud.playbooks() == []
    assert allocations(cloud) == 0


def test_a_delete_during_the_build_ends_its_run_and_undoes_it(cloud: Cloud) -> None:
    cloud.add_host("h1")
    cloud.executor.delay_s = 60
    server_id = cloud.add_server()
    engine = cloud.engine()
    engine.tick()
    wait_until(
        lambda: bool(cloud.executor.runs), what="the create's run is under way", timeout_s=60
    )

    # Long enough that a cancel of the undoing, too, would be noticed.
    cloud.executor.delay_s = 0.3
    delete_id = cloud.act(server_id, "delete")
    engine.run_until_idle()

    assert cloud.server(server_id).state == "deleted"
    assert cloud.playbooks() == ["server_create", "server_delete"]
    assert allocations(cloud) == 0
    assert [each.state for each in cloud.operations(kind="server_create")] == ["failed"]
    assert cloud.operations(id=delete_id)[0].state == "succeeded"
    assert cloud.operations(kind="server_cleanup") == []


def test_a_server_whose_host_is_away_is_deleted_and_cleaned_when_it_is_back(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    port_id = cloud.add_port(server_id)
    cloud.work()
    cloud.executor.unreachable = {"h1"}

    cloud.act(server_id, "delete")
    cloud.work()

    assert cloud.server(server_id).state == "deleted"
    # The guest may still run: neither its room nor its address may be given to another.
    assert allocations(cloud) == 3
    with cloud.db.read() as session:
        assert session.get(Port, port_id) is not None

    cloud.executor.unreachable = set()
    cloud.clock.advance(3600)
    cloud.work()

    assert allocations(cloud) == 0
    with cloud.db.read() as session:
        assert session.get(Port, port_id) is None
    entry = cloud.executor.runs[-1].arguments["servers"][0]
    assert [port["id"] for port in entry["ports"]] == [port_id]


def test_the_addresses_of_a_build_that_a_host_may_still_run_stay_taken_after_the_delete(
    cloud: Cloud,
) -> None:
    """The build went on elsewhere, or was cancelled; the host that is away had begun it."""
    cloud.add_host("larger", memory_mb=99999)
    cloud.add_host("smaller")
    server_id = cloud.add_server()
    port_id = cloud.add_port(server_id)
    cloud.executor.unreachable = {"larger"}
    cloud.work()
    assert cloud.server(server_id).state == "active"

    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"
    with cloud.db.read() as session:
        assert session.get(Port, port_id) is not None

    cloud.executor.unreachable = set()
    cloud.clock.advance(3600)
    cloud.work()
    with cloud.db.read() as session:
        assert session.get(Port, port_id) is None
    assert allocations(cloud) == 0


def test_a_clean_up_takes_no_port_of_a_server_that_lives(cloud: Cloud) -> None:
    cloud.add_host("larger", memory_mb=99999)
    cloud.add_host("smaller")
    server_id = cloud.add_server()
    port_id = cloud.add_port(server_id)
    cloud.executor.unreachable = {"larger"}
    cloud.work()
    cloud.executor.unreachable = set()
    cloud.clock.advance(3600)
    cloud.work()
    assert [each.state for each in cloud.operations(kind="server_cleanup")] == ["succeeded"]
    with cloud.db.read() as session:
        assert session.get_one(Port, port_id).status == "ACTIVE"


def test_a_host_that_can_not_delete_it_leaves_it_in_error_after_three_tries(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.fails = lambda _run, _id: "device is busy"
    cloud.act(server_id, "delete")
    for _ in range(3):
        cloud.work()
        cloud.clock.advance(60)
    server = cloud.server(server_id)
    assert [name for name in cloud.playbooks() if name == "server_delete"] == ["server_delete"] * 3
    assert (server.state, server.task_state) == ("error", None)

    cloud.executor.fails = None
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"


def test_a_build_that_ends_late_does_not_hide_that_the_server_is_being_deleted(
    cloud: Cloud,
) -> None:
    """The delete is accepted between the end of the create's run and its last transaction."""
    cloud.add_host("h1")
    server_id = cloud.add_server()
    with cloud.db.write() as session:
        server = session.merge(cloud.server(server_id))
        server.task_state = "deleting"
        transitions.succeed(server, TABLE["create"], cloud.clock())
        assert (server.state, server.task_state) == ("active", "deleting")


def test_a_cancel_spares_the_others_of_its_batch(cloud: Cloud) -> None:
    cloud.add_host("h1")
    gate = threading.Event()

    def wait(run: Run, _item_id: str) -> None:
        if run.playbook == "server_create":
            gate.wait(60)

    cloud.executor.fails = wait
    kept, gone = cloud.add_server("kept"), cloud.add_server("gone")
    engine = cloud.engine()
    engine.tick()
    wait_until(lambda: bool(cloud.executor.runs), what="the run of both is under way", timeout_s=60)
    cloud.act(gone, "delete")
    engine.tick()
    gate.set()
    engine.run_until_idle()
    assert cloud.server(kept).state == "active"
    assert cloud.server(gone).state == "deleted"
