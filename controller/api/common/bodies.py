"""JSON bodies: what is refused before a schema looks at them."""

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from controller.errors import BadRequest

# No body of any API comes near. What goes deeper costs those who look at it a stack.
DEPTH_MAX = 64


def parse_json(raw: bytes) -> Any:
    """Return the JSON in `raw`. Raises BadRequest for what isn't JSON, or no database can keep."""
    try:
        body = json.loads(raw.decode(), parse_constant=_refuse_constant, parse_float=_finite)
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


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:50]} is too large")
    return number


def _strings(body: Any) -> Iterator[str]:
    """Yield every string in `body`, keys too. Raises BadRequest for one that is nested too deep."""
    level = [body]
    for _ in range(DEPTH_MAX):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                deeper += value
            elif isinstance(value, dict):
                yield from value
                deeper += value.values()
        if not deeper:
            return
        level = deeper
    raise BadRequest(f"The request's body is nested deeper than {DEPTH_MAX} levels. Flatten it.")
