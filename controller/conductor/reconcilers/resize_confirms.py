"""Resizes that nobody confirmed or reverted in time are confirmed (`resize_confirm_window_s`)."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import migrations, server_moves
from controller.core.context import Context
from controller.db.base import new_id
from controller.db.models import Migration, Server
from controller.db.session import Database
from controller.errors import NovellaError
from controller.settings import Settings
from controller.states import RESIZED

log = logging.getLogger(__name__)

INTERVAL_S = 30.0


def run(settings: Settings, db: Database, clock: Callable[[], datetime]) -> int:
    """Begin the confirm of each that is due, and return how many they were."""
    if not settings.resize_confirm_window_s:
        return 0
    due = clock() - timedelta(seconds=settings.resize_confirm_window_s)
    query = select(Migration.server_id).where(
        Migration.status == migrations.FINISHED, Migration.updated_at <= due
    )
    with db.read() as session:
        server_ids = list(session.scalars(query.distinct()))
    return sum(_confirm(settings, db, server_id) for server_id in server_ids)


def _confirm(settings: Settings, db: Database, server_id: str) -> bool:
    with db.write() as session:
        server = _waiting(session, server_id)
        if server is None:
            return False
        context = Context(f"req-{new_id()}", project_id=server.project_id, is_admin=True)
        try:
            server_moves.confirm(session, settings, context, server)
        except NovellaError as error:
            # The queue is full, say; it is tried again at the next look.
            log.warning("the resize of server %s is not confirmed: %s", server_id, error)
            return False
        log.info("the resize of server %s is confirmed, as its time is over", server_id)
        return True


def _waiting(session: Session, server_id: str) -> Server | None:
    return session.scalar(
        select(Server)
        .where(
            Server.id == server_id,
            Server.state == RESIZED,
            Server.task_state.is_(None),
            Server.deleted_at.is_(None),
        )
        .with_for_update()
    )
