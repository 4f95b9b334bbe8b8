"""Claims: all or nothing, never more than there is, whoever else claims at the same time."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.db.base import Base
from controller.db.models import ResourceProvider
from controller.db.session import Database
from controller.errors import ConcurrentUpdate
from controller.placement import allocations, inventories, providers
from controller.placement.inventories import Amount

AddProvider = Callable[..., str]


def used(db: Database, provider_id: str) -> int:
    with db.read() as session:
        rows = session.query(allocations.Allocation).filter_by(
            provider_id=provider_id, resource_class="MEMORY_MB"
        )
        return sum(row.used for row in rows)


def claim(db: Database, consumer: str, provider: str, **resources: int) -> None:
    with db.write() as session:
        allocations.claim(session, consumer, provider, resources)


def test_a_claim_takes_all_classes_and_raises_the_generation(
    db: Database, add_provider: AddProvider
) -> None:
    add_provider("a", MEMORY_MB=1024, VCPU=4)
    claim(db, "s1", "a", MEMORY_MB=512, VCPU=1)
    with db.read() as session:
        assert allocations.held(session, "s1") == {"MEMORY_MB": 512, "VCPU": 1}
        assert session.get_one(ResourceProvider, "a").generation == 2


def test_a_claim_that_does_not_fit_in_one_class_takes_nothing(
    db: Database, add_provider: AddProvider
) -> None:
    add_provider("a", MEMORY_MB=1024, VCPU=1)
    with pytest.raises(ConcurrentUpdate, match="no room"):
        claim(db, "s1", "a", MEMORY_MB=512, VCPU=2)
    assert used(db, "a") == 0


def test_a_claim_made_again_is_left_as_it_is(db: Database, add_provider: AddProvider) -> None:
    add_provider("a", MEMORY_MB=1024)
    claim(db, "s1", "a", MEMORY_MB=1024)
    claim(db, "s1", "a", MEMORY_MB=1024)
    assert used(db, "a") == 1024


def test_reserved_and_ratio_bound_what_can_be_claimed(
    db: Database, add_provider: AddProvider
) -> None:
    add_provider("a", VCPU=Amount(4, reserved=1, allocation_ratio=2.0))
    for number in range(6):
        claim(db, f"s{number}", "a", VCPU=1)
    with pytest.raises(ConcurrentUpdate):
        claim(db, "s6", "a", VCPU=1)


def test_no_single_claim_is_larger_than_the_host_itself(
    db: Database, add_provider: AddProvider
) -> None:
    add_provider("a", VCPU=Amount(4, allocation_ratio=4.0))
    with pytest.raises(ConcurrentUpdate):
        claim(db, "s1", "a", VCPU=5)


def test_released_room_can_be_claimed_again(db: Database, add_provider: AddProvider) -> None:
    add_provider("a", MEMORY_MB=1024)
    claim(db, "s1", "a", MEMORY_MB=1024)
    with db.write() as session:
        allocations.release(session, "s1")
        allocations.release(session, "s1")
    claim(db, "s2", "a", MEMORY_MB=1024)


def test_what_is_handed_over_stays_taken(db: Database, add_provider: AddProvider) -> None:
    add_provider("a", MEMORY_MB=1024)
    claim(db, "s1", "a", MEMORY_MB=1024)
    with db.write() as session:
        allocations.hand_over(session, "s1", "a", "cleanup")
    with db.read() as session:
        assert allocations.held(session, "s1") == {}
        assert allocations.held(session, "cleanup") == {"MEMORY_MB": 1024}


def test_a_generation_that_moved_on_refuses_the_change(
    db: Database, add_provider: AddProvider
) -> None:
    add_provider("a", MEMORY_MB=1024)
    with db.write() as session, pytest.raises(ConcurrentUpdate):
        providers.raise_generation(session, "a", 0)


def test_one_of_many_gets_the_last_slot(db: Database, add_provider: AddProvider) -> None:
    add_provider("a", MEMORY_MB=1024)
    start, won = threading.Barrier(8), []

    def race(number: int) -> None:
        start.wait()
        try:
            claim(db, f"s{number}", "a", MEMORY_MB=1024)
        except ConcurrentUpdate:
            return
        won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert used(db, "a") == 1024


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    capacity=st.integers(1, 40),
    workers=st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=5), min_size=2, max_size=4
    ),
)
def test_concurrent_claims_never_exceed_the_capacity(
    capacity: int, workers: list[list[tuple[bool, int]]]
) -> None:
    """Each worker claims and releases in its own order, all at once."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        db = Database(f"sqlite:///{Path(path) / 'novella.db'}")
        Base.metadata.create_all(db.engine)
        with db.write() as session:
            providers.ensure(session, "a", "a")
            inventories.replace(session, "a", {"MEMORY_MB": Amount(capacity)})
        exceeded: list[int] = []

        def work(worker: int, steps: list[tuple[bool, int]]) -> None:
            for number, (releases, amount) in enumerate(steps):
                try:
                    claim(db, f"{worker}-{number}", "a", MEMORY_MB=amount)
                except ConcurrentUpdate:
                    continue
                total = used(db, "a")
                if total > capacity:
                    exceeded.append(total)
                if releases:
                    with db.write() as session:
                        allocations.release(session, f"{worker}-{number}")

        threads = [
            threading.Thread(target=work, args=(number, steps))
            for number, steps in enumerate(workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert exceeded == []
        assert used(db, "a") <= capacity
        db.dispose()
