"""Rerun: a play once more from the database, never across what is under way."""

from typing import Any

import pytest

from controller.conductor.rerun import ENDED_S, prepare
from controller.core import operation_records, port_updates
from controller.errors import BadRequest, Conflict, NotFound
from controller.runner.requests import Run
from tests.unit.conductor.conftest import Cloud


def rerun(cloud: Cloud, kind: str, *, check: bool = True, **filters: Any) -> Run:
    operation = cloud.operations(kind=kind, **filters)[-1]
    with cloud.db.write() as session:
        found = operation_records.find(session, operation.id)
        return prepare(session, cloud.settings, found, check=check).run


def test_a_check_has_the_arguments_that_the_operation_had(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server(user_data="IyEvYmluL3No")
    cloud.work()
    first = cloud.executor.runs[-1]
    generation = cloud.server(server_id).generation
    run = rerun(cloud, "server_create")
    [before], [now] = first.arguments["servers"], run.arguments["servers"]
    assert {**before, "operation_id": ""} == {**now, "operation_id": ""}
    # The journal on the host knows the result of the operation's own run under its id.
    assert before["operation_id"] != now["operation_id"]
    assert (run.playbook, run.check, run.hosts) == ("server_create", True, first.hosts)
    assert run.keep_as == first.keep_as
    assert cloud.server(server_id).generation == generation
    assert "IyEvYmluL3No" not in str(run.arguments)


def test_the_arguments_are_those_of_now(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    with cloud.db.write() as session:
        session.get_one(type(cloud.server(server_id)), server_id).meta = {"role": "db"}
    [entry] = rerun(cloud, "server_create").arguments["servers"]
    assert entry["guest"]["meta"] == {"role": "db"}


def test_for_real_it_keeps_older_runs_out(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    before = cloud.server(server_id).generation
    run = rerun(cloud, "server_create", check=False)
    assert run.arguments["servers"][0]["generation"] == before + 1
    assert cloud.server(server_id).generation == before + 1
    # And a later operation goes before it.
    cloud.act(server_id, "stop")
    cloud.work()
    assert cloud.executor.runs[-1].arguments["servers"][0]["generation"] == before + 2


@pytest.mark.parametrize("check", [True, False])
def test_it_is_refused_while_an_operation_is_at_work_on_the_server(
    cloud: Cloud, check: bool
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    busy = cloud.act(server_id, "stop")
    with pytest.raises(Conflict, match=rf"server_stop {busy} is queued.*operation show {busy[:8]}"):
        rerun(cloud, "server_create", check=check)
    with pytest.raises(Conflict, match="Wait until it has ended"):
        rerun(cloud, "server_stop", check=check)


@pytest.mark.parametrize("action", ["reboot", "hard_reboot", "delete"])
def test_what_stops_or_removes_a_server_is_only_checked(cloud: Cloud, action: str) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.fails = lambda _run, _id: "no"
    cloud.act(server_id, action)
    for _ in range(4):
        cloud.work()
        cloud.clock.advance(600)
    assert rerun(cloud, f"server_{action}").playbook == f"server_{action}"
    with pytest.raises(Conflict, match="do it through the API"):
        rerun(cloud, f"server_{action}", check=False)


def test_a_create_is_not_run_over_a_server_that_was_stopped_since(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.act(server_id, "stop")
    cloud.work()
    with pytest.raises(Conflict, match="is stopped, and this play makes it active"):
        rerun(cloud, "server_create", check=False)
    assert rerun(cloud, "server_stop", check=False).playbook == "server_stop"


def test_a_server_that_is_gone_or_nowhere_has_no_play(cloud: Cloud) -> None:
    cloud.add_server()
    cloud.work()
    with pytest.raises(NotFound, match="on no host"):
        rerun(cloud, "server_create")
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.act(server_id, "delete")
    cloud.work()
    with pytest.raises(NotFound, match="deleted"):
        rerun(cloud, "server_create", server_id=server_id)


def test_a_hosts_rules_are_set_by_its_update(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    server_id = cloud.active_server()
    with cloud.db.write() as session:
        port_updates.submit_for_hosts(session, {host_id})
    cloud.work()
    for check in (True, False):
        run = rerun(cloud, "port_update", check=check)
        assert [entry["id"] for entry in run.arguments["servers"]] == [server_id]
        assert run.arguments["servers"][0]["generation"] == cloud.server(server_id).generation


def test_a_hosts_rules_leave_out_a_server_that_is_being_deleted(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    stays, goes = cloud.active_server(), cloud.active_server()
    with cloud.db.write() as session:
        port_updates.submit_for_hosts(session, {host_id})
    cloud.work()
    cloud.act(goes, "delete")
    for check in (True, False):
        run = rerun(cloud, "port_update", check=check)
        assert [entry["id"] for entry in run.arguments["servers"]] == [stays]


def test_a_hosts_rules_for_real_keep_older_runs_out(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    with cloud.db.write() as session:
        port_updates.submit_for_hosts(session, {host_id})
    cloud.work()
    before = cloud.host(host_id).generation
    assert "host_fence" not in rerun(cloud, "port_update").arguments
    assert cloud.host(host_id).generation == before
    run = rerun(cloud, "port_update", check=False)
    assert run.arguments["host_fence"] == {"id": host_id, "generation": before + 1}
    assert cloud.host(host_id).generation == before + 1


def test_a_rerun_that_is_killed_leaves_the_hosts_rules_to_an_update_after_it(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    server_id = cloud.active_server()
    rerun(cloud, "server_create", check=False)
    # What changes meanwhile has an update of its own, and doesn't use up the other.
    with cloud.db.write() as session:
        port_updates.submit_for_hosts(session, {host_id})
    cloud.work()
    assert cloud.playbooks() == ["port_update"]
    cloud.clock.advance(cloud.settings.run_timeout_s + ENDED_S + 1)
    cloud.work()
    assert cloud.playbooks() == ["port_update"] * 2
    assert [each["id"] for each in cloud.executor.runs[-1].arguments["servers"]] == [server_id]


def test_a_check_is_followed_by_nothing(cloud: Cloud) -> None:
    cloud.add_host("h1")
    cloud.active_server()
    rerun(cloud, "server_create")
    assert not cloud.operations(kind="port_update")


def test_an_operation_is_found_by_the_beginning_of_its_id(cloud: Cloud) -> None:
    for _ in range(20):
        cloud.add_server()
    ids = [operation.id for operation in cloud.operations()]
    with cloud.db.read() as session:
        assert operation_records.find(session, ids[0][:13]).id == ids[0]
        assert operation_records.find(session, ids[0]).id == ids[0]
        # Twenty ids, sixteen digits.
        digit = next(each[0] for each in ids if sum(other[0] == each[0] for other in ids) > 1)
        with pytest.raises(BadRequest, match="Several operations begin with"):
            operation_records.find(session, digit)
        for nonsense in ("zz", "%", "_", ""):
            with pytest.raises(NotFound):
                operation_records.find(session, nonsense)
