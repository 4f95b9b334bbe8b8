"""Candidates: the providers that have room for a request, with what they have left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select
from sqlalchemy.orm import Session, aliased

from controller.db.models import Allocation, Inventory, ResourceProvider


@dataclass(frozen=True, slots=True)
class Room:
    """One class at one provider: how much may be given out, and how much of it is."""

    capacity: float
    used: int

    @property
    def free(self) -> float:
        return self.capacity - self.used


def fitting(resources: Mapping[str, int]) -> Select[Any]:
    """Return a query for the providers that can take `resources` now (class: amount).

    Each row has `provider_id`, `provider_generation` and, for each class, its capacity and use;
    `room` reads these. Usage is summed by the database and joined, so the number of statements
    does not grow with the number of providers. Callers may join and filter further.
    """
    used = (
        select(
            Allocation.provider_id,
            Allocation.resource_class,
            func.sum(Allocation.used).label("used"),
        )
        .group_by(Allocation.provider_id, Allocation.resource_class)
        .subquery()
    )
    columns: list[ColumnElement[Any]] = [
        ResourceProvider.id.label("provider_id"),
        ResourceProvider.generation.label("provider_generation"),
    ]
    query: Select[Any] = select(*columns)
    for name, amount in resources.items():
        inventory, usage = aliased(Inventory), aliased(used)
        capacity = (inventory.total - inventory.reserved) * inventory.allocation_ratio
        taken = func.coalesce(usage.c.used, 0)
        query = (
            query.add_columns(capacity.label(f"capacity_{name}"), taken.label(f"used_{name}"))
            .join(
                inventory,
                (inventory.provider_id == ResourceProvider.id) & (inventory.resource_class == name),
            )
            .outerjoin(
                usage,
                (usage.c.provider_id == ResourceProvider.id) & (usage.c.resource_class == name),
            )
        )
        if amount:
            query = query.where(
                capacity >= taken + amount,
                inventory.min_unit <= amount,
                inventory.max_unit >= amount,
                amount % inventory.step_size == 0,
            )
    return query


def room(row: Row[Any], resources: Mapping[str, int]) -> dict[str, Room]:
    """Return what a row of `fitting` says of each class."""
    values = row._mapping
    return {
        name: Room(float(values[f"capacity_{name}"]), int(values[f"used_{name}"]))
        for name in resources
    }


def count_providers(session: Session) -> int:
    """Return how many providers there are, to tell how many of them had no room."""
    return session.scalar(select(func.count()).select_from(ResourceProvider)) or 0
