"""Workers that die, pause or stop: what they held is finished by others, and by nobody twice."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.conductor import claims
from controller.conductor.engine import Engine
from controller.conductor.incarnation import Incarnation
from controller.conductor.moves import Ended
from controller.conductor.reconcilers import expired_leases, lost_task_states
from controller.conductor.steps import Outcome
from controller.core import hosts
from controller.db.models import Operation, Server
from controller.errors import Conflict
from controller.runner.requests import OK, Run
from lab.waiting import wait_until
from tests.unit.conductor.conftest import Cloud

PROJECT = Path(__file__).resolve().parents[3]


@contextmanager
def worker(cloud: Cloud, delay_s: float, name: str = "worker") -> Iterator[subprocess.Popen[bytes]]:
    """Run a real worker process with simulated hosts."""
    config = cloud.settings.state_dir / "novella.toml"
    config.write_text(
        f'state_dir = "{cloud.settings.state_dir}"\nexecutor = "simulated"\n'
        f'database_url = "{cloud.settings.database_url}"\n'
        f"simulated_delay_s = {delay_s}\npoll_s = 0.1\nstop_timeout_s = 5\n"
    )
    command = [sys.executable, "-m", "controller.cli", "--config", str(config), "worker"]
    process = subprocess.Popen([*command, "--name", name], cwd=PROJECT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_create_survives_the_sigkill_of_its_worker_in_mid_run(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    server_id = cloud.add_server()
    with worker(cloud, delay_s=60) as first:
        wait_until(
            lambda: cloud.server(server_id).generation == 1, what="its run is under way",
            timeout_s=60,
        )  # fmt: skip
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert cloud.server(server_id).task_state == "spawning"

    # The lease lasts longer than this waits: the lock alone proves that the first one is dead.
    with worker(cloud, delay_s=0.1):
        wait_until(
            lambda: cloud.server(server_id).state == "active", what="the server is up", timeout_s=25
        )
    assert cloud.server(server_id).host_id == host_id
    # The second run shuts out what the first may have left on the host.
    assert cloud.server(server_id).generation == 2


def test_a_worker_told_to_stop_hands_on_what_it_could_not_finish(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    with worker(cloud, delay_s=60) as process:
        wait_until(
            lambda: cloud.server(server_id).generation == 1, what="its run is under way",
            timeout_s=60,
        )  # fmt: skip
        process.terminate()
        assert process.wait(timeout=40) == 0
    (operation,) = cloud.operations()
    assert (operation.state, operation.lease_owner) == ("queued", None)
    cloud.work()
    assert cloud.server(server_id).state == "active"


def test_two_workers_of_one_name_can_not_run(tmp_path: Path) -> None:
    first = Incarnation(tmp_path, "worker")
    with pytest.raises(Conflict, match="runs already"):
        Incarnation(tmp_path, "worker")
    first.close()
    Incarnation(tmp_path, "worker").close()


def test_only_a_life_that_is_over_here_counts_as_dead(tmp_path: Path) -> None:
    elsewhere = Incarnation(tmp_path / "other", "worker")
    first = Incarnation(tmp_path, "one")
    mine = Incarnation(tmp_path, "two")
    assert not mine.is_dead(mine.owner)
    assert not mine.is_dead(first.owner)
    assert not mine.is_dead(elsewhere.owner)
    first.close()
    assert mine.is_dead(first.owner)
    elsewhere.close()
    assert not mine.is_dead(elsewhere.owner)
    mine.close()


def test_leases_that_ran_out_are_taken_over(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    gone = cloud.engine("elsewhere/worker/1")
    assert len(gone._claim()) == 1
    incarnation = Incarnation(cloud.settings.run_dir, "here")
    assert expired_leases.run(cloud.db, incarnation, cloud.clock) == 0
    cloud.clock.advance(31)
    assert expired_leases.run(cloud.db, incarnation, cloud.clock) == 1
    cloud.work()
    assert cloud.server(server_id).state == "active"
    incarnation.close()


def test_a_worker_back_from_a_pause_changes_nothing_of_its_successors(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    paused = cloud.engine("elsewhere/worker/1")
    (held,) = paused._claim()
    with cloud.db.write() as session:
        claims.give_back(session, claims.held_by(paused.owner, held))
    cloud.work()
    before = cloud.server(server_id)

    paused._advance(held, Ended(Outcome(OK), undo=False))

    after = cloud.server(server_id)
    assert (after.state, after.updated_at) == ("active", before.updated_at)
    assert len(cloud.executor.runs) == 1


def test_a_create_interrupted_before_its_play_goes_on_with_the_host_it_had(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    server_id = cloud.add_server()
    broken = Engine(
        replace(cloud.settings, runs_per_host=0), cloud.db, cloud.executor,
        owner="test/worker/1", clock=cloud.clock,
    )  # fmt: skip
    broken.tick()
    assert cloud.server(server_id).host_id == host_id
    assert cloud.executor.runs == []
    cloud.add_host("larger", memory_mb=100000)
    cloud.clock.advance(31)
    incarnation = Incarnation(cloud.settings.run_dir, "here")
    assert expired_leases.run(cloud.db, incarnation, cloud.clock) == 1
    incarnation.close()
    cloud.work()
    assert cloud.server(server_id).host_id == host_id


def test_what_a_worker_holds_but_does_not_work_on_is_queued_again(cloud: Cloud) -> None:
    """Its give-back failed with the database, say: nobody renews its lease."""
    cloud.add_host("h1")
    forgotten, server_id = cloud.add_server("a"), cloud.add_server("b")
    engine = cloud.engine()
    first, _second = engine._claim()
    engine._drop(first)
    cloud.clock.advance(20)
    engine._look_after_held()
    cloud.clock.advance(20)
    incarnation = Incarnation(cloud.settings.run_dir, "here")
    assert expired_leases.run(cloud.db, incarnation, cloud.clock) == 1
    incarnation.close()
    states = {each.server_id: each.state for each in cloud.operations()}
    assert states == {forgotten: "queued", server_id: "running"}


def test_leases_are_renewed_while_many_operations_are_moved(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_host("h1")
    for number in range(3):
        cloud.add_server(f"s{number}")
    engine = cloud.engine()
    move = engine._mover.move

    def slow(*arguments: Any) -> Any:
        cloud.clock.advance(20)
        engine._renew_at = 0.0
        return move(*arguments)

    monkeypatch.setattr(engine._mover, "move", slow)
    cloud.executor.delay_s = 60
    engine.tick()
    assert all(
        each.lease_until is not None and each.lease_until > cloud.clock()
        for each in cloud.operations()
    )
    engine.stop(0)


def test_a_server_that_no_run_can_be_prepared_for_spares_the_others_of_its_batch(
    cloud: Cloud,
) -> None:
    cloud.add_host("h1")
    broken, good = cloud.add_server("broken"), cloud.add_server("good")
    with cloud.db.write() as session:
        session.query(Operation).filter_by(server_id=broken).update({"sealed": b"no Fernet text"})
    cloud.work()
    assert cloud.server(good).state == "active"
    assert (cloud.server(broken).state, cloud.server(broken).host_id) == ("error", None)
    assert {each.state for each in cloud.operations()} <= {"succeeded", "failed"}


def test_a_run_that_fails_in_the_conductor_leaves_nothing_held(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    engine = cloud.engine()

    def fail(_run: object) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cloud.executor, "run", fail)
    engine.run_until_idle()
    (operation,) = cloud.operations()
    assert (operation.state, engine._held_now()) == ("queued", [])
    cloud.clock.advance(5)
    engine.run_until_idle()
    assert cloud.server(server_id).state == "active"


def test_a_host_can_not_hold_up_an_operation_by_what_it_answers(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    answer = cloud.executor._item
    odd = [{"id": ["a", "list"]}, {"id": {}}, {}]

    def item(run: Run, item_id: str) -> dict[str, Any]:
        return answer(run, item_id) if not odd else odd.pop() | {"failed": False, "msg": ""}

    cloud.executor._item = item  # type: ignore[method-assign]
    cloud.work()
    assert cloud.server(server_id).state in ("active", "error")
    assert cloud.server(server_id).task_state is None
    assert cloud.operations()[0].state in ("succeeded", "failed")


def test_a_clock_that_was_set_back_does_not_bring_a_delete_before_its_build(cloud: Cloud) -> None:
    cloud.add_host("h1")
    cloud.executor.delay_s = 60
    server_id = cloud.add_server()
    engine = cloud.engine()
    engine.tick()
    wait_until(
        lambda: bool(cloud.executor.runs), what="the create's run is under way", timeout_s=60
    )
    delete_id = cloud.act(server_id, "delete")
    with cloud.db.write() as session:
        delete = session.get_one(Operation, delete_id)
        delete.created_at -= timedelta(hours=1)

    cloud.executor.delay_s = 0.0
    assert engine._claim() == []
    engine.run_until_idle()

    assert cloud.server(server_id).state == "deleted"
    assert cloud.playbooks() == ["server_create", "server_delete"]


def test_leases_are_renewed_while_runs_last(cloud: Cloud) -> None:
    cloud.add_host("h1")
    cloud.add_server()
    cloud.executor.delay_s = 60
    engine = cloud.engine()
    engine.tick()
    (before,) = cloud.operations()
    cloud.clock.advance(10)
    engine._renew_at = 0.0
    engine.tick()
    (after,) = cloud.operations()
    assert before.lease_until is not None
    assert after.lease_until is not None
    assert after.lease_until > before.lease_until
    engine.stop(0)


def test_a_server_that_no_operation_stands_for_is_freed(cloud: Cloud) -> None:
    cloud.add_host("h1")
    busy, building = cloud.active_server(), cloud.add_server()
    cloud.work()
    with cloud.db.write() as session:
        session.get_one(Server, busy).task_state = "rebooting"
        lost = session.get_one(Server, building)
        lost.state, lost.task_state = "building", "spawning"
    assert lost_task_states.run(cloud.db, cloud.clock) == 2
    assert (cloud.server(busy).state, cloud.server(busy).task_state) == ("active", None)
    assert (cloud.server(building).state, cloud.server(building).task_state) == ("error", None)
    assert lost_task_states.run(cloud.db, cloud.clock) == 0


def test_a_bug_in_a_step_ends_in_a_clean_error(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()

    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("controller.conductor.server_create.ports.bind", fail)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.host_id) == ("error", None, None)
    assert server.fault is not None
    assert "a bug" in server.fault["details"]
    assert "a bug" not in server.fault["message"]


def test_a_host_is_up_again_with_its_next_answer(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    with cloud.db.write() as session:
        host = hosts.get(session, host_id)
        hosts.note_unreachable(cloud.settings, host, cloud.clock())
        assert not hosts.is_up(host, cloud.settings, cloud.clock())
        facts = {"cpus": 8, "memory_mb": 8704, "disk_gb": 100}
        hosts.record_facts(session, cloud.settings, host, facts, cloud.clock())
        assert hosts.is_up(host, cloud.settings, cloud.clock())
