"""A rebuild: on the same host, of another image, and honest about what became of the old data."""

from typing import Any

import pytest

from controller.conductor import server_rebuild as flow
from controller.core import server_rebuild
from controller.core.server_rebuild import Rebuild
from controller.db.models import Image, Server
from controller.runner.requests import Run
from tests.unit.conductor import killing
from tests.unit.conductor.conftest import CONTEXT, Cloud

OLD, NEW = "5f2c4c9e-1111-4222-8333-444455556666", "0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11"


def begin(cloud: Cloud, server_id: str, **wanted: Any) -> None:
    with cloud.db.write() as session:
        if session.get(Image, NEW) is None:
            session.add(
                Image(
                    id=NEW, project_id=CONTEXT.project, status="active", disk_format="qcow2",
                    sha256="1" * 64, size_bytes=1, properties={"hw_disk_bus": "scsi"},
                )
            )  # fmt: skip
            session.flush()
        server = session.get_one(Server, server_id)
        server_rebuild.rebuild(
            session, cloud.settings, CONTEXT, server,
            Rebuild(image_id=NEW, admin_pass="n3w", **wanted),
        )  # fmt: skip


def stopped_server(cloud: Cloud) -> str:
    server_id = cloud.active_server()
    cloud.act(server_id, "stop")
    cloud.work()
    cloud.executor.runs.clear()
    return server_id


def failing_at(module: str, **said: Any) -> Any:
    """Return a simulated host's answer: all steps up to one of `module`, which fails."""

    def item(run: Run, item_id: str) -> dict[str, Any]:
        steps: list[dict[str, Any]] = [
            {"name": "first", "module": "novella.cloud.disk_renewal", "failed": False}
        ]
        if module == "disk_renewal":
            steps[0]["failed"] = True
        else:
            steps.append({"name": "next", "module": f"novella.cloud.{module}", "failed": True})
        return {"id": item_id, "changed": True, "failed": True, "msg": "no", "steps": steps, **said}

    return item


def test_a_rebuild_keeps_host_and_ports_and_takes_the_image(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    cloud.add_host("h2")
    server_id = cloud.active_server()
    host_id = cloud.server(server_id).host_id or host_id
    begin(cloud, server_id, metadata={"role": "db"}, preserve_ephemeral=True)
    shown = cloud.server(server_id)
    assert (shown.task_state, shown.image_id, shown.meta) == ("rebuilding", NEW, {"role": "db"})
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.host_id) == ("active", None, host_id)
    assert server.image["properties"] == {"hw_disk_bus": "scsi"}
    (run,) = cloud.executor.runs
    (entry,) = run.arguments["servers"]
    assert run.playbook == "server_rebuild"
    assert entry["image"]["id"] == NEW
    assert entry["rebuild"] == {"id": entry["operation_id"], "preserve_ephemeral": True}
    assert run.secrets[server_id]["admin_pass"] == "n3w"


def test_one_that_was_off_is_off_again(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = stopped_server(cloud)
    begin(cloud, server_id)
    cloud.work()
    assert cloud.playbooks() == ["server_rebuild", "server_stop"]
    assert (cloud.server(server_id).state, cloud.server(server_id).power_state) == ("stopped", 4)


def test_a_failure_before_the_exchange_says_so_and_keeps_the_image(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    before = cloud.server(server_id).image
    monkeypatch.setattr(cloud.executor, "_item", failing_at("disk_renewal"))
    begin(cloud, server_id)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.image_id, server.image) == ("error", OLD, before)
    assert flow.SAYS[flow.KEPT] in (server.fault or {})["message"]


@pytest.mark.parametrize(
    "answer",
    [failing_at("libvirt_domain"), failing_at("disk_renewal", old_data_gone=True)],
    ids=["a later step failed", "the exchange failed in its midst"],
)
def test_a_failure_behind_the_exchange_says_that_the_data_is_gone(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    monkeypatch.setattr(cloud.executor, "_item", answer)
    begin(cloud, server_id)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.image_id) == ("error", NEW)
    assert flow.SAYS[flow.GONE] in (server.fault or {})["message"]


def test_a_host_that_does_not_answer_is_tried_again_and_nothing_is_claimed(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    cloud.executor.unreachable.add("h1")
    begin(cloud, server_id)
    for _ in range(flow.ATTEMPTS):
        cloud.work()
        cloud.clock.advance(60)
    assert cloud.playbooks() == ["server_rebuild"] * flow.ATTEMPTS
    server = cloud.server(server_id)
    assert (server.state, server.image_id) == ("error", NEW)
    assert flow.SAYS[flow.UNKNOWN] in (server.fault or {})["message"]


def test_a_delete_does_not_wait_for_a_rebuild(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.active_server()
    begin(cloud, server_id)
    cloud.act(server_id, "delete")
    cloud.work()
    assert cloud.server(server_id).state == "deleted"
    assert cloud.playbooks() == ["server_delete"]


@pytest.mark.parametrize("case", killing.moments_of("server_rebuild"), ids=killing.name_of)
def test_a_killed_rebuild_is_finished_by_another_worker(
    cloud: Cloud, case: tuple[str, int, str]
) -> None:
    cloud.add_host("h1")
    server_id = stopped_server(cloud)
    begin(cloud, server_id)
    _, number, moment = case
    assert killing.kill_at(cloud, number, moment)
    cloud.work()
    server = cloud.server(server_id)
    assert (server.state, server.task_state, server.image_id) == ("stopped", None, NEW)
    assert {each.state for each in cloud.operations()} == {"succeeded"}
