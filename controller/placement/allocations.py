"""Allocations: claims on a provider's resources, atomic by the provider's generation."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from controller.db.models import Allocation, ResourceProvider
from controller.errors import ConcurrentUpdate
from controller.placement import candidates, providers


def claim(
    session: Session, consumer_id: str, provider_id: str, resources: Mapping[str, int]
) -> None:
    """Take `resources` (class: amount) of the provider for `consumer_id`, all or nothing.

    A claim that the consumer already holds there is left as it is, so that a step may run again.
    Raises ConcurrentUpdate when somebody else took the room first or just changed the provider:
    the caller tries again, or the next candidate.
    """
    if dict(resources) == held(session, consumer_id, provider_id):
        return
    # Claims of one provider go one after the other: they would otherwise all see the same room, and
    # each but one fail where several would fit.
    session.execute(
        select(ResourceProvider.id).where(ResourceProvider.id == provider_id).with_for_update()
    )
    one = {"provider_id": provider_id, **candidates.amounts(resources)}
    row = session.execute(_one_fitting(candidates.shape(resources)), one).first()
    if row is None:
        raise ConcurrentUpdate(
            f"Cannot claim resources of provider {provider_id} for {consumer_id}: there is no room "
            "left. Try another provider."
        )
    providers.raise_generation(session, provider_id, row.provider_generation)
    place = {"consumer_id": consumer_id, "provider_id": provider_id}
    session.execute(
        insert(Allocation),
        [{**place, "resource_class": name, "used": amount} for name, amount in resources.items()],
    )


@cache
def _one_fitting(wanted: candidates.Shape) -> Select[Any]:
    return candidates.fitting(wanted).where(ResourceProvider.id == bindparam("provider_id"))


def held(session: Session, consumer_id: str, provider_id: str | None = None) -> dict[str, int]:
    """Return what the consumer holds (class: amount), at one provider or at all."""
    query = select(Allocation.resource_class, Allocation.used).where(
        Allocation.consumer_id == consumer_id
    )
    if provider_id is not None:
        query = query.where(Allocation.provider_id == provider_id)
    total: dict[str, int] = {}
    for name, used in session.execute(query):
        total[name] = total.get(name, 0) + used
    return total


def release(session: Session, consumer_id: str, provider_id: str | None = None) -> None:
    """Give back what the consumer holds, at one provider or at all. Nothing held is no error.

    The generation isn't swapped: room that grows can make no claim wrong.
    """
    statement = delete(Allocation).where(Allocation.consumer_id == consumer_id)
    if provider_id is not None:
        statement = statement.where(Allocation.provider_id == provider_id)
    session.execute(statement.execution_options(synchronize_session=False))


def hand_over(session: Session, consumer_id: str, provider_id: str, heir_id: str) -> None:
    """Make `heir_id` the holder of what the consumer has at the provider; the sum stays the same.

    A host that can't be reached may still run the server, so its room isn't free: the clean-up
    holds it from here on.
    """
    session.execute(
        update(Allocation)
        .where(Allocation.consumer_id == consumer_id, Allocation.provider_id == provider_id)
        .values(consumer_id=heir_id)
        .execution_options(synchronize_session=False)
    )


def set_held(
    session: Session, consumer_id: str, provider_id: str, resources: Mapping[str, int]
) -> None:
    """Write down what the consumer takes there already, room or not; nothing may be held by it.

    The generation rises, so that a claim under way looks at the room again.
    """
    provider = session.get(ResourceProvider, provider_id, populate_existing=True)
    if provider is None:
        return
    providers.raise_generation(session, provider_id, provider.generation)
    session.expire(provider)
    session.add_all(
        Allocation(
            consumer_id=consumer_id, provider_id=provider_id, resource_class=name, used=amount
        )
        for name, amount in resources.items()
    )
    session.flush()
