"""Images on hosts before servers need them: an operation for each host, which brings the image.

A create then has no image to wait for. What no server uses goes again by its age. Follows Nova's
image pre-caching, which has aggregates for its hosts.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import hosts, images, operations
from controller.core.context import Context
from controller.core.operations import UNFINISHED
from controller.db.base import new_id, utcnow
from controller.db.models import Host, Operation
from controller.errors import Conflict, NotFound
from controller.settings import Settings

KIND = "image_prefetch"


def own_context() -> Context:
    """Return whom the cloud itself, or its operator at a command line, asks as."""
    return Context(f"req-{new_id()}", is_admin=True)


def chosen_hosts(
    session: Session,
    settings: Settings,
    names: Sequence[str] = (),
    availability_zone: str | None = None,
    aggregate: str | None = None,
) -> list[Host]:
    """Return the hosts of these names, else all that are enabled and up, of the zone and of the
    aggregate (of the settings) if given.

    Raises NotFound for a name that no host or aggregate has, Conflict for a host that is down and
    when there is none.
    """
    now = utcnow()
    if names:
        named = [hosts.get_by_name(session, name) for name in dict.fromkeys(names)]
        for host in named:
            if not hosts.is_up(host, settings, now):
                raise Conflict(
                    f"Cannot bring images to host {host.name}: it is down. Wait until it answers, "
                    "or leave it out."
                )
        return named
    if aggregate is not None and aggregate not in settings.aggregates:
        raise NotFound(f"There is no aggregate {aggregate} in the settings ([aggregates]).")
    members = None if aggregate is None else settings.aggregates[aggregate]
    found = [
        host
        for host in hosts.list_hosts(session)
        if host.enabled
        and (members is None or host.name in members)
        and hosts.is_up(host, settings, now)
        and availability_zone in (None, host.availability_zone)
    ]
    if not found:
        where = f" in availability zone {availability_zone}" if availability_zone else ""
        where += f" in aggregate {aggregate}" if aggregate else ""
        raise Conflict(
            f"Cannot bring images to hosts: none{where} is enabled and up. Enrol or enable one, "
            "or name a host that is up."
        )
    return found


def submit(
    session: Session,
    context: Context,
    image_id: str,
    to_hosts: Sequence[Host],
) -> list[Operation]:
    """Have the image brought to these hosts; return an operation for each, in their order.

    One that is under way already stands for a new one. Raises NotFound for an image that the caller
    can't see, Conflict for one without bytes.
    """
    image = images.get(session, context, image_id)
    if image.status != "active":
        raise Conflict(
            f"Cannot bring image {image.id} to hosts: it is {image.status}. Upload its data first."
        )
    under_way = {
        operation.host_id: operation
        for operation in session.scalars(
            select(Operation).where(
                Operation.kind == KIND,
                Operation.state.in_(UNFINISHED),
                Operation.host_id.in_([host.id for host in to_hosts]),
            )
        )
        if operation.arguments.get("image_id") == image.id
    }
    return [
        under_way.get(host.id)
        or operations.submit(
            session, KIND, context=context, host_id=host.id, arguments={"image_id": image.id}
        )
        for host in to_hosts
    ]
