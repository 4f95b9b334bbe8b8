"""Every request is a line in the log and an observation, without what its client wrote."""

import logging

import pytest

from tests.api.conftest import PASSWORD, Caller

ACCESS = "controller.access"


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == ACCESS]


def test_a_request_is_one_line_with_route_status_time_and_caller(
    alice: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = alice.get("/compute/v2.1/servers/detail?name=s3cret-query")
    [line] = lines(caplog)
    assert (line.method, line.route) == ("GET", "/compute/v2.1/servers/detail")  # type: ignore[attr-defined]
    assert (line.status, line.user, line.project) == (200, alice.user_id, alice.project_id)  # type: ignore[attr-defined]
    assert line.ms > 0  # type: ignore[attr-defined]
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert "s3cret-query" not in str(vars(line))


@pytest.mark.parametrize("path", ["/nowhere/1", "/compute/v2.1/nowhere/1"])
def test_a_path_that_is_nowhere_has_no_route_of_its_own(
    anonymous: Caller, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.INFO):
        anonymous.get(path)
        anonymous.call("PROPFIND", path)
    assert {line.route for line in lines(caplog)} == {"unmatched"}  # type: ignore[attr-defined]
    assert [line.method for line in lines(caplog)] == ["GET", "other"]  # type: ignore[attr-defined]


def test_passwords_and_tokens_are_in_no_line(
    anonymous: Caller, alice: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    who = {"name": "alice", "domain": {"id": "default"}, "password": PASSWORD}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}}
    with caplog.at_level(logging.DEBUG):
        issued = anonymous.post("/identity/v3/auth/tokens", json=body)
        anonymous.post("/identity/v3/auth/tokens", json={**body, "extra": PASSWORD})
        alice.get("/compute/v2.1/servers/none")
    assert issued.status_code == 201
    said = "\n".join(str(vars(record)) for record in caplog.records)
    assert PASSWORD not in said
    assert issued.headers["X-Subject-Token"] not in said
    assert str(alice.token) not in said
