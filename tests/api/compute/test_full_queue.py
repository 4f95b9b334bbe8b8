"""A full queue: work that would only wait is refused, and who asked is told when to come again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from controller.settings import Settings
from tests.api.compute.conftest import SERVERS

Body = Callable[..., dict[str, Any]]


@pytest.fixture
def crowded(
    alice: Any,
    settings: Settings,
    server: str,
    a_server: Body,
    another_app: Callable[[Settings], Flask],
) -> Any:
    """Alice, at a cloud with room for one action that waits, of which two do."""
    for _ in range(2):
        assert alice.post(SERVERS, json=a_server()).status_code == 202
    return replace(alice, app=another_app(replace(settings, queue_max=1)))


@pytest.mark.parametrize("action", ["create", "stop", "reboot"])
def test_new_work_is_refused_with_the_time_to_come_again(
    crowded: Any, server: str, a_server: Body, action: str
) -> None:
    if action == "create":
        answer = crowded.post(SERVERS, json=a_server())
    else:
        body = {"os-stop": None} if action == "stop" else {"reboot": {"type": "SOFT"}}
        answer = crowded.post(f"{SERVERS}/{server}/action", json=body)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    fault = answer.json["serviceUnavailable"]
    assert (fault["code"], fault["retryAfter"]) == (503, "10")
    assert "Try again later" in fault["message"]


def test_reads_and_deletes_go_on(crowded: Any, server: str) -> None:
    assert crowded.get(f"{SERVERS}/{server}").status_code == 200
    assert crowded.delete(f"{SERVERS}/{server}").status_code == 204


def test_when_work_is_done_there_is_room_again(
    crowded: Any, a_server: Body, work: Callable[[], None]
) -> None:
    assert crowded.post(SERVERS, json=a_server()).status_code == 503
    work()
    assert crowded.post(SERVERS, json=a_server()).status_code == 202
