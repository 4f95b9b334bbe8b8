"""Allocations are mended to what servers take; what is being worked on is left alone."""

from sqlalchemy import delete, update

from controller.conductor.reconcilers import server_allocations
from controller.db.base import new_id
from controller.db.models import Allocation, ResourceProvider
from controller.placement import allocations
from tests.unit.conductor.conftest import Cloud

TAKES = {"VCPU": 1, "MEMORY_MB": 128, "DISK_GB": 1}


def mend(cloud: Cloud) -> int:
    return server_allocations.run(cloud.db, cloud.clock)


def held(cloud: Cloud, consumer_id: str) -> dict[str, int]:
    with cloud.db.read() as session:
        return allocations.held(session, consumer_id)


def test_what_is_right_is_left_alone(cloud: Cloud) -> None:
    cloud.add_host("a")
    server_id = cloud.active_server()
    assert mend(cloud) == 0
    assert held(cloud, server_id) == TAKES


def test_a_missing_allocation_is_claimed_and_claims_look_again(cloud: Cloud) -> None:
    host_id = cloud.add_host("a")
    server_id = cloud.active_server()
    with cloud.db.write() as session:
        session.execute(delete(Allocation))
        before = session.get_one(ResourceProvider, host_id).generation
    assert mend(cloud) == 1
    assert held(cloud, server_id) == TAKES
    with cloud.db.read() as session:
        assert session.get_one(ResourceProvider, host_id).generation > before
    assert mend(cloud) == 0


def test_a_wrong_allocation_is_set(cloud: Cloud) -> None:
    cloud.add_host("a")
    server_id = cloud.active_server()
    with cloud.db.write() as session:
        session.execute(update(Allocation).values(used=Allocation.used + 1))
    assert mend(cloud) == 1
    assert held(cloud, server_id) == TAKES


def test_an_allocation_of_nobody_is_released(cloud: Cloud) -> None:
    host_id = cloud.add_host("a")
    nobody = new_id()
    with cloud.db.write() as session:
        session.add(
            Allocation(consumer_id=nobody, provider_id=host_id, resource_class="VCPU", used=1)
        )
    assert mend(cloud) == 1
    assert held(cloud, nobody) == {}


def test_a_servers_claim_on_another_host_is_released(cloud: Cloud) -> None:
    cloud.add_host("a")
    server_id = cloud.active_server()
    other = cloud.add_host("b")
    with cloud.db.write() as session:
        session.add(
            Allocation(consumer_id=server_id, provider_id=other, resource_class="VCPU", used=1)
        )
    assert mend(cloud) == 1
    assert held(cloud, server_id) == TAKES


def test_what_an_operation_is_at_is_left_to_it(cloud: Cloud) -> None:
    cloud.add_host("a")
    server_id = cloud.active_server()
    cloud.act(server_id, "stop")
    with cloud.db.write() as session:
        session.execute(delete(Allocation))
    assert mend(cloud) == 0
    assert held(cloud, server_id) == {}


def test_a_clean_up_keeps_its_room(cloud: Cloud) -> None:
    cloud.add_host("a")
    server_id = cloud.active_server()
    cloud.executor.unreachable = {"a"}
    cloud.act(server_id, "delete")
    for _ in range(3):
        cloud.work()
        cloud.clock.advance(1)
    (cleanup,) = cloud.operations(kind="server_cleanup")
    assert mend(cloud) == 0
    assert held(cloud, cleanup.id) == TAKES
