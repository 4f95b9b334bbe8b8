"""Readiness: whether the cloud can do what it is asked, and if not, why.

A full queue is no reason to be taken out of a balancer's rotation: it is all controllers' at once,
reads and deletes go on, and creates are refused one by one with Retry-After. It is a warning.
"""

import shutil
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from controller.core import operations, workers
from controller.db import revisions
from controller.db.session import Database
from controller.settings import Settings

# Below this the database may fail to write.
FREE_MIN_BYTES = 64 << 20


@dataclass(slots=True)
class Readiness:
    """What is wrong, in words that anybody may read: `problems` keep the cloud from its work,
    `warnings` from some of it.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def look(settings: Settings, db: Database, now: datetime) -> Readiness:
    """Return what is wrong now; nothing when all is well."""
    found = Readiness(_of_disk(settings))
    try:
        with db.read() as session:
            if old := _of_schema(session):
                found.problems += old
            else:
                found.problems += _of_workers(session, now)
                found.warnings += _of_queue(session, settings)
    except SQLAlchemyError as error:
        db.outages.note("a look at readiness", error)
        found.problems.append("the database does not answer")
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


def _of_workers(session: Session, now: datetime) -> list[str]:
    if workers.count(session, now) == 0:
        return [f"no worker has been at work in the last {workers.SILENT_S:.0f} s"]
    return []


def _of_queue(session: Session, settings: Settings) -> list[str]:
    if operations.queue_is_full(session, settings):
        return ["the queue is full: new work on servers is refused until some is done"]
    return []
