"""Hosts remove what they keep for no server: disks whose time in quarantine is over, old bases.

A base is kept in any case while a server of the host was made from its image; the host itself looks
whether a disk stands on it. Where reaping is off nothing is tidied: what is in quarantine may be
all that is left of a server that the database should have.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from sqlalchemy import select

from controller.core import host_access, hosts, reaping
from controller.db.base import new_id
from controller.db.models import Host, Server
from controller.db.session import Database
from controller.runner.requests import OK, Executor, Run
from controller.settings import Settings

log = logging.getLogger(__name__)

PLAYBOOK = "host_tidy"
TIMEOUT_S = 300
RUNS_AT_ONCE = 2


def run(
    settings: Settings,
    db: Database,
    executor: Executor,
    clock: Callable[[], datetime],
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Have the hosts tidied that are up, and return how many did it: none where reaping is off."""

    def tidy(host: Host) -> bool:
        return not stopping() and _tidy(settings, db, executor, host, stopping)

    with db.read() as session:
        if reaping.why_off(session) is not None:
            return 0
        known = [
            one
            for one in hosts.list_hosts(session)
            if hosts.is_up(one, settings, clock()) and one.reaping_off is None
        ]
    with ThreadPoolExecutor(RUNS_AT_ONCE, "tidy") as pool:
        return sum(pool.map(tidy, known))


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
    result = executor.run(
        Run(
            id=new_id(),
            playbook=PLAYBOOK,
            hosts=(host_access.of_host(settings, host),),
            arguments={
                "compute_quarantine_s": settings.quarantine_s,
                "compute_image_cache_age_s": settings.image_cache_age_s,
                "compute_image_cache_keep": keep,
            },
            timeout_s=TIMEOUT_S,
            cancelled=stopping,
        )
    ).of(host.id)
    if result.status != OK:
        log.warning("host %s could not be tidied: %s", host.name, result.message)
    return result.status == OK
