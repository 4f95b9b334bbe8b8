"""Migrations: from nothing to the models, and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from controller.db import migrate, revisions
from controller.db.models import Base, CloudSetting
from controller.db.session import Database
from controller.settings import Settings
from tests.fixtures import schema


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Iterator[Settings]:
    """Settings whose database has no tables."""
    settings = Settings(state_dir=tmp_path / "state", database_url=database_url)
    if not database_url:
        yield settings
        return
    drop_tables(database_url)
    yield settings
    drop_tables(database_url)
    db = Database(database_url)
    Base.metadata.create_all(db.engine)
    db.dispose()


def drop_tables(url: str) -> None:
    db = Database(url)
    Base.metadata.drop_all(db.engine)
    with db.engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    db.dispose()


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    migrate.upgrade(settings)
    db = Database(settings.db_url)
    yield db
    db.dispose()


def test_an_upgrade_makes_the_tables_of_the_models(db: Database) -> None:
    tables = set(inspect(db.engine).get_table_names())
    assert tables == {"alembic_version", *Base.metadata.tables}
    with db.engine.connect() as connection:
        assert migrate.differences(connection) == []


def test_an_upgrade_says_the_revision_and_changes_nothing_the_second_time(
    db: Database, settings: Settings
) -> None:
    with db.write() as session:
        session.add(CloudSetting(name="cloud_id", value="kept"))
    assert migrate.upgrade(settings) == revisions.newest()
    with db.read() as session:
        assert revisions.current(session) == revisions.newest()
        assert session.get_one(CloudSetting, "cloud_id").value == "kept"


def test_an_upgrade_makes_folders_and_keys_for_the_controller_alone(
    db: Database, settings: Settings
) -> None:
    for folder in (settings.state_dir, settings.keys_dir, settings.images_dir):
        assert folder.stat().st_mode & 0o777 == 0o700
    keys = {path: path.read_bytes() for path in settings.keys_dir.rglob("*") if path.is_file()}
    assert len(keys) == 2
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    migrate.upgrade(settings)
    assert {path: path.read_bytes() for path in keys} == keys


def test_the_revisions_lead_back_to_an_empty_database(db: Database) -> None:
    with db.engine.begin() as connection:
        command.downgrade(migrate.config(connection), "base")
    assert inspect(db.engine).get_table_names() == ["alembic_version"]


def test_a_database_without_a_schema_is_old(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'fresh.db'}")
    with db.read() as session:
        assert revisions.is_old(session)
    db.dispose()


def test_a_schema_newer_than_the_release_is_well(db: Database) -> None:
    """In a rolling upgrade the database goes first, and what runs may start again meanwhile."""
    schema.say(db, "9999")
    revisions.require(db)


def test_the_newest_revision_by_the_files_is_alembics_own() -> None:
    scripts = ScriptDirectory(str(migrate.MIGRATIONS))
    assert revisions.newest() == scripts.get_current_head()
