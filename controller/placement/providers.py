"""Resource providers. A compute host's provider has the host's own id."""

from typing import Any, cast

from sqlalchemy import CursorResult, update
from sqlalchemy.orm import Session

from controller.db.models import ResourceProvider
from controller.errors import ConcurrentUpdate


def ensure(session: Session, provider_id: str, name: str) -> ResourceProvider:
    """Return the provider, made or renamed if need be."""
    provider = session.get(ResourceProvider, provider_id)
    if provider is None:
        provider = ResourceProvider(id=provider_id, name=name, generation=0)
        session.add(provider)
    elif provider.name != name:
        provider.name = name
    session.flush()
    return provider


def raise_generation(session: Session, provider_id: str, seen: int) -> None:
    """Move the provider on from generation `seen`: the compare-and-swap under every change.

    Raises ConcurrentUpdate when somebody else moved it first; what the caller has read of its
    inventories and allocations is then out of date.
    """
    statement = (
        update(ResourceProvider)
        .where(ResourceProvider.id == provider_id, ResourceProvider.generation == seen)
        .values(generation=seen + 1)
        .execution_options(synchronize_session=False)
    )
    result = cast("CursorResult[Any]", session.execute(statement))
    if result.rowcount != 1:
        raise ConcurrentUpdate(
            f"Cannot change provider {provider_id}: somebody else changed it first. Try again."
        )
