"""How many images, and how many MiB of them, a project may have: Glance's unified limits.

What counts is what is there: the bytes of a deleted image stay, and count, while a server that was
made from it needs them. Else uploads, a server of each and deletes would fill everybody's store.
"""

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from controller import quota_defaults
from controller.core.quotas import lock_project
from controller.db.models import Image, QuotaLimit, Server
from controller.errors import ImageQuotaExceeded
from controller.quota_defaults import UNLIMITED
from controller.settings import Settings

MIB = 1 << 20
SIZE, COUNT = "image_size_total", "image_count_total"
DEFAULTS = quota_defaults.IMAGE


def limits(session: Session, settings: Settings, project_id: str | None) -> dict[str, int]:
    """Return the project's limits; -1 is none."""
    rows = session.scalars(
        select(QuotaLimit).where(
            QuotaLimit.project_id == project_id, QuotaLimit.resource.in_(DEFAULTS)
        )
    )
    known = {name: settings.default_quota.get(name, value) for name, value in DEFAULTS.items()}
    return known | {row.resource: row.limit for row in rows}


def used(session: Session, project_id: str | None) -> tuple[int, int]:
    """Return how many bytes the project has in the store, and how many images it can see."""
    needed = select(Server.id).where(Server.image_id == Image.id, Server.deleted_at.is_(None))
    seen = Image.deleted_at.is_(None)
    row = session.execute(
        select(
            func.coalesce(func.sum(Image.size_bytes), 0),
            func.coalesce(func.sum(case((seen, 1), else_=0)), 0),
        ).where(Image.project_id == project_id, or_(seen, needed.exists()))
    ).one()
    return int(row[0] or 0), int(row[1])


def bytes_left(session: Session, settings: Settings, project_id: str) -> int | None:
    """Return how many bytes the project may upload now; None for any number."""
    limit = limits(session, settings, project_id)[SIZE]
    if limit == UNLIMITED:
        return None
    return max(0, limit * MIB - used(session, project_id)[0])


def admit_bytes(session: Session, settings: Settings, project_id: str, size_bytes: int) -> None:
    """Refuse `size_bytes` more than the quota leaves, with ImageQuotaExceeded.

    Called in the transaction that makes the image active: the project stays locked until its end,
    so of two uploads that were both begun in time the second is refused.
    """
    lock_project(session, project_id)
    left = bytes_left(session, settings, project_id)
    if left is not None and size_bytes > left:
        raise ImageQuotaExceeded(
            f"Quota exceeded for {SIZE}: the image has {size_bytes} bytes, and {left} are left. "
            "Delete images, or ask for a larger quota."
        )


def admit_image(session: Session, settings: Settings, project_id: str) -> None:
    """Refuse one more image than the quota leaves, with ImageQuotaExceeded; locks as above."""
    lock_project(session, project_id)
    limit = limits(session, settings, project_id)[COUNT]
    if limit != UNLIMITED and used(session, project_id)[1] >= limit:
        raise ImageQuotaExceeded(
            f"Quota exceeded for {COUNT}: the project has {limit} images. Delete images, or ask "
            "for a larger quota."
        )
