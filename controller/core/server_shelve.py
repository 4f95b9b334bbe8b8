"""Shelve and unshelve: a server kept as an image, off its host, and brought back from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import availability_zones, images, server_images
from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.base import new_id
from controller.db.models import Host, Image, Server
from controller.errors import BadRequest, Conflict, InvalidState
from controller.settings import Settings
from controller.states import SHELVED, SHELVED_OFFLOADED

# shelved_offload_time_s: never.
NEVER = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where an unshelve is to go. `zone_given` with zone None takes the server's own zone away."""

    zone: str | None = None
    zone_given: bool = False
    host: str | None = None


def shelve(session: Session, settings: Settings, context: Context, server: Server) -> None:
    """Accept that the server is shelved: an image of it is made, queued. Raises InvalidState."""
    check_allowed(server, "shelve")
    if server.host_id is None:
        raise InvalidState(f"Cannot shelve server {server.id}: it is on no host.")
    image = server_images.make(
        session, settings, context, server, f"{server.name}-shelved"[:255], "snapshot", {}
    )
    begin_action(
        session,
        settings,
        context,
        server,
        "shelve",
        arguments={"image_id": image.id, "quiesce": "no", "was": server.state},
    )


def offload(session: Session, settings: Settings, server: Server) -> None:
    """Begin the offload of a shelved server, on the controller's own account."""
    context = Context(f"req-{new_id()}", project_id=server.project_id, is_admin=True)
    begin_action(
        session, settings, context, server, "shelve_offload", record_as="shelveOffload",
        bounded=False,
    )  # fmt: skip


def unshelve(
    session: Session, settings: Settings, context: Context, server: Server, place: Place
) -> None:
    """Accept that the server comes back. Raises BadRequest for a zone or host that isn't there,
    Conflict for a host outside the zone, InvalidState for one that is still on its host, or whose
    image is gone.
    """
    check_allowed(server, "unshelve")
    if (place.zone_given or place.host) and server.state != SHELVED_OFFLOADED:
        raise InvalidState(
            f"Specifying an availability zone or a host when unshelving server {server.id} is not "
            f"supported: it is {server.state}, and still on its host. Leave them out."
        )
    if place.zone_given:
        availability_zones.check(session, settings, place.zone)
    if place.host:
        _check_host(session, server, place)
    if server.state == SHELVED_OFFLOADED:
        _check_image(session, server)
    if place.zone_given:
        server.availability_zone = place.zone
    begin_action(
        session,
        settings,
        context,
        server,
        "unshelve",
        arguments={"was": server.state, "forced_host": place.host},
    )


def _check_host(session: Session, server: Server, place: Place) -> None:
    host = session.scalar(select(Host).where(Host.name == place.host))
    if host is None:
        raise BadRequest(
            f"Compute host {place.host} could not be found. List hypervisors for those there are."
        )
    zone = place.zone if place.zone_given else server.availability_zone
    if zone is not None and host.availability_zone != zone:
        raise Conflict(
            f'Host "{place.host}" is not in the availability zone "{zone}". Name one that is, or '
            "another zone."
        )


def _check_image(session: Session, server: Server) -> None:
    image = session.get(Image, kept(server).get("image_id"), with_for_update={"read": True})
    if image is None or image.deleted_at is not None or image.status != "active":
        raise InvalidState(
            f"Cannot unshelve server {server.id}: the image that it was shelved to was deleted. "
            "Delete the server, or rebuild what it held elsewhere."
        )


def kept(server: Server) -> Mapping[str, Any]:
    """Return what was noted of a shelved server: image_id and since (ISO time); empty if none."""
    return server.shelved or {}


def note(server: Server, image_id: str, now: datetime) -> None:
    server.shelved = {"image_id": image_id, "since": now.replace(microsecond=0).isoformat()}


def drop_image(session: Session, server: Server) -> None:
    """The server is back: its image goes, the bytes by the reconciler `unneeded_images`."""
    image_id = kept(server).get("image_id")
    server.shelved = None
    image = session.get(Image, image_id, with_for_update=True) if image_id else None
    if image is not None and image.deleted_at is None and not image.protected:
        images.remove(session, image)


def due(session: Session, settings: Settings, now: datetime) -> list[Server]:
    """Return the shelved servers whose time on their hosts is over, locked till the commit."""
    if settings.shelved_offload_time_s == NEVER:
        return []
    query = select(Server).where(Server.state == SHELVED, Server.task_state.is_(None))
    before = now - timedelta(seconds=settings.shelved_offload_time_s)
    return [
        server
        for server in session.scalars(query.with_for_update().order_by(Server.id))
        if datetime.fromisoformat(kept(server).get("since") or "1970-01-01") <= before
    ]
