"""What a refusal of the database says, and what it must not say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from controller.db import failures
from controller.db.connections import open_engine

# As PostgreSQL and MariaDB write them; `tests/api/identity/test_faults.py` asks the real ones.
REFUSALS = (
    'duplicate key value violates unique constraint "uq_projects_name"\n'
    "DETAIL:  Key (domain_id, name)=(default, canary) already exists.",
    "invalid input syntax for type integer: \"canary\"\nLINE 1: SELECT 'canary'::int",
    "Duplicate entry 'default-canary'' for x' for key 'uq_projects_name'",
    "Incorrect string value: '\\xF0canary' for column `projects`.`name` at row 1",
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_engine(f"sqlite:///{tmp_path / 'test.db'}")
    yield made
    made.dispose()


@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_error_does_not_repeat_the_values(engine: Engine, refusal: str) -> None:
    @event.listens_for(engine, "do_execute")
    def refuse(*_args: object) -> None:
        raise engine.dialect.dbapi.IntegrityError(refusal)  # type: ignore[union-attr]

    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT 1"))
    assert "canary" not in f"{caught.value} {caught.value.orig!r}"


def test_it_names_the_constraint(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (name TEXT UNIQUE)"))
        connection.execute(text("INSERT INTO t VALUES ('db')"))
        with pytest.raises(DBAPIError, match=r"UNIQUE.*: t\.name"):
            connection.execute(text("INSERT INTO t VALUES ('db')"))


def test_another_row_in_the_way_is_told_from_a_fault_of_ours(engine: Engine) -> None:
    statements = {
        "INSERT INTO t (name) VALUES ('taken')": True,
        "INSERT INTO t (name, parent) VALUES ('b', 'nobody')": True,
        "INSERT INTO t (name) VALUES (NULL)": False,
        "INSERT INTO t (name, size) VALUES ('b', -1)": False,
    }
    with engine.connect() as connection:
        connection.execute(
            text(
                "CREATE TABLE t (name TEXT NOT NULL UNIQUE, parent TEXT REFERENCES t (name), "
                "size INTEGER CHECK (size > 0))"
            )
        )
        connection.execute(text("INSERT INTO t (name) VALUES ('taken')"))
        for statement, expected in statements.items():
            with pytest.raises(IntegrityError) as caught:
                connection.execute(text(statement))
            assert failures.breaks_rule_between_rows(caught.value) is expected, statement


class _FromServer(Exception):
    def __init__(self, *arguments: object, sqlstate: str | None = None) -> None:
        super().__init__(*arguments)
        if sqlstate:
            self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        (_FromServer("duplicate key value", sqlstate="23505"), True),
        (_FromServer("null value in column", sqlstate="23502"), False),
        (_FromServer(1062, "Duplicate entry", sqlstate="23000"), True),
        (_FromServer(1452, "Cannot add or update a child row", sqlstate="23000"), True),
        (_FromServer(1048, "Column 'name' cannot be null", sqlstate="23000"), False),
        # PyMySQL says no SQLSTATE before its 1.2.
        (_FromServer(1062, "Duplicate entry"), True),
    ],
)
def test_servers_tell_them_apart_by_number(original: Exception, expected: bool) -> None:
    error = IntegrityError("INSERT", {}, original)
    assert failures.breaks_rule_between_rows(error) is expected
