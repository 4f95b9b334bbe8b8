"""The bytes of deleted images go when the last server that was made from them is gone.

Until then a hard reboot can send a lost base to its host again. It also removes what a controller
that died between the commit of a delete and the removal of the file has left.
"""

import logging
from collections.abc import Sequence

from sqlalchemy import select

from controller.core import image_store, images
from controller.db.models import Image
from controller.db.session import Database
from controller.settings import Settings

log = logging.getLogger(__name__)

INTERVAL_S = 60.0
# In one statement; databases bound the number of parameters.
BATCH = 500


def run(settings: Settings, db: Database) -> int:
    """Remove them, and return how many files they were."""
    stored = image_store.stored(settings)
    removed = 0
    for start in range(0, len(stored), BATCH):
        for image_id in _unneeded(db, stored[start : start + BATCH]):
            image_store.remove(settings, image_id)
            log.info("the bytes of deleted image %s are removed", image_id)
            removed += 1
    return removed


def _unneeded(db: Database, image_ids: Sequence[str]) -> list[str]:
    """Return which of these are deleted and of no use any more.

    A deleted image never comes back, and no new server is made from it: the answer stays true. A
    file without a row is not ours to judge; it stays.
    """
    with db.read() as session:
        query = select(Image.id).where(Image.id.in_(image_ids), Image.deleted_at.is_not(None))
        deleted = list(session.scalars(query))
        needed = images.needed_by_servers(session, deleted) if deleted else set()
    return [image_id for image_id in deleted if image_id not in needed]
