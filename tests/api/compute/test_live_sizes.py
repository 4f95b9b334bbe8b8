"""Our own extension: other sizes for a server that runs on, within its flavor's limits."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.core import quotas
from controller.db.models import Flavor
from tests.api.compute.conftest import SERVERS

ACTION = "novella:live_resize"


@pytest.fixture
def flavor(flavor: Flavor, services: Services) -> Flavor:
    with services.db.write() as session:
        session.get_one(Flavor, flavor.id).extra_specs = {
            "novella:max_vcpus": "4", "novella:max_memory_mb": "512",
        }  # fmt: skip
    return flavor


def resize(caller: Any, server: str, **sizes: Any) -> Any:
    return caller.post(f"{SERVERS}/{server}/action", json={ACTION: sizes})


def test_the_server_shows_its_sizes(alice: Any, server: str, work: Callable[[], None]) -> None:
    assert resize(alice, server, vcpus=2, memory_mb=256).status_code == 202
    work()
    headers = {"OpenStack-API-Version": "compute 2.47"}
    shown = alice.get(f"{SERVERS}/{server}", headers=headers).json["server"]
    assert (shown["flavor"]["vcpus"], shown["flavor"]["ram"]) == (2, 256)
    assert shown["status"] == "ACTIVE"
    actions = alice.get(f"{SERVERS}/{server}/os-instance-actions").json["instanceActions"]
    assert ACTION in [each["action"] for each in actions]


@pytest.mark.parametrize(
    ("sizes", "status"),
    [
        ({"vcpus": 5}, 409),
        ({"memory_mb": 513}, 409),
        ({"memory_mb": 63}, 409),
        ({"vcpus": 0}, 400),
        ({"vcpus": "2"}, 400),
        ({}, 400),
        ({"disk_gb": 2}, 400),
    ],
)
def test_beyond_the_limits_it_is_refused(
    alice: Any, server: str, sizes: dict[str, Any], status: int
) -> None:
    answer = resize(alice, server, **sizes)
    assert answer.status_code == status, answer.json
    assert alice.get(f"{SERVERS}/{server}").json["server"]["OS-EXT-STS:task_state"] is None


def test_a_flavor_without_limits_is_refused_with_the_way_out(
    alice: Any, server: str, services: Services
) -> None:
    from controller.db.models import Server

    with services.db.write() as session:
        row = session.get_one(Server, server)
        row.flavor = {**row.flavor, "extra_specs": {}}
    answer = resize(alice, server, vcpus=2)
    assert answer.status_code == 409
    assert "novella:max_vcpus" in answer.json["conflictingRequest"]["message"]


def test_quota_holds(alice: Any, server: str, services: Services) -> None:
    with services.db.write() as session:
        quotas.set_limits(session, alice.project_id, {"cores": 2})
    assert resize(alice, server, vcpus=3).status_code == 403
    assert resize(alice, server, vcpus=2).status_code == 202


def test_others_and_readers_may_not(bob: Any, rita: Any, server: str) -> None:
    assert resize(bob, server, vcpus=2).status_code == 404
    assert resize(rita, server, vcpus=2).status_code == 403


@pytest.mark.parametrize(
    "specs",
    [
        {"novella:max_vcpus": "many"},
        {"novella:max_vcpus": "0"},
        {"novella:max_vcpus": "256"},
        {"novella:max_memory_mb": "127"},
        {"novella:max_disk": "5"},
    ],
)
def test_limits_that_mean_nothing_are_refused(
    admin: Any, flavor: Flavor, specs: dict[str, str]
) -> None:
    path = f"/compute/v2.1/flavors/{flavor.flavor_id}/os-extra_specs"
    assert admin.post(path, json={"extra_specs": specs}).status_code == 400
