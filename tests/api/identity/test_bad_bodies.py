"""Bodies that no call takes, tried on one that takes a body: all dialects read them alike."""

import json
from io import BytesIO

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


class Endless(BytesIO):
    """A body that may be asked for a little, and fails the test when all of it is read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        self.taken += size
        assert self.taken < 3 << 20
        return b" " * size


def test_a_body_of_100_mb_is_refused_before_it_is_read(admin: Caller) -> None:
    for length in (100 << 20, None):
        answer = admin.post(
            PROJECTS,
            input_stream=Endless(),
            content_length=length,
            content_type="application/json",
            environ_overrides={"wsgi.input_terminated": True},
        )
        assert answer.status_code == 413
        assert answer.json["error"]["code"] == 413


def test_the_text_of_an_error_is_bounded(admin: Caller) -> None:
    body = {"project": {"name": ["x" * 100_000]}}
    answer = admin.post(PROJECTS, data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert len(answer.data) < 2000
