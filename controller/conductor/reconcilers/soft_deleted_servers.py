"""Deleted servers whose time to be restored is over are deleted for good. As OpenStack Nova."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select

from controller.core import operations
from controller.core.context import Context
from controller.db.base import new_id
from controller.db.models import Server
from controller.db.session import Database
from controller.settings import Settings
from controller.states import SOFT_DELETED

log = logging.getLogger(__name__)

INTERVAL_S = 60.0
# In one transaction; the next round takes more.
BATCH = 100


def run(settings: Settings, db: Database, clock: Callable[[], datetime]) -> int:
    """Begin their deletes, and return how many they are. Without the setting they stay."""
    if settings.reclaim_instance_interval_s <= 0:
        return 0
    before = clock() - timedelta(seconds=settings.reclaim_instance_interval_s)
    with db.write() as session:
        query = select(Server).where(
            Server.state == SOFT_DELETED,
            Server.soft_deleted_at <= before,
            Server.task_state.is_(None),
            Server.deleted_at.is_(None),
        )
        found = list(session.scalars(query.order_by(Server.id).limit(BATCH).with_for_update()))
        for server in found:
            log.info("server %s was not restored in its time; it is deleted for good", server.id)
            context = Context(f"req-{new_id()}", project_id=server.project_id, is_admin=True)
            operations.begin_action(session, settings, context, server, "delete", bounded=False)
        return len(found)
