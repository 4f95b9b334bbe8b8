"""Servers in a task state that no operation stands for are freed, so that their owners can act.

Rows and operations change together, so there should be none: each is logged as what it is, a bug
or a database restored from a backup.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from controller.conductor.flows import UNORDERED
from controller.core import transitions
from controller.core.operations import UNFINISHED
from controller.db.models import Operation, Server
from controller.db.session import Database

log = logging.getLogger(__name__)


def run(db: Database, clock: Callable[[], datetime]) -> int:
    """Free them, and return how many they were."""
    live = (
        select(Operation.id)
        .where(
            Operation.server_id == Server.id,
            Operation.state.in_(UNFINISHED),
            Operation.kind.not_in(UNORDERED),
        )
        .exists()
    )
    lost = select(Server).where(Server.task_state.is_not(None), Server.deleted_at.is_(None), ~live)
    with db.read() as session:
        if session.scalars(lost.limit(1)).first() is None:
            return 0
    with db.write() as session:
        # Locked before the look that counts: an action accepted since the first one has both, the
        # task state and its operation.
        found = list(session.scalars(lost.with_only_columns(Server.id)))
        session.execute(
            select(Server.id).where(Server.id.in_(found)).order_by(Server.id).with_for_update()
        )
        servers = list(session.scalars(lost.where(Server.id.in_(found))))
        for server in servers:
            log.error(
                "server %s is %s (%s) without an operation; it is freed",
                server.id, server.state, server.task_state,
            )  # fmt: skip
            transitions.release_lost(server, clock())
        return len(servers)
