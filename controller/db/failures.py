"""What a database's refusal means, whichever database it is."""

import re
from collections.abc import Iterator

from sqlalchemy import exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError

# PostgreSQL's SQLSTATEs: serialization failure, deadlock.
_SQLSTATES = frozenset({"40001", "40P01"})
# MariaDB: record changed since it was read, lock wait timeout, deadlock.
_NUMBERS = frozenset({1020, 1205, 1213})

# PostgreSQL's unique and foreign key violations; MariaDB's: duplicate entry, a row that is needed
# (1451) or missing (1452).
_BETWEEN_ROWS = frozenset({"23505", "23503"})
_NUMBERS_BETWEEN_ROWS = frozenset({1062, 1451, 1452})


def lost_to_another(error: BaseException) -> bool:
    """Whether the transaction gave way to another one; done again, it may well succeed.

    MariaDB forgets the savepoints of such a transaction, so what arrives here may be the complaint
    about that: the whole chain of causes is looked through.
    """
    return any(_gave_way(each) for each in _chain(error))


def is_away(error: BaseException) -> bool:
    """Whether the database can't be reached, has gone in mid-transaction, or is too busy."""
    if isinstance(error, exc.TimeoutError):
        return True
    return isinstance(error, OperationalError | InterfaceError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def breaks_rule_between_rows(error: BaseException) -> bool:
    """Whether another row is in the way: one with the same unique values, or one that has gone or
    is still needed. Two requests at once may meet so; a NULL where none may be is our own fault.
    """
    original = getattr(error, "orig", None)
    if not isinstance(error, exc.IntegrityError) or original is None:
        return False
    # MariaDB has one SQLSTATE for all of these and for a NULL, so its number counts.
    if getattr(original, "sqlstate", None) in _BETWEEN_ROWS:
        return True
    number = original.args[0] if original.args else None
    return number in _NUMBERS_BETWEEN_ROWS or said(error).startswith(("UNIQUE", "FOREIGN KEY"))


def refuses_value(error: BaseException) -> bool:
    """Whether a value is too long, too large, or has characters that can't be kept."""
    return isinstance(error, DataError)


def said(error: BaseException) -> str:
    """Return the database's own words, or the error's, as one line."""
    original = getattr(error, "orig", None) or error
    # MariaDB's driver puts a number first.
    words = next((each for each in reversed(original.args) if isinstance(each, str)), "")
    lines = words.strip().splitlines()
    return lines[0] if lines else type(original).__name__


def forget_values(context: ExceptionContext) -> None:
    """Take out of an error what was to be written, which servers repeat; names stay.

    A listener for SQLAlchemy's `handle_error`: errors are logged, and there are secrets among the
    values.
    """
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None:
            error.args = tuple(
                _without_values(each) if isinstance(each, str) else each for each in error.args
            )


# PostgreSQL: the lines after the first, and `invalid input syntax for type integer: "..."`.
# MariaDB: `Duplicate entry '...' for key 'name'`, `Incorrect string value: '...' for column`.
_VALUES = (
    (re.compile(r"\n(?:DETAIL|CONTEXT|HINT|LINE)\b.*\Z", re.DOTALL), ""),
    (re.compile(r': "[^\n]*"'), ': "..."'),
    (re.compile(r"(entry|value:?) '.*' for ", re.DOTALL), r"\1 '...' for "),
)


def _without_values(message: str) -> str:
    for values, shown in _VALUES:
        message = values.sub(shown, message)
    return message


def _gave_way(error: BaseException) -> bool:
    original = getattr(error, "orig", None)
    if not isinstance(error, DBAPIError) or original is None:
        return False
    if getattr(original, "sqlstate", None) in _SQLSTATES:
        return True
    number = original.args[0] if original.args else None
    return type(number) is int and number in _NUMBERS


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
