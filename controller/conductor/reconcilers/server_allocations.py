"""Allocations are made what servers take: missing ones claimed, wrong ones set, nobody's released.

Claims and servers change together, so there should be nothing to do: each is logged as what it is,
a bug or a database restored from a backup.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.conductor.audit import books as book
from controller.conductor.audit import database
from controller.conductor.audit.books import Books
from controller.conductor.audit.findings import Finding
from controller.db.models import Server
from controller.db.session import Database
from controller.placement import allocations

log = logging.getLogger(__name__)

INTERVAL_S = 300.0


def run(db: Database, clock: Callable[[], datetime]) -> int:
    """Mend them, and return how many they were."""
    with db.read() as session:
        first = _wrong(book.read(session, clock()))
    if not first:
        return 0
    with db.write() as session:
        # Whoever changes a server's host or claim locks its row first.
        ids = {finding.subject for finding in first}
        session.execute(select(Server.id).where(Server.id.in_(ids)).with_for_update())
        books = book.read(session, clock())
        still = [each for each in _wrong(books) if each.key in {one.key for one in first}]
        for finding in still:
            log.error("%s; it is mended", finding.what)
            _mend(session, books, finding)
        return len(still)


def _wrong(books: Books) -> list[Finding]:
    """Return what is wrong and not being worked on."""
    busy = books.busy_servers()
    return [each for each in database.allocations(books) if each.subject not in busy]


def _mend(session: Session, books: Books, finding: Finding) -> None:
    assert finding.host_id is not None  # noqa: S101 -- an allocation has its place
    allocations.release(session, finding.subject, finding.host_id)
    if finding.kind != "allocation_of_nobody":
        server = books.servers[finding.subject]
        allocations.set_held(session, server.id, finding.host_id, server.resources)
