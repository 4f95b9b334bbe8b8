"""Operations that this worker holds by the database, but does not work on, are queued again.

They come from a database that failed just when an operation was to be given back.
"""

import logging

from controller.conductor.engine import Engine

log = logging.getLogger(__name__)


def run(engine: Engine) -> int:
    """Queue them, and return how many they were."""
    count = engine.give_back_strays()
    if count:
        log.warning("%d operations were held, but not worked on; they are queued again", count)
    return count
