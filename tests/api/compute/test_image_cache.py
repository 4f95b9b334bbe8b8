"""Our own extension: images brought to hosts ahead of their servers."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.db.models import Host, Image
from controller.runner.simulated import SimulatedExecutor

PATH = "/compute/v2.1/novella-image-cache"


def test_an_image_is_brought_to_the_hosts_that_are_up(
    admin: Any, host: Host, image: Image, work: Callable[[], None], executor: SimulatedExecutor
) -> None:
    for asked in ({"hosts": [host.name]}, {"availability_zone": "nova"}, {}):
        answer = admin.post(PATH, json={"prefetch": {"image": image.id, **asked}})
        assert answer.status_code == 202, answer.json
        assert [each["host"] for each in answer.json["operations"]] == [host.name]
        work()
    assert [run.playbook for run in executor.runs] == ["image_prefetch"] * 3


def test_only_administrators_may_ask(alice: Any, host: Host, image: Image) -> None:
    assert alice.post(PATH, json={"prefetch": {"image": image.id}}).status_code == 403


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"image": "no uuid"}, 400),
        ({"hosts": []}, 400),
        ({"hosts": ["a"], "availability_zone": "nova"}, 400),
        ({"hosts": ["a"], "aggregate": "b"}, 400),
        ({"aggregate": "unknown"}, 404),
        ({"hosts": ["unknown"]}, 404),
        ({"image": "11111111-2222-4333-8444-555555555555"}, 404),
        ({"availability_zone": "elsewhere"}, 409),
        ({"other": 1}, 400),
    ],
)
def test_what_cannot_be_is_refused(
    admin: Any, host: Host, image: Image, asked: dict[str, Any], status: int
) -> None:
    body = {"image": image.id, **asked} if asked else {}
    answer = admin.post(PATH, json={"prefetch": body})
    assert answer.status_code == status, answer.json
