"""Revisions of the schema, without alembic: for those who only look whether all is well."""

from pathlib import Path

from sqlalchemy import column, select, table
from sqlalchemy.orm import Session

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def newest() -> str:
    """Return the revision that this release needs. Files are named by their revision."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


def current(session: Session) -> str | None:
    """Return the revision that the database is at, None before the first.

    Raises what the database raises where there is no schema at all.
    """
    return session.scalar(select(column("version_num")).select_from(table("alembic_version")))
