"""Inventories follow the hosts' facts."""

from pathlib import Path

from controller.db.models import Inventory, ResourceProvider
from controller.db.session import Database
from controller.placement import inventories, providers
from controller.placement.inventories import Amount
from controller.settings import Settings

FACTS = {"cpus": 8, "memory_mb": 16384, "disk_gb": 200}


def test_a_host_gives_what_it_has_less_what_is_kept_for_itself() -> None:
    settings = Settings(
        state_dir=Path("/nowhere"), reserved_memory_mb=1024, reserved_disk_gb=20,
        cpu_allocation_ratio=2.0,
    )  # fmt: skip
    assert inventories.of_host(settings, FACTS) == {
        "VCPU": Amount(8, 0, 2.0),
        "MEMORY_MB": Amount(16384, 1024, 1.0),
        "DISK_GB": Amount(200, 20, 1.0),
    }


def test_a_host_smaller_than_the_reserve_has_nothing_to_give() -> None:
    settings = Settings(state_dir=Path("/nowhere"), reserved_memory_mb=1024)
    memory = inventories.of_host(settings, FACTS | {"memory_mb": 512})["MEMORY_MB"]
    assert memory.total - memory.reserved == 0


def test_the_generation_rises_with_a_change_alone(db: Database) -> None:
    amounts = inventories.of_host(Settings(state_dir=Path("/nowhere")), FACTS)
    with db.write() as session:
        providers.ensure(session, "a", "a")
        assert inventories.replace(session, "a", amounts)
        assert not inventories.replace(session, "a", amounts)
        assert session.get_one(ResourceProvider, "a").generation == 1
        assert inventories.replace(session, "a", {"VCPU": Amount(1)})
        assert session.get_one(ResourceProvider, "a").generation == 2
        assert [row.resource_class for row in session.query(Inventory)] == ["VCPU"]
