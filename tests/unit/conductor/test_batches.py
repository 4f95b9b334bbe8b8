"""Batches: each server's result counts as it ends, once, whatever becomes of the others."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from controller.conductor import runs
from controller.db.models import ServerEvent
from controller.runner.requests import Run
from lab.waiting import wait_until
from tests.unit.conductor.conftest import Cloud

PRETEND = {"name": "Pretend", "changed": True, "failed": True, "msg": "no disk"}


def servers(cloud: Cloud, count: int) -> list[str]:
    cloud.add_host("h1")
    return [cloud.add_server(f"web{number}") for number in range(count)]


def states(cloud: Cloud, ids: list[str]) -> list[str]:
    return [cloud.server(each).state for each in ids]


def events_named(cloud: Cloud, name: str) -> int:
    with cloud.db.read() as session:
        return session.query(ServerEvent).filter_by(name=name).count()


def test_the_first_of_a_batch_is_active_before_the_last_is_done(cloud: Cloud) -> None:
    ids = servers(cloud, 3)
    gate = threading.Event()
    asked: list[str] = []

    def wait_at_the_last(_run: Run, item_id: str) -> None:
        asked.append(item_id)
        if len(asked) == 3:
            assert gate.wait(60)

    cloud.executor.fails = wait_at_the_last
    engine = cloud.engine()
    engine.tick()
    wait_until(lambda: len(asked) == 3, what="the last is being made", timeout_s=60)
    assert states(cloud, asked) == ["active", "active", "building"]
    gate.set()
    engine.run_until_idle()
    assert states(cloud, ids) == ["active"] * 3
    assert len(cloud.executor.runs) == 1
    # Taken in once each, though the run's end told of all of them again.
    assert events_named(cloud, "Pretend") == 3


def test_one_of_a_batch_that_fails_is_undone_while_the_others_go_on(cloud: Cloud) -> None:
    ids = servers(cloud, 2)
    gate = threading.Event()
    asked: list[str] = []

    def fail_the_first(run: Run, item_id: str) -> str | None:
        if run.playbook != "server_create":
            return None
        asked.append(item_id)
        if len(asked) == 1:
            return "no disk"
        assert gate.wait(60)
        return None

    cloud.executor.fails = fail_the_first
    engine = cloud.engine()
    engine.tick()
    wait_until(lambda: "server_delete" in cloud.playbooks(), what="it is undone", timeout_s=60)
    gate.set()
    engine.run_until_idle()
    assert sorted(states(cloud, ids)) == ["active", "error"]


def test_a_connection_lost_in_mid_batch_loses_no_result(cloud: Cloud) -> None:
    ids = servers(cloud, 3)
    asked: list[str] = []

    def lost_at_the_second(run: Run, item_id: str) -> bool:
        asked.append(item_id)
        return run.playbook == "server_create" and len(asked) == 2

    cloud.executor.drops = lost_at_the_second
    cloud.work()
    assert sorted(states(cloud, ids)) == ["active", "error", "error"]
    assert cloud.server(asked[0]).state == "active"
    assert {each.server_id for each in cloud.operations(kind="server_cleanup")} == (
        set(ids) - {asked[0]}
    )


def test_a_host_speaks_early_too_for_its_own_servers_alone(cloud: Cloud) -> None:
    ids = servers(cloud, 2)
    other = cloud.active_server()
    cloud.act(other, "stop")
    for each in ids:
        cloud.act(each, "stop")
    original, lies = cloud.executor._item, []

    def lie(run: Run, item_id: str) -> dict[str, Any]:
        if run.playbook == "server_stop" and not lies:
            lies.append(run)
            for wrong in ({"id": "nobody"}, {"id": None}, {}):
                run.on_item(run.hosts[0].id, wrong)
            run.on_item("another host", {"id": other, "failed": False})
            assert cloud.server(other).state == "active"
        return original(run, item_id)

    cloud.executor._item = lie  # type: ignore[method-assign]
    cloud.work()
    assert states(cloud, [*ids, other]) == ["stopped"] * 3


def test_an_early_result_that_the_database_refuses_counts_at_the_end(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = servers(cloud, 2)
    honest, failures = runs.rules_due_in, iter([OperationalError("away", {}, Exception())] * 2)

    def away(*arguments: Any) -> Any:
        error = next(failures, None)
        if error is not None:
            raise error
        return honest(*arguments)

    monkeypatch.setattr(runs, "rules_due_in", away)
    cloud.work()
    assert states(cloud, ids) == ["active"] * 2
    assert events_named(cloud, "Pretend") == 2


def test_a_delete_during_a_batch_waits_for_its_own_item_alone(cloud: Cloud) -> None:
    servers(cloud, 2)
    gate, begun = threading.Event(), threading.Event()
    asked: list[str] = []

    def slow(run: Run, item_id: str) -> None:
        asked.append(item_id)
        if run.playbook == "server_create":
            if len(asked) == 1:
                cloud.act(item_id, "delete")
            else:
                begun.set()
                assert gate.wait(60)

    cloud.executor.fails = slow
    engine = cloud.engine()
    engine.tick()
    assert begun.wait(60)

    def gone() -> bool:
        engine.tick()
        return cloud.server(asked[0]).state == "deleted"

    wait_until(gone, what="the deleted one is gone", timeout_s=60)
    gate.set()
    engine.run_until_idle()
    assert cloud.server(asked[1]).state == "active"


class FirstFails:
    """The first of two creates fails, and is undone by a play that waits for `gate`, while the
    second is being made. `meanwhile` is called with the run and the second's id.
    """

    def __init__(self, cloud: Cloud, meanwhile: Callable[[Run, str], None]) -> None:
        self.gate, self.asked = threading.Event(), list[str]()
        self._undoing = threading.Event()
        self._meanwhile = meanwhile
        cloud.executor.fails = self._fails

    def _fails(self, run: Run, item_id: str) -> str | None:
        if run.playbook == "server_delete":
            self._undoing.set()
            assert self.gate.wait(60)
        elif run.is_batch:
            self.asked.append(item_id)
            if len(self.asked) == 1:
                return "no disk"
            assert self._undoing.wait(60)
            self._meanwhile(run, item_id)
        return None


def only_the_undoing_runs() -> bool:
    runs_now = [each for each in threading.enumerate() if each.name.startswith("run-")]
    return len(runs_now) == 1


def test_a_result_that_is_told_again_changes_nothing(cloud: Cloud) -> None:
    """By the stream, by that of a new connection out of the journal, and by the run's end."""
    ids = servers(cloud, 2)

    def tell_again(run: Run, _item_id: str) -> None:
        item = {"id": batch.asked[0], "failed": True, "msg": "no disk", "steps": [PRETEND]}
        for each in (item, {**item, "failed": False, "done_before": True}):
            run.on_item(run.hosts[0].id, each)

    batch = FirstFails(cloud, tell_again)
    engine = cloud.engine()
    engine.tick()
    wait_until(lambda: len(batch.asked) == 2, what="the second is being made", timeout_s=60)
    wait_until(only_the_undoing_runs, what="the batch has ended", timeout_s=60)
    # What each create told, once.
    assert events_named(cloud, "Pretend") == 2
    batch.gate.set()
    engine.run_until_idle()
    assert sorted(states(cloud, ids)) == ["active", "error"]
    assert cloud.playbooks() == ["server_create", "server_delete"]
    assert events_named(cloud, "Pretend") == 3


def test_a_run_whose_last_write_fails_gives_back_only_what_has_not_moved_on(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers(cloud, 2)
    honest = runs.rules_due_in

    def away(session: Any, prepared: Any, server_ids: frozenset[str]) -> Any:
        if server_ids != {batch.asked[0]}:
            raise OperationalError("away", {}, Exception())
        return honest(session, prepared, server_ids)

    monkeypatch.setattr(runs, "rules_due_in", away)
    batch = FirstFails(cloud, lambda _run, _item_id: None)
    engine = cloud.engine()
    engine.tick()
    wait_until(lambda: len(batch.asked) == 2, what="the second is being made", timeout_s=60)
    wait_until(only_the_undoing_runs, what="the batch has ended", timeout_s=60)
    undone, given_back = (
        cloud.operations(kind="server_create", server_id=each)[0] for each in batch.asked
    )
    assert (undone.state, given_back.state) == ("running", "queued")
    monkeypatch.undo()
    batch.gate.set()
    cloud.clock.advance(5)
    engine.run_until_idle()
    assert states(cloud, batch.asked) == ["error", "active"]
    assert cloud.playbooks().count("server_delete") == 1
