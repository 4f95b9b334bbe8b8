"""Candidates: the providers that have room for a request, with what they have left."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, Select, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from controller.db.models import Allocation, Inventory, ResourceProvider

# The classes that are asked for, each with whether any of it is.
Shape = tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Room:
    """One class at one provider: how much may be given out, and how much of it is."""

    capacity: float
    used: int

    @property
    def free(self) -> float:
        return self.capacity - self.used


def shape(resources: Mapping[str, int]) -> Shape:
    """Return what of `resources` (class: amount) a query is made by; there are few."""
    return tuple((name, bool(amount)) for name, amount in resources.items())


def amounts(resources: Mapping[str, int]) -> dict[str, int]:
    """Return the parameters with which a query of `fitting` is executed."""
    return {f"amount_{name}": amount for name, amount in resources.items() if amount}


@cache
def fitting(wanted: Shape) -> Select[Any]:
    """Return a query for the providers that can now take the `amounts` with which it is executed.

    Made once for each shape: putting it together takes longer than the database's answer. Each row
    has `provider_id`, `provider_generation` and, for each class, its capacity and use; `room` reads
    these. Usage is summed by the database and joined, so the number of statements does not grow
    with the number of providers. Callers may join and filter further.
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
    for name, is_wanted in wanted:
        amount = bindparam(f"amount_{name}", type_=Integer)
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
        if is_wanted:
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
