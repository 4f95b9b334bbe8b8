"""Flavors: the sizes that servers come in."""

import re
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from controller.core import live_sizes
from controller.core.context import Context
from controller.db.base import new_id
from controller.db.models import Flavor
from controller.errors import BadRequest, Conflict, NotFound

SORT_KEYS: dict[str, InstrumentedAttribute[Any]] = {
    "flavorid": Flavor.flavor_id,
    "id": Flavor.id,
    "name": Flavor.name,
    "memory_mb": Flavor.memory_mb,
    "vcpus": Flavor.vcpus,
    "root_gb": Flavor.disk_gb,
    "ephemeral_gb": Flavor.ephemeral_gb,
    "swap": Flavor.swap_mb,
    "disabled": Flavor.disabled,
    "is_public": Flavor.is_public,
    "rxtx_factor": Flavor.rxtx_factor,
    "description": Flavor.description,
}


def get(session: Session, context: Context, flavor_id: str) -> Flavor:
    """Return the flavor. One that isn't public is there for admins alone."""
    flavor = session.scalar(select(Flavor).where(Flavor.flavor_id == flavor_id))
    if flavor is None or not (flavor.is_public or context.is_admin):
        raise NotFound(f"Flavor {flavor_id} could not be found. List flavors for those there are.")
    return flavor


def list_flavors(
    session: Session,
    *,
    is_public: bool | None,
    min_memory_mb: int = 0,
    min_disk_gb: int = 0,
    sort_key: str = "flavorid",
    descending: bool = False,
    limit: int = 1000,
    marker: str | None = None,
) -> list[Flavor]:
    """Return a page of flavors; `is_public` None means both kinds.

    `marker` is the flavor id that the page comes after. Raises BadRequest for an unknown marker
    or sort key.
    """
    column = SORT_KEYS.get(sort_key)
    if column is None:
        raise BadRequest(
            f"Cannot sort flavors by {sort_key!r}: it is none of {', '.join(SORT_KEYS)}."
        )
    query = select(Flavor).where(Flavor.memory_mb >= min_memory_mb, Flavor.disk_gb >= min_disk_gb)
    if is_public is not None:
        query = query.where(Flavor.is_public == is_public)
    if marker is not None:
        query = query.where(_after(session, marker, column, descending))
    order = (column.desc(), Flavor.id.desc()) if descending else (column, Flavor.id)
    return list(session.scalars(query.order_by(*order).limit(limit)))


def _after(
    session: Session, marker: str, column: InstrumentedAttribute[Any], descending: bool
) -> ColumnElement[bool]:
    found = session.scalar(select(Flavor).where(Flavor.flavor_id == marker))
    if found is None:
        raise BadRequest(f"marker [{marker}] not found: no flavor has this id.")
    value = getattr(found, column.key)
    if descending:
        return or_(column < value, and_(column == value, Flavor.id < found.id))
    return or_(column > value, and_(column == value, Flavor.id > found.id))


def create(
    session: Session,
    *,
    name: str,
    flavor_id: str | None,
    vcpus: int,
    memory_mb: int,
    disk_gb: int,
    ephemeral_gb: int = 0,
    swap_mb: int = 0,
    rxtx_factor: float = 1.0,
    is_public: bool = True,
    description: str | None = None,
) -> Flavor:
    """Return a new flavor; without an id (or with 'auto') it gets a UUID. Raises Conflict."""
    if flavor_id in (None, "", "auto"):
        flavor_id = new_id()
    flavor = Flavor(
        flavor_id=flavor_id,
        name=name,
        vcpus=vcpus,
        memory_mb=memory_mb,
        disk_gb=disk_gb,
        ephemeral_gb=ephemeral_gb,
        swap_mb=swap_mb,
        rxtx_factor=rxtx_factor,
        is_public=is_public,
        description=description,
        extra_specs={},
    )
    taken = session.scalar(
        select(Flavor).where(or_(Flavor.flavor_id == flavor_id, Flavor.name == name))
    )
    if taken is not None:
        raise _conflict(name, str(flavor_id), same_name=taken.name == name)
    try:
        with session.begin_nested():
            session.add(flavor)
    except IntegrityError as error:
        raise _conflict(name, str(flavor_id), same_name="name" in str(error.orig)) from error
    return flavor


def _conflict(name: str, flavor_id: str, *, same_name: bool) -> Conflict:
    what = f"name {name}" if same_name else f"ID {flavor_id}"
    return Conflict(f"Flavor with {what} already exists. Choose another, or delete that one first.")


def delete(session: Session, context: Context, flavor_id: str) -> None:
    """Delete a flavor; servers made with it keep their copy."""
    session.delete(get(session, context, flavor_id))


def set_extra_specs(flavor: Flavor, specs: dict[str, Any]) -> None:
    """Add or change extra specs; values are kept as text."""
    for key in specs:
        if not re.fullmatch(r"[a-zA-Z0-9_.\- :]{1,255}", key):
            raise BadRequest(
                f"Invalid extra spec key {key!r}: 1 to 255 letters, digits, blanks and -_:. fit."
            )
    sizes = {"vcpus": flavor.vcpus, "memory_mb": flavor.memory_mb}
    live_sizes.check_specs(sizes, specs)
    flavor.extra_specs = {**flavor.extra_specs, **{key: str(specs[key]) for key in specs}}


def extra_spec(flavor: Flavor, key: str) -> str:
    if key not in flavor.extra_specs:
        raise NotFound(f"Flavor {flavor.flavor_id} has no extra specs with key {key}.")
    return str(flavor.extra_specs[key])


def remove_extra_spec(flavor: Flavor, key: str) -> None:
    extra_spec(flavor, key)
    flavor.extra_specs = {name: value for name, value in flavor.extra_specs.items() if name != key}


def snapshot(flavor: Flavor) -> dict[str, Any]:
    """Return the flavor as a server keeps it, whatever becomes of the flavor later."""
    return {
        "id": flavor.flavor_id,
        "name": flavor.name,
        "vcpus": flavor.vcpus,
        "memory_mb": flavor.memory_mb,
        "disk_gb": flavor.disk_gb,
        "ephemeral_gb": flavor.ephemeral_gb,
        "swap_mb": flavor.swap_mb,
        "extra_specs": dict(flavor.extra_specs),
    }
