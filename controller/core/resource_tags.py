"""Tags of networks, subnets, ports and whatever else has an id here: words to find them by."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from controller.core.network_faults import InvalidInput, TagNotFound
from controller.db.models import ResourceTag

TAGS_MAX = 50
LENGTH_MAX = 255


def of(session: Session, resource_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the tags of each resource in their order, in one statement."""
    found: dict[str, list[str]] = {resource_id: [] for resource_id in resource_ids}
    query = select(ResourceTag).where(ResourceTag.resource_id.in_(resource_ids))
    for row in session.scalars(query.order_by(ResourceTag.tag)):
        found[row.resource_id].append(row.tag)
    return found


def replace(session: Session, resource_id: str, tags: Collection[str]) -> list[str]:
    """Give the resource these tags and no others; return them in their order."""
    wanted = sorted(set(tags))
    _check(resource_id, wanted)
    erase(session, [resource_id])
    session.add_all(ResourceTag(resource_id=resource_id, tag=tag) for tag in wanted)
    session.flush()
    return wanted


def add(session: Session, resource_id: str, tags: Collection[str]) -> list[str]:
    """Give the resource these tags beside those that it has; return all of them."""
    return replace(session, resource_id, {*of(session, [resource_id])[resource_id], *tags})


def check_has(session: Session, resource_id: str, tag: str) -> ResourceTag:
    """Return the tag, or raise TagNotFound."""
    row = session.get(ResourceTag, (resource_id, tag))
    if row is None:
        raise TagNotFound(f"Tag {tag} could not be found. Resource {resource_id} has none such.")
    return row


def remove(session: Session, resource_id: str, tag: str) -> None:
    session.delete(check_has(session, resource_id, tag))
    session.flush()


def erase(session: Session, resource_ids: Collection[str]) -> None:
    """Take all tags from these resources, which is also what comes before they go."""
    session.execute(delete(ResourceTag).where(ResourceTag.resource_id.in_(resource_ids)))


def has_all(column: Any, tags: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that the resource, whose id is in `column`, has each of the tags."""
    wanted = set(tags)
    found = select(func.count()).where(
        ResourceTag.resource_id == column, ResourceTag.tag.in_(sorted(wanted))
    )
    return found.scalar_subquery() == len(wanted)


def has_any(column: Any, tags: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that the resource has one of the tags."""
    return exists().where(ResourceTag.resource_id == column, ResourceTag.tag.in_(sorted(set(tags))))


def _check(resource_id: str, tags: Sequence[str]) -> None:
    if len(tags) > TAGS_MAX:
        raise InvalidInput(
            f"Resource {resource_id} would have {len(tags)} tags; at most {TAGS_MAX} are kept. "
            "Remove some first."
        )
    for tag in tags:
        if not 1 <= len(tag) <= LENGTH_MAX or "," in tag or "/" in tag:
            raise InvalidInput(
                f"'{tag[:LENGTH_MAX]}' is no tag: 1 to {LENGTH_MAX} characters, without commas and "
                "slashes."
            )
