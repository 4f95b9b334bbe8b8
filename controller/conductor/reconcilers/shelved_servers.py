"""Shelved servers leave their hosts when their time there is over (`shelved_offload_time_s`)."""

import logging
from collections.abc import Callable
from datetime import datetime

from controller.core import server_shelve
from controller.db.session import Database
from controller.settings import Settings

log = logging.getLogger(__name__)

INTERVAL_S = 60.0


def run(settings: Settings, db: Database, clock: Callable[[], datetime]) -> int:
    """Begin their offloads, and return how many they are."""
    with db.write() as session:
        due = server_shelve.due(session, settings, clock())
        for server in due:
            server_shelve.offload(session, settings, server)
            log.info("shelved server %s leaves its host", server.id)
        return len(due)
