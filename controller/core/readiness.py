"""Readiness: whether the cloud can do what it is asked, and if not, why."""

import logging
import shutil
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from controller.core import operations, workers
from controller.db import revisions
from controller.db.session import Database
from controller.settings import Settings

log = logging.getLogger(__name__)

# Below this the database may fail to write.
FREE_MIN_BYTES = 64 << 20


def problems(settings: Settings, db: Database, now: datetime) -> list[str]:
    """Return what is wrong, in words that anybody may read; empty when all is well."""
    found = _of_disk(settings)
    try:
        with db.read() as session:
            found += _of_schema(session) or _of_work(session, settings, now)
    except SQLAlchemyError as error:
        log.warning("the database does not answer: %s", error)
        found.append("the database does not answer")
    return found


def _of_disk(settings: Settings) -> list[str]:
    try:
        free = shutil.disk_usage(settings.state_dir).free
    except OSError:
        return ["the controller's folder can't be read"]
    return ["the controller's disk is full"] if free < FREE_MIN_BYTES else []


def _of_schema(session: Session) -> list[str]:
    if revisions.is_old(session):
        return ["the database's schema is older than this release: run `novella db upgrade`"]
    return []


def _of_work(session: Session, settings: Settings, now: datetime) -> list[str]:
    found = []
    if workers.count(session, now) == 0:
        found.append(f"no worker has been at work in the last {workers.SILENT_S:.0f} s")
    if operations.queue_is_full(session, settings):
        found.append("the queue is full: new work on servers is refused until some is done")
    return found
