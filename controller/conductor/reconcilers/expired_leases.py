"""Operations whose worker is gone are queued again.

Gone is a lease that has run out, or an owner whose life is known to be over.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from controller.conductor import claims
from controller.conductor.incarnation import Incarnation
from controller.core.operations import RUNNING
from controller.db.models import Operation
from controller.db.session import Database, wake_after

log = logging.getLogger(__name__)


def run(db: Database, incarnation: Incarnation, clock: Callable[[], datetime]) -> int:
    """Queue what nobody works on any more, and return how many operations that were."""
    now = clock()
    with db.read() as session:
        owners = session.execute(
            select(Operation.lease_owner, Operation.lease_until)
            .where(Operation.state == RUNNING)
            .distinct()
        ).all()
    gone = {
        row.lease_owner
        for row in owners
        if row.lease_owner is None
        or row.lease_until is None
        or row.lease_until < now
        or incarnation.is_dead(row.lease_owner)
    }
    if not gone:
        return 0
    with db.write() as session:
        # The time is looked at again: a worker may have renewed since.
        expired = Operation.lease_until.is_(None) | (Operation.lease_until < now)
        dead = [owner for owner in gone if owner and incarnation.is_dead(owner)]
        count = claims.give_back(session, expired | Operation.lease_owner.in_(dead))
        wake_after(session)
    if count:
        log.warning("%d operations of workers that are gone are queued again", count)
    return count
