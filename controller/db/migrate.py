"""Bringing the database up to what this release needs."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, LargeBinary

from controller.db.connections import for_writes, prepare_migration
from controller.db.models import Base
from controller.db.session import Database
from controller.keys import make_keys
from controller.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(settings: Settings) -> str:
    """Bring the database to the newest revision, and return that. Makes folders and keys first.

    Run again, it changes nothing. All revisions are one transaction where the database can do that.
    """
    make_keys(settings)
    db = Database(settings.db_url)
    try:
        with for_writes(db.engine).begin() as connection:
            prepare_migration(connection)
            command.upgrade(config(connection), "head")
            return str(MigrationContext.configure(connection).get_current_revision())
    finally:
        db.dispose()


def differences(connection: Connection) -> list[Any]:
    """Return what the models have and the database has not, or the other way round."""
    context = MigrationContext.configure(connection, opts={"compare_type": _differ})
    return list(compare_metadata(context, Base.metadata))


def _differ(
    _context: MigrationContext, _inspected: Any, _column: Any, kept: Any, wanted: Any
) -> bool | None:
    """Whether two types differ; None leaves it to alembic.

    MariaDB chooses a kind of BLOB by the length that was asked for, and forgets the length.
    """
    binary = isinstance(wanted, LargeBinary) and kept.python_type is bytes
    return False if binary else None


def config(connection: Connection) -> Config:
    """Return what alembic's commands take, bound to `connection`."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made
