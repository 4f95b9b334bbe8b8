"""Dialects: what the tables' types become where a vendor's own default would keep less.

Compilation rules, so that models and migrations say each thing once, in SQLAlchemy's words.
"""

from typing import Any

from sqlalchemy import DateTime, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

# As SQLite and PostgreSQL compare: upper case, accents and trailing spaces count.
MARIADB_COLLATION = "utf8mb4_nopad_bin"


@compiles(DateTime, "mysql", "mariadb")
def _datetime_of_mariadb(_type: DateTime, _compiler: Any, **_options: Any) -> str:
    # Plain DATETIME keeps whole seconds, and two servers made in one second would have no order.
    return "DATETIME(6)"


@compiles(DateTime, "mssql")
def _datetime_of_mssql(_type: DateTime, _compiler: Any, **_options: Any) -> str:
    return "DATETIME2(6)"


@compiles(DateTime, "oracle")
def _datetime_of_oracle(_type: DateTime, _compiler: Any, **_options: Any) -> str:
    return "TIMESTAMP(6)"


@compiles(Text, "postgresql")
def _text_of_postgresql(_type: Text, _compiler: Any, **_options: Any) -> str:
    # A length chooses the kind of column elsewhere; here there is one kind, and it takes none.
    return "TEXT"


@compiles(CreateTable, "mysql", "mariadb")
def _table_of_mariadb(create: CreateTable, compiler: Any, **options: Any) -> str:
    # Whatever the database's own default is: half of them ignore case.
    written = compiler.visit_create_table(create, **options).rstrip()
    return f"{written} ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={MARIADB_COLLATION}\n\n"
