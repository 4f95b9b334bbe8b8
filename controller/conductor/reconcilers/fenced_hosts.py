"""Fenced hosts that are back: cleaned of the servers that were evacuated, then open for new ones.

The clean-ups themselves are operations, which are tried until the host confirms them. Here one that
was lost is written again, and the fence is lifted when all are through: until then the scheduler
passes the host by. What an older run may still do there is refused by the servers' generations.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.conductor import server_cleanup
from controller.core import host_fences, hosts, migrations
from controller.db.models import Host, Migration, Server
from controller.db.session import Database
from controller.settings import Settings

log = logging.getLogger(__name__)

INTERVAL_S = 15.0


def run(settings: Settings, db: Database, clock: Callable[[], datetime]) -> int:
    """Look after the fenced hosts that were heard of again; return how many fences were lifted."""
    with db.read() as session:
        known = list(session.scalars(select(Host).where(Host.fenced_at.is_not(None))))
    back = [host.id for host in known if host_fences.was_heard_of_since(host)]
    return sum(_look_after(settings, db, clock, host_id) for host_id in back)


def _look_after(
    settings: Settings, db: Database, clock: Callable[[], datetime], host_id: str
) -> bool:
    with db.write() as session:
        host = session.get(Host, host_id, with_for_update=True)
        if host is None or not host_fences.was_heard_of_since(host):
            return False
        if not hosts.is_up(host, settings, clock()):
            return False
        left = [each for each in _evacuated(session, host_id) if not _is_clean(session, each)]
        for migration in left:
            _have_cleaned(session, settings, migration)
        if left:
            return False
        host_fences.lift(host)
        log.info("host %s is back, and has nothing left of evacuated servers", host.name)
        return True


def _evacuated(session: Session, host_id: str) -> list[Migration]:
    query = select(Migration).where(
        Migration.source_host_id == host_id,
        Migration.type == migrations.EVACUATION,
        Migration.status.in_((*migrations.UNDER_WAY, migrations.DONE)),
    )
    return list(session.scalars(query.order_by(Migration.id)))


def _is_clean(session: Session, migration: Migration) -> bool:
    """Whether the old host has confirmed that it has nothing of the server."""
    if migration.status != migrations.DONE:
        return False
    cleaned = server_cleanup.has_succeeded(session, migration.server_id, migration.source_host_id,
                                           since=migration.created_at)  # fmt: skip
    if cleaned:
        migration.status = migrations.COMPLETED
    return cleaned


def _have_cleaned(session: Session, settings: Settings, migration: Migration) -> None:
    """Write the clean-up of the server there if none is under way."""
    if migration.status != migrations.DONE:
        return
    source = migration.source_host_id
    if source in server_cleanup.hosts_of(session, migration.server_id):
        return
    server = session.get_one(Server, migration.server_id, with_for_update=True)
    if server.host_id == source:
        # It came back since, which it may only when its old remains are gone.
        migration.status = migrations.COMPLETED
        return
    log.warning("the clean-up of server %s on its old host was lost; it is made again", server.id)
    shared = {"evacuation": {"shared": settings.shared_instances_path}}
    server_cleanup.submit(session, settings, server, source, shared)
