"""os-server-password: what a guest posted, from its host's heartbeat to its owner."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.conductor.reconcilers import host_heartbeat
from controller.db.base import utcnow
from controller.db.models import Host, Server
from controller.runner.simulated import FACTS, SimulatedExecutor
from controller.settings import Settings
from tests.api.compute.conftest import SERVERS

Say = Callable[[dict[str, Any]], None]


@pytest.fixture
def say(services: Services, settings: Settings, executor: SimulatedExecutor, host: Host) -> Say:
    """Have a heartbeat in which the host says what its guests have posted."""

    def heartbeat(posted: dict[str, Any]) -> None:
        with services.db.write() as session:
            row = session.get_one(Host, host.id)
            facts = {**FACTS, "posted_passwords": posted}
            row.variables = {**row.variables, "simulated_facts": facts}
            row.last_seen_at = utcnow() - timedelta(hours=1)
        assert host_heartbeat.run(settings, services.db, executor, utcnow) == 1

    return heartbeat


def password(caller: Any, server: str) -> Any:
    return caller.get(f"{SERVERS}/{server}/os-server-password")


def test_the_owner_reads_what_the_guest_posted(
    alice: Any, rita: Any, bob: Any, server: str, say: Say
) -> None:
    assert password(alice, server).json == {"password": ""}
    say({f"{server}.0": "ciphertext=="})
    assert password(alice, server).json == {"password": "ciphertext=="}
    assert password(rita, server).json == {"password": "ciphertext=="}
    assert password(bob, server).status_code == 404
    say({f"{server}.0": "another"})
    assert password(alice, server).json == {"password": "ciphertext=="}


def test_a_cleared_password_stays_away_and_the_guest_may_post_again(
    alice: Any, rita: Any, bob: Any, server: str, say: Say, work: Callable[[], None],
    executor: SimulatedExecutor,
) -> None:  # fmt: skip
    say({f"{server}.0": "first"})
    path = f"{SERVERS}/{server}/os-server-password"
    assert rita.delete(path).status_code == 403
    assert bob.delete(path).status_code == 404
    assert alice.delete(path).status_code == 204
    assert password(alice, server).json == {"password": ""}
    work()
    assert executor.runs[-1].playbook == "server_update_metadata"
    (told,) = executor.runs[-1].arguments["servers"]
    assert told["guest"]["password_serial"] == 1
    say({f"{server}.0": "first"})
    assert password(alice, server).json == {"password": ""}
    say({f"{server}.1": "second"})
    assert password(alice, server).json == {"password": "second"}


def test_a_busy_server_s_password_is_cleared_without_a_push(
    alice: Any, server: str, services: Services
) -> None:
    with services.db.write() as session:
        session.get_one(Server, server).state = "resized"
    assert alice.delete(f"{SERVERS}/{server}/os-server-password").status_code == 204


@pytest.mark.parametrize(
    "posted",
    [
        {"{}.0": "x" * 1021},
        {"{}.0": ""},
        {"{}.0": 7},
        {"{}.0": "\u2028"},
        {"{}": "x"},
        {"{}.1": "x"},
        {"../{}.0": "x"},
    ],
    ids=str,
)
def test_what_a_host_can_not_mean_is_dropped(
    alice: Any, server: str, say: Say, posted: dict[str, Any]
) -> None:
    say({name.format(server): text for name, text in posted.items()})
    assert password(alice, server).json == {"password": ""}


def test_a_host_speaks_for_its_own_servers(
    alice: Any, server: str, say: Say, services: Services
) -> None:
    with services.db.write() as session:
        session.get_one(Server, server).host_id = None
    say({f"{server}.0": "of another host"})
    assert password(alice, server).json == {"password": ""}
