"""A host is drained through Novella's own API, by administrators."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.conductor.reconcilers import host_drains
from controller.settings import Settings
from tests.api.compute.conftest import (
    SERVERS,
    a_server,
    executor,
    flavor,
    host,
    image,
    network,
    other_host,
    server,
    work,
)

__all__ = [
    "a_server", "executor", "flavor", "host", "image", "network", "other_host", "server", "work",
]  # fmt: skip

HOST = "/novella/v1/hosts/host-a.example"


@pytest.fixture
def finish(services: Services, settings: Settings, work: Callable[[], None]) -> Callable[[], None]:
    """Let the drain go on to its end."""

    def go_on() -> None:
        for _ in range(20):
            if host_drains.run(settings, services.db, services.clock) == 0:
                return
            work()
        raise AssertionError("the drain does not end")

    return go_on


def test_a_host_is_planned_drained_and_put_back(
    admin: Any, server: str, other_host: str, finish: Callable[[], None]
) -> None:
    (planned,) = admin.get(f"{HOST}/drain/plan").json["plan"]["servers"]
    assert (planned["id"], planned["destination"]) == (server, other_host)
    assert planned["how"] in ("cold", "live")
    assert admin.get(HOST).json["host"]["enabled"] is True

    begun = admin.post(f"{HOST}/drain", json={"reason": "new disks"})
    assert begun.status_code == 202, begun.json
    assert begun.json["drain"]["state"] == "running"
    shown = admin.get(HOST).json["host"]
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "drained: new disks")
    assert admin.post(f"{HOST}/drain", json={}).status_code == 409

    finish()
    ended = admin.get(f"{HOST}/drain").json["drain"]
    (moved,) = ended["servers"]
    assert (ended["state"], moved["status"], moved["destination"]) == ("done", "moved", other_host)
    seen = admin.get(f"{SERVERS}/{server}").json["server"]
    assert (seen["status"], seen["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", other_host)
    assert admin.post(f"{HOST}/undrain").json["host"]["enabled"] is True
    assert admin.post(f"{HOST}/undrain").status_code == 409


def test_a_drain_is_cancelled_and_the_host_stays_disabled(admin: Any, server: str) -> None:
    assert admin.get(f"{HOST}/drain").status_code == 404
    assert admin.delete(f"{HOST}/drain").status_code == 409
    admin.post(f"{HOST}/drain")
    assert admin.delete(f"{HOST}/drain").json["drain"]["state"] == "cancelled"
    assert admin.get(HOST).json["host"]["enabled"] is False


def test_drains_are_for_administrators(alice: Any, rita: Any, server: str) -> None:
    for caller in (alice, rita):
        for method, path in (
            ("GET", "drain/plan"), ("GET", "drain"), ("POST", "drain"), ("DELETE", "drain"),
            ("POST", "undrain"),
        ):  # fmt: skip
            assert caller.call(method, f"{HOST}/{path}").status_code == 403
