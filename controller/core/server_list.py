"""Lists of servers: filters, order and pages, in one statement however long the list is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    exists,
    false,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from controller.core.port_records import SERVER_OWNER
from controller.db.models import Host, IPAllocation, Port, Server
from controller.errors import BadRequest
from controller.states import SOFT_DELETED

# Columns that a tenant's pattern may look into, by filter.
PATTERNS: dict[str, InstrumentedAttribute[Any]] = {
    "name": Server.name,
    "display_name": Server.name,
    "description": Server.description,
    "display_description": Server.description,
    "hostname": Server.hostname,
    "key_name": Server.key_name,
    "reservation_id": Server.reservation_id,
    "availability_zone": Server.availability_zone,
    "access_ip_v4": Server.access_ip_v4,
    "access_ip_v6": Server.access_ip_v6,
}
# Columns that are compared as they are, by filter.
EXACT: dict[str, InstrumentedAttribute[Any]] = {
    "uuid": Server.id,
    "project_id": Server.project_id,
    "tenant_id": Server.project_id,
    "user_id": Server.user_id,
    "image": Server.image_id,
    "image_ref": Server.image_id,
    "vm_state": Server.state,
    "task_state": Server.task_state,
}
NUMBERS: dict[str, InstrumentedAttribute[Any]] = {
    "power_state": Server.power_state,
    "launch_index": Server.launch_index,
}
TIMES: dict[str, InstrumentedAttribute[Any]] = {
    "created_at": Server.created_at,
    "launched_at": Server.launched_at,
    "terminated_at": Server.terminated_at,
}
# What the list may be ordered by: the column, and what stands for null so that a page can go on
# after a server that has none.
_NO_TIME = datetime(1, 1, 1)  # noqa: DTZ001 -- tables keep naive UTC
SORT_KEYS: dict[str, tuple[ColumnElement[Any] | InstrumentedAttribute[Any], Any]] = {
    "access_ip_v4": (Server.access_ip_v4, ""),
    "access_ip_v6": (Server.access_ip_v6, ""),
    "auto_disk_config": (Server.disk_config, ""),
    "availability_zone": (Server.availability_zone, ""),
    "config_drive": (Server.config_drive, False),
    "created_at": (Server.created_at, None),
    "display_description": (Server.description, ""),
    "display_name": (Server.name, None),
    "host": (Server.host_id, ""),
    "hostname": (Server.hostname, None),
    "image_ref": (Server.image_id, ""),
    "instance_type_id": (Server.flavor["name"].as_string(), ""),
    "key_name": (Server.key_name, ""),
    "launch_index": (Server.launch_index, None),
    "launched_at": (Server.launched_at, _NO_TIME),
    "locked": (Server.locked, None),
    "node": (Server.host_id, ""),
    "power_state": (Server.power_state, None),
    "project_id": (Server.project_id, None),
    "task_state": (Server.task_state, ""),
    "terminated_at": (Server.terminated_at, _NO_TIME),
    "updated_at": (Server.updated_at, None),
    "user_id": (Server.user_id, None),
    "uuid": (Server.id, None),
    "vm_state": (Server.state, None),
}


SHOWN = (
    Server.id,
    Server.project_id,
    Server.user_id,
    Server.name,
    Server.hostname,
    Server.description,
    Server.state,
    Server.task_state,
    Server.power_state,
    Server.host_id,
    Server.availability_zone,
    Server.flavor,
    Server.image_id,
    Server.key_name,
    Server.config_drive,
    Server.meta,
    Server.disk_config,
    Server.access_ip_v4,
    Server.access_ip_v6,
    Server.reservation_id,
    Server.launch_index,
    Server.locked,
    Server.locked_reason,
    Server.fault,
    Server.created_at,
    Server.updated_at,
    Server.launched_at,
    Server.terminated_at,
    Server.deleted_at,
)


@dataclass(slots=True)
class Filters:
    """What is asked of the list. `project_id` None means all projects.

    `conditions` are those made by the functions below; `deleted` None means both kinds. Servers
    that may still be restored are listed with the deleted ones, not with the others, unless
    `soft_deleted` says otherwise.
    """

    project_id: str | None
    deleted: bool | None = False
    soft_deleted: bool | None = None
    conditions: list[ColumnElement[bool]] = field(default_factory=list)


def list_servers(
    session: Session,
    filters: Filters,
    *,
    sort: Sequence[tuple[str, bool]] = (),
    limit: int = 1000,
    marker: str | None = None,
    with_user_data: bool = False,
) -> Sequence[Row[Any]]:
    """Return a page of servers, latest first unless `sort` says (key, descending) otherwise.

    The rows have the columns of Server that lists show (SHOWN), by name: making a thousand
    full objects would cost more than all else. Raises BadRequest for an unknown marker.
    """
    keys = [*sort] or [("created_at", True)]
    if "uuid" not in [name for name, _ in keys]:
        keys.append(("uuid", keys[-1][1]))
    user_data = Server.sealed_user_data if with_user_data else null().label("sealed_user_data")
    query = _filtered(select(*SHOWN, user_data), filters)
    if marker is not None:
        query = query.where(_after(session, filters, marker, keys))
    query = query.order_by(
        *(column.desc() if descending else column for column, descending in _columns(keys))
    )
    return session.execute(query.limit(limit)).all()


def matches(column: ColumnElement[Any] | InstrumentedAttribute[Any], pattern: str) -> Any:
    """Return the condition that `pattern` is found in `column`.

    Upstream has the database search a regular expression of the tenant's making; one such can keep
    a database busy for hours. Here ^ $ . .* .+ | and \\ keep their meaning and are looked for as
    plain patterns; text with any other operator is looked for as it stands. Case does not
    count, whatever the database. Raises BadRequest for more alternatives than ALTERNATIVES_MAX:
    databases bound the depth of a condition.
    """
    return or_(*(column.ilike(like, escape="!") for like in _likes(pattern)))


def has_address(pattern: str, version: int) -> ColumnElement[bool]:
    """Return the condition that the server has an address of the IP `version` like `pattern`."""
    found = select(IPAllocation.port_id).join(Port, Port.id == IPAllocation.port_id)
    family = IPAllocation.ip_address.like("%:%")
    return exists(
        found.where(
            Port.device_id == Server.id,
            Port.device_owner.startswith(SERVER_OWNER),
            matches(IPAllocation.ip_address, pattern),
            family if version == 6 else ~family,
        )
    )


def on_host(name: str) -> ColumnElement[bool]:
    return Server.host_id.in_(select(Host.id).where(Host.name == name))


def of_flavor(flavor_id: str) -> ColumnElement[bool]:
    column: ColumnElement[str] = Server.flavor["id"].as_string()
    return column == flavor_id


def nothing() -> ColumnElement[bool]:
    return false()


ALTERNATIVES_MAX = 100
_SIMPLE = re.compile(r"\^?(?:\\[^\w\s]|\.[*+]?|[^\\^$.|?*+()\[\]{}])*\$?", re.DOTALL)
_PIECE = re.compile(r"\\(.)|(\.[*+]?)|(.)", re.DOTALL)
_WILD = {".": "_", ".*": "%", ".+": "_%"}


def _likes(pattern: str) -> list[str]:
    alternatives = pattern.split("|")
    if len(alternatives) > ALTERNATIVES_MAX:
        raise BadRequest(
            f"The filter '{pattern[:50]}...' has {len(alternatives)} alternatives; at most "
            f"{ALTERNATIVES_MAX} are looked for. Send several requests."
        )
    if not all(_SIMPLE.fullmatch(part) for part in alternatives):
        return [f"%{_literal(pattern)}%"]
    return [_like(part) for part in alternatives]


def _like(part: str) -> str:
    start = "" if part.startswith("^") else "%"
    body = part.removeprefix("^")
    end = "%"
    # A dollar that the pattern escaped is text, not the end.
    if re.search(r"(?<!\\)(?:\\\\)*\$\Z", body):
        body, end = body[:-1], ""
    pieces = (
        _WILD[wild] if wild else _literal(escaped or plain)
        for escaped, wild, plain in _PIECE.findall(body)
    )
    return start + "".join(pieces) + end


def _literal(text: str) -> str:
    return re.sub(r"([!%_])", r"!\1", text)


def _filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    if filters.project_id is not None:
        query = query.where(Server.project_id == filters.project_id)
    gone, soft = Server.deleted_at.is_not(None), Server.state == SOFT_DELETED
    if filters.deleted:
        query = query.where(gone if filters.soft_deleted is False else or_(gone, soft))
    elif filters.deleted is not None:
        query = query.where(~gone if filters.soft_deleted else and_(~gone, ~soft))
    return query.where(*filters.conditions)


def _columns(keys: Sequence[tuple[str, bool]]) -> list[tuple[ColumnElement[Any], bool]]:
    found = []
    for name, descending in keys:
        column, stand_in = SORT_KEYS[name]
        value = column if stand_in is None else func.coalesce(column, literal(stand_in))
        found.append((value, descending))
    return found  # type: ignore[return-value]  # SQLAlchemy types a Select loosely


def _after(
    session: Session, filters: Filters, marker: str, keys: Sequence[tuple[str, bool]]
) -> ColumnElement[bool]:
    """Return the condition that a server comes after the marker in the order of `keys`."""
    columns = _columns(keys)
    query = select(*(column for column, _ in columns)).where(Server.id == marker)
    if filters.project_id is not None:
        query = query.where(Server.project_id == filters.project_id)
    values = session.execute(query).first()
    if values is None:
        raise BadRequest(f"marker [{marker}] not found: no server of yours has this id.")
    alternatives = []
    for place, (column, descending) in enumerate(columns):
        same = [columns[i][0] == values[i] for i in range(place)]
        further = column < values[place] if descending else column > values[place]
        alternatives.append(and_(*same, further))
    return or_(*alternatives)
