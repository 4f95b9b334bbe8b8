"""Availability zones: what hosts say they belong to, and the cloud's own default."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core.hosts import is_up
from controller.db.models import Host
from controller.errors import BadRequest
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone, with its hosts. It is available while at least one of them is enabled and up."""

    name: str
    available: bool
    hosts: list[Host]


def list_zones(session: Session, settings: Settings, now: datetime) -> list[Zone]:
    """Return all zones by name; the default one is there even without hosts."""
    by_zone: dict[str, list[Host]] = {settings.availability_zone: []}
    for host in session.scalars(select(Host).order_by(Host.name)):
        by_zone.setdefault(host.availability_zone, []).append(host)
    return [
        Zone(name, any(host.enabled and is_up(host, settings, now) for host in found), found)
        for name, found in sorted(by_zone.items())
    ]


def check(session: Session, settings: Settings, zone: str | None) -> None:
    """Refuse a zone that no host belongs to."""
    if zone is None or zone == settings.availability_zone:
        return
    if not session.scalar(select(Host.id).where(Host.availability_zone == zone).limit(1)):
        raise BadRequest(
            f"The requested availability zone is not available: {zone}. List availability zones "
            "for those there are."
        )
