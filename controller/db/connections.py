"""Connections: how each kind of database is to be talked to. All that is a vendor's lies here and
in `dialects`.

Reads see one moment of the database, writes the newest of each row. SQLite has one writer at a time
(BEGIN IMMEDIATE: a write that began as a read could fail half way when another came first). The
others have many, at READ COMMITTED: what must not change under a writer's eyes it locks, by
`with_for_update` on the row that stands for it.
"""

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text

from controller.db import dialects, failures, turns
from controller.errors import BadRequest

SQLITE, POSTGRESQL, MARIADB = "sqlite", "postgresql", "mariadb"
# Which driver is meant where the URL names none; each is an extra of this package.
_DRIVERS = {
    SQLITE: "sqlite+pysqlite",
    POSTGRESQL: "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    MARIADB: "mariadb+pymysql",
    "mysql": "mariadb+pymysql",
}
_EXTRAS = {"psycopg": POSTGRESQL, "pymysql": MARIADB}

CONNECT_TIMEOUT_S = 5
# A statement that takes longer is ended by the server, and so is the wait for a lock.
STATEMENT_TIMEOUT_S = 30
LOCK_TIMEOUT_S = 10
# Past this the server lets go of what a controller that vanished (its machine lost power) holds.
IDLE_TIMEOUT_S = 60


def address(database_url: str) -> URL:
    """Return the URL with the driver that we use for its kind of database.

    Raises BadRequest for text that is no such URL, without repeating it: it may have a password.
    """
    try:
        url = make_url(database_url)
    except Exception as error:
        raise BadRequest(
            "Setting 'database_url' is not a database's address. One looks like "
            "postgresql://novella:password@db1/novella."
        ) from error
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def shown(database_url: str) -> str:
    """Return the address as it may be shown: without the password."""
    return address(database_url).render_as_string(hide_password=True)


def open_engine(database_url: str) -> Engine:
    """Return the engine; connections are opened when they are first needed.

    Raises BadRequest when the driver is not installed.
    """
    url = address(database_url)
    # Parameters stay out of errors, and so out of logs: there are secrets among them. Connections
    # are bounded by the threads, whose number is a setting; the pool's own bound of 15 would have
    # the sixteenth wait half a minute and then fail.
    options: dict[str, Any] = {"hide_parameters": True, "max_overflow": -1}
    kind = url.get_backend_name()
    if kind == SQLITE:
        options["connect_args"] = {"timeout": 5, "check_same_thread": False}
    else:
        # The first one after a restart of the server would fail, and with it a request.
        options |= {"pool_pre_ping": True, "isolation_level": "REPEATABLE READ"}
        options["connect_args"] = _CONNECT_ARGUMENTS.get(kind, {})
        # SQLAlchemy's look for joins without a condition doesn't see outer joins in this dialect,
        # and warns of what is right; with the other databases it stays on.
        options["enable_from_linting"] = kind not in (MARIADB, "mysql")
    try:
        engine = create_engine(url, **options)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "", "")
        way_out = f"pip install 'novella[{extra}]'" if extra else "install its driver"
        raise BadRequest(
            f"Cannot use {shown(database_url)}: Python's {error.name} is not here. To mend: "
            f"{way_out}."
        ) from error
    event.listen(engine, "handle_error", failures.forget_values)
    if kind == SQLITE:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif kind in (MARIADB, "mysql"):
        event.listen(engine, "connect", _set_up_mariadb)
    return engine


def for_writes(engine: Engine) -> Engine:
    """Return the engine as writing transactions use it; the connections are the same."""
    if engine.dialect.name == SQLITE:
        return engine.execution_options(novella_write=True)
    return engine.execution_options(isolation_level="READ COMMITTED")


def prepare_migration(connection: Connection) -> None:
    """Let the transaction that changes the schema take its time, and no other do so meanwhile.

    The lock goes with the transaction or, in MariaDB, the connection. Raises BadRequest for a
    database that can't keep all text.
    """
    if connection.dialect.name == POSTGRESQL:
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise BadRequest(
                f"Cannot use a database whose encoding is {encoding}: names may have any "
                "character. Create it anew with ENCODING 'UTF8' TEMPLATE template0."
            )
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(7805140621)"))
    elif connection.dialect.name in (MARIADB, "mysql"):
        connection.execute(text("SET SESSION max_statement_time = 0"))
        connection.execute(text("SELECT GET_LOCK('novella_migration', 3600)"))


_CONNECT_ARGUMENTS: dict[str, dict[str, Any]] = {
    POSTGRESQL: {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "novella",
        "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c lock_timeout={LOCK_TIMEOUT_S}s"
        f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S}s -c timezone=UTC",
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        # What the peer doesn't confirm for so long (milliseconds) ends the connection.
        "tcp_user_timeout": 1000 * STATEMENT_TIMEOUT_S,
    },
    MARIADB: {
        "connect_timeout": CONNECT_TIMEOUT_S,
        # Longer than any statement may take there: a server that hangs is noticed.
        "read_timeout": 2 * STATEMENT_TIMEOUT_S,
        "write_timeout": 2 * STATEMENT_TIMEOUT_S,
        "charset": "utf8mb4",
        "collation": dialects.MARIADB_COLLATION,
    },
}


def _set_up_mariadb(connection: Any, _record: Any) -> None:
    settings = {
        # What doesn't fit is refused, not cut; and names in double quotes are text nowhere.
        "sql_mode": "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO'",
        "max_statement_time": STATEMENT_TIMEOUT_S,
        "innodb_lock_wait_timeout": LOCK_TIMEOUT_S,
        "idle_write_transaction_timeout": IDLE_TIMEOUT_S,
    }
    assignments = ", ".join(f"SESSION {name} = {value}" for name, value in settings.items())
    with connection.cursor() as cursor:
        cursor.execute(f"SET {assignments}")


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late and is never IMMEDIATE; `_begin_sqlite` sends ours.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    if connection.get_execution_options().get("novella_write"):
        turns.begin_immediate(connection)
    else:
        connection.exec_driver_sql("BEGIN")
