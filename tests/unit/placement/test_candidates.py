"""Candidates: those with room, whatever their number, by one statement."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from controller.db.session import Database
from controller.placement import allocations, candidates

AddProvider = Callable[..., str]
WANTED = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 0}


def fitting(db: Database, wanted: dict[str, int]) -> dict[str, float]:
    """Free memory by provider."""
    with db.read() as session:
        query = candidates.fitting(candidates.shape(wanted))
        rows = session.execute(query, candidates.amounts(wanted)).all()
        return {row.provider_id: candidates.room(row, wanted)["MEMORY_MB"].free for row in rows}


def test_only_those_with_room_in_every_class_are_returned(
    db: Database, add_provider: AddProvider
) -> None:
    add_provider("fits", VCPU=1, MEMORY_MB=512, DISK_GB=1)
    add_provider("no-cpu", VCPU=0, MEMORY_MB=512, DISK_GB=1)
    add_provider("no-memory", VCPU=1, MEMORY_MB=511, DISK_GB=1)
    add_provider("has-no-memory-at-all", VCPU=1, DISK_GB=1)
    assert fitting(db, WANTED) == {"fits": 512.0}


def test_what_is_taken_is_summed_over_consumers(db: Database, add_provider: AddProvider) -> None:
    add_provider("a", VCPU=8, MEMORY_MB=2048, DISK_GB=10)
    with db.write() as session:
        for consumer in ("s1", "s2"):
            allocations.claim(session, consumer, "a", WANTED)
    assert fitting(db, WANTED) == {"a": 1024.0}


def test_each_request_is_asked_for_by_its_own_amounts(
    db: Database, add_provider: AddProvider
) -> None:
    add_provider("a", VCPU=1, MEMORY_MB=512, DISK_GB=1)
    assert fitting(db, {**WANTED, "MEMORY_MB": 513}) == {}
    assert fitting(db, {**WANTED, "DISK_GB": 2}) == {}
    assert fitting(db, WANTED) == {"a": 512.0}


def test_one_statement_for_any_number_of_providers(db: Database, add_provider: AddProvider) -> None:
    for number in range(5):
        add_provider(f"p{number}", VCPU=8, MEMORY_MB=2048, DISK_GB=10)
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip().startswith("SELECT"):
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    assert len(fitting(db, WANTED)) == 5
    assert len(seen) == 1
