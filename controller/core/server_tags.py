"""Tags of servers: short words of their owners', to find them by."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from controller.db.models import Server, ServerTag
from controller.errors import BadRequest, InvalidState, NotFound
from controller.states import ACTIVE, PAUSED, STOPPED, SUSPENDED

TAGS_MAX = 50
# Upstream lets them be changed in these states alone.
CHANGEABLE_IN = frozenset({ACTIVE, PAUSED, STOPPED, SUSPENDED})


def of_servers(session: Session, server_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the tags of each server that has any, in their order, in one statement."""
    found: dict[str, list[str]] = {}
    query = select(ServerTag.server_id, ServerTag.tag).where(ServerTag.server_id.in_(server_ids))
    for server_id, tag in session.execute(query.order_by(ServerTag.tag)):
        found.setdefault(server_id, []).append(tag)
    return found


def of_server(session: Session, server: Server) -> list[str]:
    return of_servers(session, [server.id]).get(server.id, [])


def check_changeable(server: Server) -> None:
    """Raise InvalidState in a state in which the tags can't be changed."""
    if server.state not in CHANGEABLE_IN:
        allowed = " or ".join(sorted(CHANGEABLE_IN))
        raise InvalidState(
            f"Cannot change the tags of server {server.id}: it is {server.state}, and this is "
            f"allowed when it is {allowed}."
        )


def replace(session: Session, server: Server, tags: Collection[str]) -> list[str]:
    """Give the server these tags and no others; return them in their order."""
    check_changeable(server)
    wanted = set(tags)
    _check_count(server, len(wanted))
    remove_all(session, server)
    session.add_all(ServerTag(server_id=server.id, tag=tag) for tag in wanted)
    return sorted(wanted)


def add(session: Session, server: Server, tag: str) -> bool:
    """Give the server the tag; return whether it is new. Raises BadRequest for one too many."""
    check_changeable(server)
    present = of_server(session, server)
    if tag in present:
        return False
    _check_count(server, len(present) + 1)
    session.add(ServerTag(server_id=server.id, tag=tag))
    return True


def check_has(session: Session, server: Server, tag: str) -> None:
    if session.get(ServerTag, (server.id, tag)) is None:
        raise NotFound(f"Server {server.id} has no tag '{tag}'.")


def remove(session: Session, server: Server, tag: str) -> None:
    check_changeable(server)
    check_has(session, server, tag)
    session.delete(session.get_one(ServerTag, (server.id, tag)))


def remove_all(session: Session, server: Server) -> None:
    check_changeable(server)
    session.execute(delete(ServerTag).where(ServerTag.server_id == server.id))


def has_all(tags: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a server has each of the tags: one subquery, however many."""
    wanted = set(tags)
    found = select(func.count()).where(
        ServerTag.server_id == Server.id, ServerTag.tag.in_(sorted(wanted))
    )
    return found.scalar_subquery() == len(wanted)


def has_any(tags: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a server has one of the tags: one subquery, however many."""
    return exists().where(ServerTag.server_id == Server.id, ServerTag.tag.in_(sorted(set(tags))))


def _check_count(server: Server, count: int) -> None:
    if count > TAGS_MAX:
        raise BadRequest(
            f"The number of tags exceeded the per-server limit {TAGS_MAX}: server {server.id} "
            f"would have {count}. Remove some first."
        )
