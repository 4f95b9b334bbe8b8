"""JSON bodies before any schema: what is text, what is JSON."""

import time

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
        b"1e999",
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" * 940 + b"]" * 940,
    ],
)
def test_what_no_database_can_keep_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_json(raw)


def test_looking_at_a_body_costs_what_it_is_long_however_deep_it_goes() -> None:
    raw = b"[" * 60 + b",".join([b'"a"'] * 100_000) + b"]" * 60
    started = time.process_time()
    parse_json(raw)
    assert time.process_time() - started < 0.5
    with pytest.raises(BadRequest, match="nested deeper than 64"):
        parse_json(b"[" * 400 + b"]" * 400)
