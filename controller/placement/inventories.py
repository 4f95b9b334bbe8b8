"""Inventories: how much of each resource class a provider has to give."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.db.models import Inventory, ResourceProvider
from controller.errors import NotFound
from controller.placement import providers
from controller.settings import Settings

VCPU, MEMORY_MB, DISK_GB = "VCPU", "MEMORY_MB", "DISK_GB"


@dataclass(frozen=True, slots=True)
class Amount:
    """What a provider has of one class, in the class's own unit (cores, MiB, GiB)."""

    total: int
    reserved: int = 0
    allocation_ratio: float = 1.0


def of_host(settings: Settings, facts: Mapping[str, Any]) -> dict[str, Amount]:
    """Return the inventories of a host from its facts: `cpus`, `memory_mb` and `disk_gb`.

    A host that has less than what is kept for itself has nothing to give, rather than less than
    nothing.
    """
    memory_mb, disk_gb = int(facts["memory_mb"]), int(facts["disk_gb"])
    return {
        VCPU: Amount(int(facts["cpus"]), 0, settings.cpu_allocation_ratio),
        MEMORY_MB: Amount(
            memory_mb,
            min(settings.reserved_memory_mb, memory_mb),
            settings.memory_allocation_ratio,
        ),
        DISK_GB: Amount(
            disk_gb, min(settings.reserved_disk_gb, disk_gb), settings.disk_allocation_ratio
        ),
    }


def replace(session: Session, provider_id: str, amounts: Mapping[str, Amount]) -> bool:
    """Make the provider's inventories `amounts`; return whether anything changed.

    The generation rises only with a change, so that a heartbeat doesn't disturb claims.
    Less than what is allocated is accepted: a host that lost memory says the truth, and gets no
    new servers. Raises NotFound, ConcurrentUpdate.
    """
    provider = session.get(ResourceProvider, provider_id, populate_existing=True)
    if provider is None:
        raise NotFound.of("resource provider", provider_id)
    rows = session.scalars(select(Inventory).where(Inventory.provider_id == provider_id))
    present = {row.resource_class: row for row in rows}
    wanted = {name: asdict(amount) | {"max_unit": amount.total} for name, amount in amounts.items()}
    if wanted == {name: _values(row) for name, row in present.items()}:
        return False
    providers.raise_generation(session, provider_id, provider.generation)
    session.expire(provider)
    for name, row in present.items():
        if name not in wanted:
            session.delete(row)
    for name, values in wanted.items():
        session.merge(Inventory(provider_id=provider_id, resource_class=name, **values))
    session.flush()
    return True


def _values(row: Inventory) -> dict[str, Any]:
    return {
        "total": row.total,
        "reserved": row.reserved,
        "allocation_ratio": row.allocation_ratio,
        "max_unit": row.max_unit,
    }
