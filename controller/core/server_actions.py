"""What was done to a server, and how it went: actions, and the steps of each as events."""

from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from controller.core.context import Context
from controller.db.models import Server, ServerAction, ServerEvent
from controller.errors import BadRequest, NotFound


def server_of(session: Session, context: Context, server_id: str, *, deleted: bool) -> Server:
    """Return the server whose actions are asked for; `deleted` ones too, if so."""
    query = select(Server).where(Server.id == server_id)
    server = session.scalar(query if deleted else query.where(Server.deleted_at.is_(None)))
    if server is None or not context.may_see(server.project_id):
        raise NotFound(
            f"Instance {server_id} could not be found. Check the id and the project in use."
        )
    return server


def record(session: Session, context: Context, server: Server, action: str) -> None:
    """Note an action that is done at once, without an operation."""
    session.add(
        ServerAction(
            server_id=server.id,
            request_id=context.request_id,
            action=action,
            user_id=context.user_id,
            project_id=context.project_id or server.project_id,
        )
    )


def list_actions(
    session: Session,
    server: Server,
    *,
    limit: int | None = None,
    marker: str | None = None,
    changes_since: datetime | None = None,
    changes_before: datetime | None = None,
) -> list[ServerAction]:
    """Return a page of the server's actions, latest first; `marker` is a request id."""
    query = select(ServerAction).where(ServerAction.server_id == server.id)
    if changes_since is not None:
        query = query.where(ServerAction.updated_at >= changes_since)
    if changes_before is not None:
        query = query.where(ServerAction.updated_at <= changes_before)
    if marker is not None:
        last = session.scalar(
            select(ServerAction).where(
                ServerAction.server_id == server.id, ServerAction.request_id == marker
            )
        )
        if last is None:
            raise BadRequest(f"marker [{marker}] not found: no action has this request id.")
        query = query.where(
            tuple_(ServerAction.started_at, ServerAction.id) < tuple_(last.started_at, last.id)
        )
    query = query.order_by(ServerAction.started_at.desc(), ServerAction.id.desc())
    return list(session.scalars(query.limit(limit)))


def get(session: Session, server: Server, request_id: str) -> ServerAction:
    action = session.scalar(
        select(ServerAction)
        .where(ServerAction.server_id == server.id, ServerAction.request_id == request_id)
        .order_by(ServerAction.id.desc())
    )
    if action is None:
        raise NotFound(f"Action for request_id {request_id} on server {server.id} not found.")
    return action


def events(session: Session, action: ServerAction) -> list[ServerEvent]:
    """Return the steps of the action, latest first, as upstream."""
    return list(
        session.scalars(
            select(ServerEvent)
            .where(ServerEvent.action_id == action.id)
            .order_by(ServerEvent.started_at.desc(), ServerEvent.id.desc())
        )
    )
