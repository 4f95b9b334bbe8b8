"""JSON bodies before any schema: what is text, what is JSON."""

import pytest

from controller.api.common.bodies import parse_json
from controller.errors import BadRequest


def test_json_comes_through() -> None:
    assert parse_json(b'{"a": ["\\u00fc", 1.5, null]}') == {"a": ["ü", 1.5, None]}


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"NaN",
        b"[Infinity]",
        b'"\\u0000"',
        b'{"\\ud800": 1}',
        b"\xff",
        b"[" * 99_999,
        b"1" * 9999,
    ],
)
def test_what_no_database_can_keep_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_json(raw)
