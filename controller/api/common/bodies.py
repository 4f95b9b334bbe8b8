"""JSON bodies: what is refused before a schema looks at them."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from controller.errors import BadRequest


def parse_json(raw: bytes) -> Any:
    """Return the JSON in `raw`. Raises BadRequest for what isn't JSON, or no database can keep."""
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The request's body is not JSON: {error}.") from error
    for text in _strings(body):
        if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise BadRequest(
                f"The request's body has text that is not Unicode text: {text[:50]!r}. "
                "Leave out NUL characters and lone surrogates."
            )
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in `value`, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _strings(entry)
