"""Hosts remove what they keep for no server: disks whose time in quarantine is over, old bases.

A base is kept in any case while a server of the host was made from its image; the host itself looks
whether a disk stands on it. Where reaping is off nothing is tidied: what is in quarantine may be
all that is left of a server that the database should have.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from controller.conductor.reconcilers import each_host
from controller.core import reaping
from controller.db.models import Host, Server
from controller.db.session import Database
from controller.runner.requests import OK, Executor
from controller.settings import Settings

log = logging.getLogger(__name__)

PLAYBOOK = "host_tidy"
TIMEOUT_S = 300


def run(
    settings: Settings,
    db: Database,
    executor: Executor,
    clock: Callable[[], datetime],
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Have the hosts tidied that are up, and return how many did it: none where reaping is off."""

    def tidy(host: Host) -> bool:
        return _tidy(settings, db, executor, host, stopping)

    with db.read() as session:
        if reaping.why_off(session) is not None:
            return 0
        up = each_host.that_are_up(session, settings, clock())
    return each_host.count([host for host in up if host.reaping_off is None], tidy, stopping)


def _tidy(
    settings: Settings,
    db: Database,
    executor: Executor,
    host: Host,
    stopping: Callable[[], bool],
) -> bool:
    with db.read() as session:
        query = select(Server.image_id).where(
            Server.host_id == host.id, Server.deleted_at.is_(None), Server.image_id.is_not(None)
        )
        keep = sorted({image_id for image_id in session.scalars(query) if image_id})
    arguments = {
        "compute_quarantine_s": settings.quarantine_s,
        "compute_image_cache_age_s": settings.image_cache_age_s,
        "compute_image_cache_keep": keep,
    }
    result = each_host.play(settings, executor, host, PLAYBOOK, arguments, TIMEOUT_S, stopping)
    if result.status != OK:
        log.warning("host %s could not be tidied: %s", host.name, result.message)
    return result.status == OK
