"""Bodies against JSON schemas, with refusals that name the field, the value and what is allowed."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from controller.errors import BadRequest

# A schema, or a function that gives the one for a microversion. Functions are cached: return
# module-level constants from them.
Schema = Mapping[str, Any] | Callable[[tuple[int, int]], Mapping[str, Any]]

SECRET_NAME = re.compile(r"pass|secret|token|user_data", re.IGNORECASE)

_formats = FormatChecker()
_compiled: dict[int, tuple[Mapping[str, Any], Draft202012Validator]] = {}


def check(body: Any, schema: Schema, version: tuple[int, int] = (0, 0)) -> None:
    """Refuse `body` with BadRequest unless it fits `schema`."""
    wanted = schema(version) if callable(schema) else schema
    validator = _validator(wanted)
    error = best_match(validator.iter_errors(body))
    if error is None:
        return
    where = "/".join(str(part) for part in error.absolute_path) or "the body"
    message = error.message if len(error.message) <= 500 else error.message[:500] + " ..."
    if any(secret in error.message for secret in _secrets(body)):
        # jsonschema quotes what it refuses, and this goes to logs.
        message = f"Its value is not shown here; it breaks the rule '{error.validator}'."
    raise BadRequest(f"Invalid input for field/attribute {where}. {message}")


def _secrets(value: Any, key: str = "") -> Iterator[str]:
    """Yield, as a message would quote it, every value in `value` that a log must not have."""
    if isinstance(value, dict):
        for name, entry in value.items():
            # {"token": {"id": ...}}: what lies straight below a secret name is secret too.
            inherits = SECRET_NAME.search(key) and not isinstance(entry, dict)
            yield from _secrets(entry, key if inherits else name)
    elif isinstance(value, list):
        for entry in value:
            yield from _secrets(entry, key)
    elif value is not None and SECRET_NAME.search(key):
        yield repr(value).strip("'\"") if isinstance(value, str) else str(value)


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    # By identity, with a reference kept: schemas are module-level constants.
    found = _compiled.get(id(schema))
    if found is None:
        found = _compiled[id(schema)] = (
            schema,
            Draft202012Validator(schema, format_checker=_formats),
        )
    return found[1]


# No control characters, line separators or noncharacters: these can't stand in XML 1.0.
_PRINTABLE = r"[^\x00-\x1f\x7f\u2028\u2029\ufffe\uffff]"


@lru_cache
def printable_name(max_length: int = 255) -> Mapping[str, Any]:
    """Return the schema of a name: printable, not blank, no control characters."""
    # \Z rather than $: Python's $ also matches before a trailing newline.
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": max_length,
        "pattern": rf"\A{_PRINTABLE}*(?!\s){_PRINTABLE}{_PRINTABLE}*\Z",
    }
