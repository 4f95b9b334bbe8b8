"""Turns of SQLite's one writer at a time, so that none waits for ever while others come and go.

SQLite's own wait sleeps longer and longer, up to a tenth of a second. Somebody who writes again and
again, as a worker with a full queue does, takes the lock in between every time, and the others'
5 seconds are over: creates were answered 503. Waits that stay short get their turn.
"""

import sqlite3
import time

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

# As long as the gateway before us, and the client behind it, can be asked to wait.
PATIENCE_S = 20.0
# SQLite tries after 1, 2, 5 and 10 ms; then we have it begin with the short ones again.
ROUND_MS = 18
USUAL_MS = 5000


def begin_immediate(connection: Connection) -> None:
    """Begin a transaction that writes. Raises OperationalError after PATIENCE_S."""
    until = time.monotonic() + PATIENCE_S
    _wait_at_most(connection, ROUND_MS)
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                if not _is_taken(error) or time.monotonic() > until:
                    raise
            else:
                return
    finally:
        _wait_at_most(connection, USUAL_MS)


def _wait_at_most(connection: Connection, milliseconds: int) -> None:
    # By the driver, since this is no statement of the transaction's.
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={milliseconds}")
    cursor.close()


def _is_taken(error: OperationalError) -> bool:
    # The low byte is the kind; what stands above it says why.
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_BUSY
