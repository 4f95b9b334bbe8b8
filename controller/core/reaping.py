"""Whether leftovers on hosts may be removed. A database from a backup begins with it off.

Such a database doesn't know what was made since, and hosts show it: every run leaves its number
there before it changes anything, so a host that has seen none newer than the database knows has
nothing that the database doesn't know of.
"""

import logging

from sqlalchemy import update
from sqlalchemy.orm import Session

from controller.db.models import CloudSetting, Host, Server

log = logging.getLogger(__name__)

NAME = "reaping_off"
REASON_MAX = 255
# More than a server has had runs since any backup.
GENERATIONS_AHEAD = 1_000_000
RESTORED = "the database was restored from a backup"


def why_off(session: Session) -> str | None:
    """Return why reaping is off; None when it is on."""
    setting = session.get(CloudSetting, NAME)
    return setting.value if setting else None


def switch_off(session: Session, why: str) -> None:
    """Remove no leftovers until somebody switches it on again."""
    session.merge(CloudSetting(name=NAME, value=why[:REASON_MAX]))
    log.error("reaping is off: %s. See `novella audit`, then `novella reaping on`.", why)


def switch_on(session: Session) -> None:
    """Remove leftovers again."""
    setting = session.get(CloudSetting, NAME)
    if setting is not None:
        session.delete(setting)


def note_restored(session: Session) -> None:
    """Make a restored database fit for use: hosts let its runs in, and nothing is reaped.

    Hosts refuse a run whose number is lower than one that they have seen.
    """
    for numbered in (Server, Host):
        session.execute(
            update(numbered)
            .values(generation=numbered.generation + GENERATIONS_AHEAD)
            .execution_options(synchronize_session=False)
        )
    switch_off(session, RESTORED)
