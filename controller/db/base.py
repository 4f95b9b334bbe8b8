"""What every table shares: naming of constraints, ids, times."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, MetaData, String
from sqlalchemy.orm import DeclarativeBase

# Named constraints, so that a migration can drop what another dialect named differently.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# A UUID with or without dashes, as OpenStack's services write it.
Id = String(36)
Name = String(255)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, datetime: DateTime()}


def new_id() -> str:
    """Return a fresh UUID with dashes."""
    return str(uuid.uuid4())


def new_hex_id() -> str:
    """Return a fresh UUID without dashes, as Keystone writes users and projects."""
    return uuid.uuid4().hex


def utcnow() -> datetime:
    """Return the time in UTC without a zone, which is how every table keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)
