"""Oracle and SQL Server: nothing is a vendor's own, so tables and statements compile for both."""

from typing import Any

import pytest
from sqlalchemy import Dialect, event
from sqlalchemy.dialects import mssql, oracle
from sqlalchemy.engine import Engine
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement

from controller.db.models import Base
from tests.unit.conductor.conftest import Cloud

VENDORS: list[Any] = [
    pytest.param(oracle.dialect(), id="oracle"),
    pytest.param(mssql.dialect(), id="mssql"),
]


@pytest.mark.parametrize("dialect", VENDORS)
def test_every_table_and_index_compiles(dialect: Dialect) -> None:
    for table in Base.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))


@pytest.mark.parametrize("dialect", VENDORS)
def test_times_keep_their_microseconds(dialect: Dialect) -> None:
    made = str(CreateTable(Base.metadata.tables["servers"]).compile(dialect=dialect))
    assert "created_at TIMESTAMP(6)" in made or "created_at DATETIME2(6)" in made


def collect(cloud: Cloud) -> list[ClauseElement]:
    """Return the statements of a server's life, each once."""
    seen: dict[str, ClauseElement] = {}

    def note(_connection: Any, statement: Any, *_rest: Any) -> None:
        if isinstance(statement, ClauseElement):
            seen.setdefault(str(statement), statement)

    event.listen(Engine, "before_execute", note)
    try:
        host_id = cloud.add_host("h1")
        server_id = cloud.add_server()
        cloud.add_port(server_id)
        cloud.work()
        for action in ("stop", "start", "reboot", "hard_reboot", "delete"):
            cloud.act(server_id, action)
            cloud.work()
        assert cloud.server(server_id).state == "deleted"
        assert cloud.host(host_id)
    finally:
        event.remove(Engine, "before_execute", note)
    return list(seen.values())


@pytest.mark.parametrize("dialect", VENDORS)
def test_the_statements_of_a_servers_life_compile(cloud: Cloud, dialect: Dialect) -> None:
    statements = collect(cloud)
    assert len(statements) > 40
    for statement in statements:
        if not type(statement).__module__.startswith("sqlalchemy.sql.ddl"):
            assert str(statement.compile(dialect=dialect))
