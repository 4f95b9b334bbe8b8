"""Bodies that no call takes, tried on one that takes a body: all dialects read them alike."""

import json
from io import RawIOBase
from typing import Any

import pytest

from tests.api.conftest import Caller

PROJECTS = "/identity/v3/projects"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"not json",
        b"\xff\xfe\x00",
        b'{"project": {"name": "x", "enabled": NaN}}',
        b'{"project": {"name": "\\ud800"}}',
        b'{"project": {"name": "x", "description": "\\u0000"}}',
        b'{"project": {"\\udfff": "x"}}',
        b"[" * 100_000,
        b'{"project": {"name": "x", "enabled": 1' + b"0" * 5000 + b"}}",
        b"[]",
        b'"text"',
        b"null",
    ],
)
def test_a_malformed_body_is_refused_with_400(admin: Caller, raw: bytes) -> None:
    answer = admin.post(PROJECTS, data=raw, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json["error"]["message"]
    assert len(answer.data) < 2000


def test_another_media_type_is_refused(admin: Caller) -> None:
    answer = admin.post(PROJECTS, data=b"<project/>", content_type="application/xml")
    assert answer.status_code == 415


class Filler(RawIOBase):
    """A body of so many bytes, or without end, that counts what is read of it at once."""

    def __init__(self, size: float) -> None:
        self.left = size
        self.largest = 0
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = int(min(len(buffer), self.left))
        buffer[:size] = b" " * size
        self.left -= size
        self.taken += size
        self.largest = max(self.largest, size)
        return size


def test_a_body_of_100_mb_is_refused_and_never_kept(admin: Caller) -> None:
    body = Filler(100 << 20)
    answer = admin.post(
        PROJECTS,
        content_type="application/json",
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": str(100 << 20)},
    )
    assert answer.status_code == 413
    assert answer.json["error"]["code"] == 413
    assert body.largest <= 1 << 20


def test_a_body_of_unknown_length_is_read_to_the_limit_and_no_further(admin: Caller) -> None:
    body = Filler(float("inf"))
    answer = admin.post(
        PROJECTS,
        content_type="application/json",
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True},
    )
    assert answer.status_code == 413
    assert body.taken < 2 << 20


def test_the_text_of_an_error_is_bounded(admin: Caller) -> None:
    body = {"project": {"name": ["x" * 100_000]}}
    answer = admin.post(PROJECTS, data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert len(answer.data) < 2000
