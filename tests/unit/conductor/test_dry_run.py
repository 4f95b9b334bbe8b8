"""A dry run that dies goes on where it was, and leaves as little behind as one that doesn't."""

import pytest
from sqlalchemy import select

from controller.core import dry_runs, operations
from controller.core.context import Context
from controller.db.models import Allocation, Operation, Port, Server
from controller.db.session import Rehearsal
from tests.unit.conductor.conftest import CONTEXT, FLAVOR, Cloud
from tests.unit.conductor.killing import MOMENTS, kill_at

ADMIN = Context("req-dry", user_id=CONTEXT.user_id, project_id=CONTEXT.project_id, is_admin=True)


def try_out_a_create(cloud: Cloud) -> str:
    plans = []
    with Rehearsal(
        cloud.db, lambda session: plans.append(dry_runs.look(session))
    ).write() as session:
        server = Server(
            project_id=CONTEXT.project, user_id=CONTEXT.user_id, name="web", hostname="web",
            flavor=FLAVOR, reservation_id="r-1", image={},
        )  # fmt: skip
        session.add(server)
        session.flush()
        operations.begin_action(session, cloud.settings, ADMIN, server, "create")
    with cloud.db.write() as session:
        return dry_runs.submit(session, cloud.settings, ADMIN, plans[0]).id


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_dry_run_survives_the_death_of_its_worker(cloud: Cloud, moment: str) -> None:
    cloud.add_host("h1")
    operation_id = try_out_a_create(cloud)
    assert kill_at(cloud, 0, moment)
    cloud.work()
    with cloud.db.read() as session:
        operation = session.get_one(Operation, operation_id)
        assert operation.state == "succeeded"
        assert [each["playbook"] for each in operation.data["found"][0]["plays"]] == [
            "server_create"
        ]
        for model in (Server, Port, Allocation):
            assert session.scalars(select(model)).all() == []
    assert all(run.check for run in cloud.executor.runs)


def test_two_dry_runs_for_one_host_go_out_as_one_run(cloud: Cloud) -> None:
    cloud.add_host("h1")
    ids = [try_out_a_create(cloud) for _ in range(2)]
    cloud.work()
    assert [len(run.arguments["servers"]) for run in cloud.executor.runs] in ([2], [1, 1])
    with cloud.db.read() as session:
        states = {session.get_one(Operation, each).state for each in ids}
    assert states == {"succeeded"}
