"""What callers see when something goes wrong on our side."""

import logging
from collections.abc import Callable

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from controller.core import projects, unique_names
from tests.api.conftest import Caller

PROJECTS = "/identity/v3/projects"


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_args: object, **_named: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("canary: /etc/shadow"), 500),
        (IntegrityError("canary", {}, Exception("canary")), 409),
        (OperationalError("canary", {}, Exception("canary")), 503),
    ],
)
def test_an_inner_error_shows_nothing_of_itself(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    monkeypatch.setattr(projects, "create", failing(error))
    answer = admin.post(PROJECTS, json={"project": {"name": "x"}})
    assert answer.status_code == status
    assert answer.json["error"]["code"] == status
    assert "canary" not in answer.text
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_logs_of_a_database_error_have_no_parameters(
    admin: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(unique_names, "flush", lambda session, *_names: session.flush())
    for _ in range(2):
        body = {"project": {"name": "canary-name", "description": "canary-text"}}
        answer = admin.post(PROJECTS, json=body)
    assert answer.status_code == 409
    assert "the database refused: " in caplog.text
    assert "canary" not in caplog.text
