"""Providers in a real database."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.db.base import Base
from controller.db.session import Database
from controller.placement import inventories, providers
from controller.placement.inventories import Amount


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    # In memory: each commit waits for the disk otherwise.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        database = Database(database_url or f"sqlite:///{Path(path) / 'novella.db'}")
        Base.metadata.create_all(database.engine)
        yield database
        database.dispose()


@pytest.fixture
def add_provider(db: Database) -> Callable[..., str]:
    """`add_provider("a", MEMORY_MB=1024)` returns the id, which is the name."""

    def add(name: str, **totals: int | Amount) -> str:
        amounts = {
            key: total if isinstance(total, Amount) else Amount(total)
            for key, total in totals.items()
        }
        with db.write() as session:
            providers.ensure(session, name, name)
            inventories.replace(session, name, amounts)
        return name

    return add
