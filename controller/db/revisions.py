"""Revisions of the schema, without alembic: for those who only look whether all is well.

A newer schema than a release's own is well: in a rolling upgrade the database goes first.
"""

from pathlib import Path

from sqlalchemy import column, select, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from controller.db.session import Database
from controller.errors import Conflict

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def newest() -> str:
    """Return the revision that this release needs. Files are named by their revision."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


def current(session: Session) -> str | None:
    """Return the revision that the database is at, None before the first.

    Raises what the database raises where there is no schema at all.
    """
    return session.scalar(select(column("version_num")).select_from(table("alembic_version")))


def is_old(session: Session) -> bool:
    """Return whether the schema is older than this release, or missing.

    Raises SQLAlchemyError where the database doesn't answer.
    """
    session.execute(select(1))
    try:
        at = current(session)
    except SQLAlchemyError:
        # It does answer: what is missing is the table.
        session.rollback()
        at = None
    return at is None or at < newest()


def require(db: Database) -> None:
    """Raise Conflict where this release can't work with the database's schema.

    A database that is away is no reason: whoever starts copes with that as at any other time.
    """
    with db.read() as session:
        try:
            old = is_old(session)
        except SQLAlchemyError:
            return
        if old:
            raise Conflict(
                "Cannot start: the database's schema is older than this release, which needs "
                f"revision {newest()}. Run `novella db upgrade`, then start again."
            )
