"""Hooks: operators' roles around operations; one before stops them, one after does not."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from controller.core import server_moves
from controller.core.context import Context
from controller.db.models import Allocation, Server, ServerAction, ServerEvent
from controller.runner.play_events import PlayEvents
from controller.runner.requests import Run
from controller.states import TABLE
from tests.unit.conductor.conftest import Cloud
from tests.unit.conductor.killing import MOMENTS, kill_at

SINGLE = ("stop", "reboot", "hard_reboot", "pause", "suspend", "soft_delete", "delete")


def hooked(cloud: Cloud, *hooks: dict[str, Any], **aggregates: list[str]) -> None:
    cloud.settings = replace(cloud.settings, hooks=hooks, aggregates=aggregates)


def fails_at(cloud: Cloud, moment: str, says: str = "no ticket for this") -> None:
    def fails(run: Run, _server_id: str) -> str | None:
        return says if run.arguments.get("server_hooks_at") == moment else None

    cloud.executor.fails = fails


def action_of(cloud: Cloud, operation_id: str) -> tuple[ServerAction, list[ServerEvent]]:
    (operation,) = cloud.operations(id=operation_id)
    with cloud.db.read() as session:
        action = session.get_one(ServerAction, operation.action_id)
        query = select(ServerEvent).where(ServerEvent.action_id == action.id)
        return action, list(session.scalars(query.order_by(ServerEvent.id)))


def test_roles_run_before_and_after_on_the_host_that_was_chosen(cloud: Cloud) -> None:
    cloud.add_host("h1")
    hook = {"operations": ["server_create"], "before": ["/a", "/b"], "after": ["acme.net.tell"]}
    hooked(cloud, hook)
    server_id = cloud.add_server()
    cloud.work()
    assert cloud.playbooks() == ["server_hooks", "server_create", "server_hooks"]
    first, _, last = cloud.executor.runs
    assert first.arguments["server_hooks"] == ["/a", "/b"]
    assert last.arguments["server_hooks"] == ["acme.net.tell"]
    for run, moment in ((first, "before"), (last, "after")):
        assert run.arguments["server_hooks_at"] == moment
        assert run.arguments["server_operation"] == "server_create"
        assert [each["id"] for each in run.arguments["servers"]] == [server_id]
        assert run.secrets == {}
    assert cloud.server(server_id).state == "active"


@pytest.mark.parametrize("action", SINGLE)
def test_a_failing_hook_before_leaves_the_server_as_it_was(cloud: Cloud, action: str) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    kind = str(TABLE[action].operation)
    hooked(cloud, {"operations": [kind], "before": ["/check"]})
    fails_at(cloud, "before")
    operation_id = cloud.act(server_id, action)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.fault) == ("active", None, None)
    assert "server_hooks" in cloud.playbooks()
    assert kind not in cloud.playbooks()
    (operation,) = cloud.operations(id=operation_id)
    assert operation.state == "failed"
    assert operation.error is not None
    assert operation.error["message"] == "no ticket for this"
    assert action_of(cloud, operation_id)[0].message == "no ticket for this"


def test_a_failing_hook_before_a_create_makes_it_fail_with_its_message(cloud: Cloud) -> None:
    cloud.add_host("h1")
    hooked(cloud, {"operations": ["server_create"], "before": ["/check"]})
    fails_at(cloud, "before")
    server_id = cloud.add_server()
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.host_id) == ("error", None)
    assert server.fault is not None
    assert server.fault["message"] == "no ticket for this"
    assert "server_create" not in cloud.playbooks()
    with cloud.db.read() as session:
        assert session.scalars(select(Allocation)).all() == []


def test_what_a_role_did_not_say_in_so_many_words_tenants_do_not_read() -> None:
    """Only `fail` and `assert` have words for tenants; other messages may name hosts and paths."""
    events = PlayEvents({"h1": "id"})
    for module, said in (
        ("ansible.builtin.command", "/etc/x: not found"),
        ("assert", "No ticket."),
    ):
        events.take(
            {
                "event": "runner_on_failed",
                "event_data": {
                    "host": "h1", "task": "Check", "task_action": module, "res": {"msg": said},
                },
            }
        )  # fmt: skip
        result = events.results()["id"]
        assert (said == "No ticket.") == (result.refusal == said)


def test_a_failing_hook_after_is_recorded_and_undoes_nothing(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.add_host("h1")
    hooked(cloud, {"operations": ["server_stop"], "after": ["/tell"]})
    server_id = cloud.active_server()
    fails_at(cloud, "after", "the register is away")
    operation_id = cloud.act(server_id, "stop")
    cloud.work()
    assert cloud.server(server_id).state == "stopped"
    (operation,) = cloud.operations(id=operation_id)
    assert operation.state == "succeeded"
    assert "the register is away" in operation.data["failures"][0]
    assert "the register is away" in caplog.text
    _, events = action_of(cloud, operation_id)
    assert [(each.name, each.result) for each in events if each.name.startswith("hooks")] == [
        ("hooks_after", "Error")
    ]


def test_a_hook_is_for_the_hosts_of_its_aggregate(cloud: Cloud) -> None:
    cloud.add_host("h1")
    hook = {"operations": ["server_stop"], "before": ["/check"], "aggregate": "gold"}
    hooked(cloud, hook, gold=["h2"])
    server_id = cloud.active_server()
    cloud.act(server_id, "stop")
    cloud.work()
    assert cloud.playbooks() == ["server_stop"]
    hooked(cloud, hook, gold=["h1", "h2"])
    cloud.executor.runs.clear()
    cloud.act(server_id, "start")
    cloud.work()
    cloud.act(server_id, "stop")
    cloud.work()
    assert cloud.playbooks() == ["server_start", "server_hooks", "server_stop"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fails", [None, "before", "after"])
def test_an_operation_with_hooks_survives_the_death_of_its_worker(
    cloud: Cloud, moment: str, fails: str | None
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    hooked(cloud, {"operations": ["server_stop"], "before": ["/check"], "after": ["/tell"]})
    if fails:
        fails_at(cloud, fails)
    cloud.act(server_id, "stop")
    assert kill_at(cloud, 0, moment)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state) == ("active" if fails == "before" else "stopped", None)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hook_after_an_operation_survives_the_death_of_its_worker(
    cloud: Cloud, moment: str
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    hooked(cloud, {"operations": ["server_stop"], "after": ["/tell"]})
    cloud.act(server_id, "stop")
    assert kill_at(cloud, 1, moment)
    cloud.work()
    assert cloud.server(server_id).state == "stopped"
    assert cloud.playbooks()[-1] == "server_hooks"
    assert cloud.playbooks().count("server_stop") == 1


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hook_that_is_taken_out_of_the_settings_meanwhile_is_forgotten(
    cloud: Cloud, moment: str
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    hooked(cloud, {"operations": ["server_stop"], "before": ["/check"]})
    cloud.act(server_id, "stop")
    assert kill_at(cloud, 0, moment)
    hooked(cloud)
    cloud.work()
    assert cloud.server(server_id).state == "stopped"
    assert cloud.playbooks().count("server_stop") == 1


def test_a_delete_that_a_hook_forbids_is_not_tried_again(cloud: Cloud) -> None:
    cloud.add_host("h1")
    hooked(cloud, {"operations": ["server_delete"], "before": ["/check"]})
    server_id = cloud.active_server()
    fails_at(cloud, "before")
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.playbooks() == ["server_hooks"]


def test_a_hook_forbids_one_server_of_a_batch(cloud: Cloud) -> None:
    cloud.add_host("h1")
    hooked(cloud, {"operations": ["server_create"], "before": ["/check"]})
    bad, good = cloud.add_server("bad"), cloud.add_server("good")

    def fails(run: Run, server_id: str) -> str | None:
        return "no" if server_id == bad and run.playbook == "server_hooks" else None

    cloud.executor.fails = fails
    cloud.work()
    assert (cloud.server(bad).state, cloud.server(good).state) == ("error", "active")


def test_a_resize_that_a_hook_forbids_stays_where_it_is(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.add_host("h2")
    hooked(cloud, {"operations": ["server_resize"], "before": ["/check"]})
    fails_at(cloud, "before")
    before = cloud.server(server_id)
    with cloud.db.write() as session:
        context = Context("req-hook", user_id=before.user_id, project_id=before.project_id)
        server = session.get_one(Server, server_id)
        server_moves.migrate(session, cloud.settings, context, server)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.host_id) == ("active", None, before.host_id)
    with cloud.db.read() as session:
        held = session.scalars(select(Allocation)).all()
        assert {each.consumer_id for each in held} == {server_id}
        assert {each.provider_id for each in held} == {before.host_id}
