"""image_prefetch, and the check of base images: hosts are simulated."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from controller.conductor import image_prefetch as flow
from controller.conductor.reconcilers import image_check
from controller.core import hosts, image_prefetch
from controller.db.base import utcnow
from controller.db.models import Image
from controller.errors import Conflict, NotFound
from controller.runner.requests import HostResult, Run
from controller.ssh import HostAccess
from tests.unit.conductor.conftest import CONTEXT, Cloud
from tests.unit.conductor.killing import kill_at, moments_of, name_of


def add_image(cloud: Cloud, **values: Any) -> str:
    with cloud.db.write() as session:
        image = Image(
            project_id=CONTEXT.project, name="tiny", status="active", visibility="private",
            disk_format="qcow2", container_format="bare", size_bytes=1, sha256="0" * 64,
        )  # fmt: skip
        for name, value in values.items():
            setattr(image, name, value)
        session.add(image)
        session.flush()
        return image.id


def submit(cloud: Cloud, image_id: str, *names: str) -> list[str]:
    with cloud.db.write() as session:
        chosen = image_prefetch.chosen_hosts(session, cloud.settings, names)
        done = image_prefetch.submit(session, image_prefetch.own_context(), image_id, chosen)
        return [operation.id for operation in done]


def test_each_host_is_told_of_the_image_alone(cloud: Cloud) -> None:
    cloud.add_host("h1")
    cloud.add_host("h2")
    image_id = add_image(cloud)
    submit(cloud, image_id)
    cloud.work()
    assert sorted(run.hosts[0].name for run in cloud.executor.runs) == ["h1", "h2"]
    run = cloud.executor.runs[0]
    assert (run.playbook, run.timeout_s) == ("image_prefetch", 3600)
    (entry,) = run.arguments["images"]
    assert (entry["id"], entry["format"], entry["checksum"]) == (
        image_id, "qcow2", f"sha256:{'0' * 64}",
    )  # fmt: skip
    assert run.arguments["servers"] == []
    assert {each.state for each in cloud.operations()} == {"succeeded"}


def test_an_aggregate_of_the_settings_has_its_hosts(cloud: Cloud) -> None:
    cloud.add_host("h1")
    cloud.add_host("h2")
    settings = replace(cloud.settings, aggregates={"fast": ["h2", "h9"]})
    with cloud.db.read() as session:
        found = image_prefetch.chosen_hosts(session, settings, aggregate="fast")
        assert [host.name for host in found] == ["h2"]
        with pytest.raises(NotFound, match="no aggregate slow"):
            image_prefetch.chosen_hosts(session, settings, aggregate="slow")


def test_one_under_way_stands_for_a_second_and_another_image_has_its_own_run(cloud: Cloud) -> None:
    cloud.add_host("h1")
    first, second = add_image(cloud), add_image(cloud)
    assert submit(cloud, first) == submit(cloud, first)
    submit(cloud, second)
    cloud.work()
    told = [[each["id"] for each in run.arguments["images"]] for run in cloud.executor.runs]
    assert sorted(told) == sorted([[first], [second]])


@pytest.mark.parametrize("case", moments_of(flow.KIND), ids=name_of)
def test_one_whose_worker_died_is_brought_by_another(
    cloud: Cloud, case: tuple[str, int, str]
) -> None:
    cloud.add_host("h1")
    (operation_id,) = submit(cloud, add_image(cloud))
    assert kill_at(cloud, *case[1:])
    cloud.work()
    (operation,) = cloud.operations(id=operation_id)
    assert operation.state == "succeeded"


def test_a_host_that_does_not_answer_is_tried_three_times(cloud: Cloud) -> None:
    cloud.add_host("h1")
    submit(cloud, add_image(cloud))
    cloud.executor.unreachable = {"h1"}
    for _ in range(5):
        cloud.work()
        cloud.clock.advance(3600)
    (operation,) = cloud.operations()
    assert (operation.state, len(cloud.executor.runs)) == ("failed", flow.TRIES)


def test_it_ends_when_the_image_was_deleted_or_the_host_removed(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.add_host("h2")
    image_id = add_image(cloud)
    submit(cloud, image_id, "h2")
    with cloud.db.write() as session:
        session.get_one(Image, image_id).deleted_at = utcnow()
    cloud.work()
    other = add_image(cloud)
    cloud.executor.unreachable = {"h1"}
    submit(cloud, other, "h1")
    cloud.work()
    with cloud.db.write() as session:
        hosts.remove(session, hosts.get(session, host_id))
    cloud.clock.advance(3600)
    cloud.work()
    assert {each.state for each in cloud.operations()} == {"succeeded"}
    assert len(cloud.executor.runs) == 1


def test_it_is_refused_for_what_has_no_data_and_for_hosts_that_are_not_there(cloud: Cloud) -> None:
    with pytest.raises(Conflict, match="none is enabled and up"):
        submit(cloud, "x")
    cloud.add_host("h1")
    with pytest.raises(Conflict, match="it is queued"):
        submit(cloud, add_image(cloud, status="queued"))
    with pytest.raises(NotFound):
        submit(cloud, add_image(cloud), "h9")
    with pytest.raises(NotFound):
        submit(cloud, "0" * 36)
    with cloud.db.write() as session:
        hosts.get_by_name(session, "h1").forced_down = True
    with pytest.raises(Conflict, match="host h1: it is down"):
        submit(cloud, add_image(cloud), "h1")
    assert not cloud.operations()


def base_name(image_id: str) -> str:
    return hashlib.sha1(image_id.encode(), usedforsecurity=False).hexdigest()


def say(cloud: Cloud, facts: dict[str, Any]) -> None:
    """Have hosts answer the check so."""
    answer = cloud.executor._host

    def host(run: Run, at: HostAccess) -> HostResult:
        if run.playbook == image_check.PLAYBOOK:
            return HostResult("ok", facts=facts)
        return answer(run, at)

    cloud.executor._host = host  # type: ignore[method-assign]


def check(cloud: Cloud) -> int:
    return image_check.run(cloud.settings, cloud.db, cloud.executor, cloud.clock)


def test_a_base_that_was_damaged_is_fetched_anew(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    host_id = cloud.add_host("h1")
    removed, in_use = add_image(cloud), add_image(cloud)
    say(cloud, {"removed": [base_name(removed), "swap_1"], "damaged": [base_name(in_use)]})
    assert check(cloud) == 1
    (operation,) = cloud.operations()
    assert (operation.kind, operation.host_id) == ("image_prefetch", host_id)
    assert operation.arguments == {"image_id": removed}
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"image {in_use}" in error
    assert "h1" in error
    cloud.work()
    assert cloud.operations()[0].state == "succeeded"


@pytest.mark.parametrize("facts", [{}, {"removed": 3}, {"removed": [{}, "x" * 9999]}])
def test_what_a_host_says_otherwise_starts_nothing(cloud: Cloud, facts: dict[str, Any]) -> None:
    cloud.add_host("h1")
    add_image(cloud)
    say(cloud, facts)
    assert check(cloud) == 1
    assert not cloud.operations()


def test_hosts_that_are_down_or_fail_are_no_success(cloud: Cloud) -> None:
    cloud.add_host("h1")
    cloud.executor.unreachable = {"h1"}
    assert check(cloud) == 0
    cloud.clock.advance(1000)
    cloud.executor.runs.clear()
    assert check(cloud) == 0
    assert not cloud.executor.runs
