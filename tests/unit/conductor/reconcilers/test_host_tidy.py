"""Hosts are told what to tidy, and which bases are needed."""

from controller.conductor.reconcilers import host_tidy
from controller.core import reaping
from tests.unit.conductor.conftest import Cloud


def tidy(cloud: Cloud) -> int:
    cloud.executor.runs.clear()
    return host_tidy.run(cloud.settings, cloud.db, cloud.executor, cloud.clock)


def test_each_host_is_told_the_images_that_its_own_servers_need(cloud: Cloud) -> None:
    used = cloud.add_host("used")
    server_id = cloud.active_server()
    cloud.add_host("unused")
    assert tidy(cloud) == 2
    keep = {
        run.hosts[0].name: run.arguments["compute_image_cache_keep"] for run in cloud.executor.runs
    }
    assert keep == {"used": [cloud.server(server_id).image_id], "unused": []}
    arguments = cloud.executor.runs[0].arguments
    assert arguments["compute_image_cache_age_s"] == cloud.settings.image_cache_age_s
    assert arguments["compute_quarantine_s"] == cloud.settings.quarantine_s
    cloud.act(server_id, "delete")
    cloud.work()
    tidy(cloud)
    (run,) = [run for run in cloud.executor.runs if run.hosts[0].id == used]
    assert run.arguments["compute_image_cache_keep"] == []


def test_a_host_that_is_down_is_left_alone(cloud: Cloud) -> None:
    cloud.add_host("a")
    cloud.clock.advance(1000)
    assert tidy(cloud) == 0
    assert cloud.executor.runs == []


def test_nothing_is_tidied_while_reaping_is_off(cloud: Cloud) -> None:
    """A restored database must not have the quarantine emptied."""
    cloud.add_host("a")
    with cloud.db.write() as session:
        reaping.switch_off(session, reaping.RESTORED)
    assert tidy(cloud) == 0
    assert cloud.executor.runs == []
    with cloud.db.write() as session:
        reaping.switch_on(session)
    assert tidy(cloud) == 1


def test_a_host_that_fails_is_no_success(cloud: Cloud) -> None:
    cloud.add_host("a")
    cloud.executor.unreachable = {"a"}
    assert tidy(cloud) == 0
