"""Dry runs: a request tried out in a transaction that is rolled back, and kept as one operation.

The request is handled as it always is, so all that would refuse it does. What it would have
submitted, and the rows of servers that it would have made, become the arguments of an operation of
kind `dry_run`; its worker has them again in a transaction that is rolled back too.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from controller.core import operations, port_records
from controller.core.context import Context
from controller.core.operations import DRY_RUN
from controller.db.base import Base
from controller.db.models import (
    IPAllocation,
    Migration,
    Operation,
    Port,
    PortSecurityGroup,
    SecurityGroup,
    SecurityGroupRule,
    Server,
)
from controller.errors import QueueFull
from controller.settings import Settings

CREATE = "server_create"
# Each behind what it refers to.
MODELS: tuple[type[Base], ...] = (
    SecurityGroup, SecurityGroupRule, Server, Port, IPAllocation, PortSecurityGroup, Migration,
)  # fmt: skip
# What others may have taken meanwhile; nothing that hosts are told depends on it.
_NOT_KEPT = frozenset({"unique_name", "default_for"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request would have written: [{"kind", "server_id", "state", "arguments"}], and rows
    by table. `sealed` are the operations' secrets, of which those of one request are the same.
    """

    operations: list[dict[str, Any]]
    rows: dict[str, list[dict[str, Any]]]
    sealed: bytes | None = None


def look(session: Session) -> Plan:
    """Return what was written in `session`, whose transaction is about to be rolled back."""
    found = operations.submitted(session)
    states = {
        server.id: server.state
        for each in found
        if each.server_id and (server := session.get(Server, each.server_id))
    }
    told = [
        {
            "kind": each.kind,
            "server_id": each.server_id,
            "state": states.get(each.server_id or ""),
            "arguments": dict(each.arguments),
        }
        for each in found
    ]
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(session, found):
        rows.setdefault(row.__tablename__, []).append(_plain(row))
    return Plan(told, rows, found[0].sealed if found else None)


def submit(session: Session, settings: Settings, context: Context, plan: Plan) -> Operation:
    """Write the dry run's operation, which is all that there will be of it. Raises QueueFull.

    It is bound to no server: neither does it wait for what is done to one, nor the other way round.
    """
    if operations.queue_is_full(session, settings):
        raise QueueFull(
            f"Cannot try this out now: more than {settings.queue_max} actions wait for a worker. "
            "Try again later."
        )
    operation = operations.submit(
        session,
        DRY_RUN,
        context=context,
        arguments={"operations": plan.operations, "rows": plan.rows},
        sealed=plan.sealed,
    )
    session.flush()
    return operation


def replay(session: Session, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Write a plan's rows again, within what the caller rolls back."""
    for model in MODELS:
        for values in rows.get(model.__tablename__, []):
            session.merge(_row(model, values))
        session.flush()


def _rows(session: Session, found: Sequence[Operation]) -> list[Base]:
    """Return the rows that the operations need and that will be gone: new servers with their ports,
    and the record of a move.
    """
    made = [each.server_id for each in found if each.kind == CREATE and each.server_id]
    moves = [each.arguments["migration_id"] for each in found if "migration_id" in each.arguments]
    ports = session.scalars(select(Port).where(port_records.serving(made))).all() if made else []
    port_ids = [port.id for port in ports]
    bound = session.scalars(
        select(PortSecurityGroup).where(PortSecurityGroup.port_id.in_(port_ids))
    ).all()
    groups = {each.security_group_id for each in bound}
    of = SecurityGroupRule.security_group_id
    return [
        *session.scalars(select(SecurityGroup).where(SecurityGroup.id.in_(groups))),
        *session.scalars(select(SecurityGroupRule).where(of.in_(groups))),
        *session.scalars(select(Server).where(Server.id.in_(made))),
        *ports,
        *session.scalars(select(IPAllocation).where(IPAllocation.port_id.in_(port_ids))),
        *bound,
        *session.scalars(select(Migration).where(Migration.id.in_(moves))),
    ]


def _plain(row: Base) -> dict[str, Any]:
    """Return the row's columns as JSON takes them."""
    kept = {}
    for attribute in inspect(type(row)).column_attrs:
        value = getattr(row, attribute.key)
        if attribute.key in _NOT_KEPT:
            continue
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, bytes):
            value = base64.b64encode(value).decode()
        kept[attribute.key] = value
    return kept


def _row(model: type[Base], values: dict[str, Any]) -> Base:
    known = {}
    for attribute in inspect(model).column_attrs:
        value = values.get(attribute.key)
        kind = attribute.columns[0].type.python_type
        if value is not None and kind is datetime:
            value = datetime.fromisoformat(value)
        elif value is not None and kind is bytes:
            value = base64.b64decode(value)
        known[attribute.key] = value
    return model(**known)
