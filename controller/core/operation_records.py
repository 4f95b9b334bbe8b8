"""Operations as operators look for them: by id, by its beginning, or by what they are about."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from controller.core.context import Context
from controller.db.models import Host, Operation, Project, Server, ServerEvent, User
from controller.errors import BadRequest, NotFound

# Ids to choose from that a refusal names.
NAMED_MAX = 5


def find(session: Session, wanted: str) -> Operation:
    """Return the operation whose id is or begins with `wanted`.

    Raises NotFound, and BadRequest when several begin so.
    """
    exact = session.get(Operation, wanted)
    if exact is not None:
        return exact
    query = select(Operation).where(Operation.id.startswith(wanted, autoescape=True))
    found = list(session.scalars(query.order_by(Operation.id).limit(NAMED_MAX + 1)))
    if not wanted or not found:
        raise NotFound(
            f"No operation {wanted or '(empty)'} was found. `novella operation list` has their ids."
        )
    if len(found) > 1:
        ids = ", ".join(operation.id for operation in found[:NAMED_MAX])
        more = " and more" if len(found) > NAMED_MAX else ""
        raise BadRequest(f"Several operations begin with {wanted}: {ids}{more}. Give more of one.")
    return found[0]


def get(session: Session, context: Context, operation_id: str) -> Operation:
    """Return the operation. Raises NotFound, also for one of another project."""
    operation = session.get(Operation, operation_id)
    if operation is None or not context.may_see(operation.project_id or ""):
        raise NotFound.of("operation", operation_id)
    return operation


def newest(
    session: Session,
    *,
    server: str | None = None,
    host: str | None = None,
    state: str | None = None,
    kind: str | None = None,
    limit: int = 20,
) -> list[tuple[Operation, str | None, str | None]]:
    """Return tuples (Operation, server's name, host's name), newest first, in one statement.

    `server` is an id, the beginning of one, or a name; `host` is a name.
    """
    query = (
        select(Operation, Server.name.label("server"), Host.name.label("host"))
        .outerjoin(Server, Server.id == Operation.server_id)
        .outerjoin(Host, Host.id == Operation.host_id)
        .order_by(Operation.created_at.desc(), Operation.id)
        .limit(limit)
    )
    if server is not None:
        query = query.where(
            or_(Server.id.startswith(server, autoescape=True), Server.name == server)
        )
    if host is not None:
        query = query.where(Host.name == host)
    if state is not None:
        query = query.where(Operation.state == state)
    if kind is not None:
        query = query.where(Operation.kind == kind)
    return [
        (found, server_name, host_name) for found, server_name, host_name in session.execute(query)
    ]


def names(session: Session, operation: Operation) -> dict[str, str | None]:
    """Return the names of the operation's user, project, server and host, where there are any."""

    def name(model: type[User | Project | Server | Host], key: str | None) -> str | None:
        return session.scalar(select(model.name).where(model.id == key)) if key else None

    return {
        "user": name(User, operation.user_id),
        "project": name(Project, operation.project_id),
        "server": name(Server, operation.server_id),
        "host": name(Host, operation.host_id),
    }


def events(session: Session, operation: Operation) -> list[tuple[ServerEvent, str | None]]:
    """Return tuples (ServerEvent, host's name): the operation's steps, in the order they began."""
    if operation.action_id is None:
        return []
    query = (
        select(ServerEvent, Host.name)
        .outerjoin(Host, Host.id == ServerEvent.host_id)
        .where(ServerEvent.action_id == operation.action_id)
        .order_by(ServerEvent.started_at, ServerEvent.id)
    )
    return [(event, host) for event, host in session.execute(query)]
