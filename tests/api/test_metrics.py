"""`/metrics`: on its own port, for whoever may read it; never on the API's."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from controller.api.common.calls import Services
from controller.api.metrics_address import listen_address
from controller.core import workers
from controller.core.hosts import enroll_record
from controller.db.base import utcnow
from controller.db.models import Operation
from controller.db.session import Database
from controller.errors import BadRequest
from controller.settings import Settings
from tests.api.conftest import Caller

PORT = {"SERVER_PORT": "9774"}


def scrape(caller: Caller, path: str = "/metrics", **options: Any) -> TestResponse:
    return caller.get(path, environ_overrides=PORT, **options)


def test_the_apis_port_knows_no_metrics_not_even_for_admins(admin: Caller) -> None:
    assert admin.get("/metrics").status_code == 404
    assert admin.get("/metrics", headers={"Host": "127.0.0.1:9774"}).status_code == 404


def test_the_metrics_port_knows_nothing_else_of_the_api(admin: Caller) -> None:
    assert scrape(admin, "/compute/v2.1/servers").status_code == 404
    assert scrape(admin, "/healthz").status_code == 200
    assert admin.post("/metrics", environ_overrides=PORT).status_code == 405


def test_a_scrape_has_what_the_database_knows(anonymous: Caller, services: Services) -> None:
    now = utcnow()
    with services.db.write() as session:
        for name in ("h1", "h2"):
            host = enroll_record(session, name, "192.0.2.1", host_keys=[])
            host.last_seen_at = now if name == "h1" else None
        session.add(Operation(kind="port_update"))
        workers.note_seen(session, "place/worker/1", now)
    text = scrape(anonymous).get_data(as_text=True)
    for line in (
        "novella_database_up 1.0",
        'novella_operations{operation="port_update",state="queued"} 1.0',
        'novella_hosts{state="up"} 1.0',
        'novella_hosts{state="down"} 1.0',
        'novella_servers{state="active"} 0.0',
        "novella_workers 1.0",
    ):
        assert f"{line}\n" in text
    assert "novella_queue_oldest_seconds " in text


def test_requests_are_timed_by_their_route(alice: Caller, anonymous: Caller) -> None:
    alice.get("/compute/v2.1/servers/no-such-server")
    text = scrape(anonymous).get_data(as_text=True)
    labels = 'method="GET",route="/compute/v2.1/servers/<server_id>",status="404"'
    assert f"novella_api_request_duration_seconds_count{{{labels}}}" in text
    assert "no-such-server" not in text


def test_a_scrape_needs_the_same_statements_whatever_there_is(
    anonymous: Caller,
    services: Services,
    count_statements: Callable[[], AbstractContextManager[list[str]]],
) -> None:
    services.clock()  # asks the database once a minute
    counts = []
    for number in range(2):
        with count_statements() as seen:
            scrape(anonymous)
        counts.append(len(seen))
        with services.db.write() as session:
            for kind in ("port_update", "server_create"):
                session.add(Operation(kind=kind))
            enroll_record(session, f"h{number}", "192.0.2.1", host_keys=[])
    assert counts == [4, 4]


def test_with_a_token_set_nobody_reads_without_it(anonymous: Caller, services: Services) -> None:
    held = replace(services.settings, metrics_token="t0ken")
    object.__setattr__(services, "settings", held)
    assert scrape(anonymous).status_code == 401
    wrong = scrape(anonymous, headers={"Authorization": "Bearer t0ke"})
    assert wrong.status_code == 401
    right = scrape(anonymous, headers={"Authorization": "Bearer t0ken"})
    assert right.status_code == 200


def test_a_database_that_is_away_leaves_what_the_processes_counted(
    anonymous: Caller, services: Services
) -> None:
    services.db.dispose()
    object.__setattr__(services, "db", Database("sqlite:////nonexistent/novella.db"))
    text = scrape(anonymous).get_data(as_text=True)
    assert "novella_database_up 0.0\n" in text
    assert "novella_api_request_duration_seconds" in text


@pytest.mark.parametrize(
    ("listen", "token", "why"),
    [
        ("9774", "", "expected address:port"),
        ("127.0.0.1:99999", "", "expected address:port"),
        ("127.0.0.1:8774", "", "API's own port"),
        ("0.0.0.0:9774", "", "set 'metrics_token' too"),
        ("metrics.example.org:9774", "", "set 'metrics_token' too"),
    ],
)
def test_an_address_that_would_give_metrics_away_is_refused(
    listen: str, token: str, why: str
) -> None:
    with pytest.raises(BadRequest, match=why):
        listen_address(Settings(metrics_listen=listen, metrics_token=token))


@pytest.mark.parametrize(
    ("listen", "token", "address"),
    [
        ("", "", None),
        ("127.0.0.1:9774", "", ("127.0.0.1", 9774)),
        ("[::1]:9774", "", ("::1", 9774)),
        ("192.0.2.1:9774", "t0ken", ("192.0.2.1", 9774)),
    ],
)
def test_an_address_is_read_as_it_stands(listen: str, token: str, address: object) -> None:
    assert listen_address(Settings(metrics_listen=listen, metrics_token=token)) == address
