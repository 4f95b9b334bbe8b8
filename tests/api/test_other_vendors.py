"""Oracle and SQL Server: what the API asks of a database compiles for both."""

from typing import Any

import pytest
from sqlalchemy import Dialect, event
from sqlalchemy.dialects import mssql, oracle
from sqlalchemy.sql import ClauseElement

from controller.api.common.calls import Services
from tests.api.conftest import Caller

LISTS = (
    "/identity/v3/users", "/identity/v3/projects", "/identity/v3/domains", "/identity/v3/roles",
    "/identity/v3/role_assignments?include_names", "/image/v2/images?tag=a&sort=name:asc",
    "/network/v2.0/networks?name=a&sort_key=name", "/network/v2.0/subnets?cidr=10.0.0.0/24",
    "/network/v2.0/ports?fixed_ips=ip_address%3D10.0.0.1", "/network/v2.0/security-groups",
    "/network/v2.0/security-group-rules", "/compute/v2.1/servers/detail?name=^a.*b$&ip=10.",
    "/compute/v2.1/servers?sort_key=display_name&status=ACTIVE&flavor=1", "/compute/v2.1/flavors",
    "/compute/v2.1/os-keypairs", "/compute/v2.1/os-hypervisors/detail", "/compute/v2.1/os-services",
    "/compute/v2.1/limits", "/compute/v2.1/os-availability-zone/detail",
)  # fmt: skip


@pytest.mark.parametrize("dialect", [oracle.dialect(), mssql.dialect()], ids=["oracle", "mssql"])
def test_the_statements_of_all_lists_compile(
    admin: Caller, alice: Caller, services: Services, dialect: Dialect
) -> None:
    seen: dict[str, ClauseElement] = {}

    def note(_connection: Any, statement: Any, *_rest: Any) -> None:
        if isinstance(statement, ClauseElement):
            seen.setdefault(str(statement), statement)

    event.listen(services.db.engine, "before_execute", note)
    try:
        made = alice.post("/network/v2.0/networks", json={"network": {"name": "n"}})
        assert made.status_code == 201
        for path in LISTS:
            assert admin.get(path).status_code == 200, path
    finally:
        event.remove(services.db.engine, "before_execute", note)
    assert len(seen) > len(LISTS)
    for statement in seen.values():
        assert str(statement.compile(dialect=dialect))
