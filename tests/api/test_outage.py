"""What clients and operators see while the database is away."""

import logging

import pytest

from controller.api.common.calls import Services
from controller.db import outages
from controller.db.session import Database
from lab.servers import any_free_port
from tests.api.conftest import Caller

REQUESTS = 50


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def away(request: pytest.FixtureRequest, services: Services, alice: Caller) -> None:
    """Alice has a token, and then nobody listens where the database was, or its folder is gone."""
    server = f"{request.param}://novella:secret-word@127.0.0.1:{any_free_port()}/novella"
    file = f"sqlite:///{services.settings.state_dir}/away/novella.db"
    services.db.dispose()
    object.__setattr__(services, "db", Database(file if request.param == "sqlite" else server))


@pytest.mark.usefixtures("away")
def test_clients_are_told_when_to_come_again_and_the_log_is_short(
    alice: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the machine may take for the requests.
    monkeypatch.setattr(outages, "EVERY_S", 3600.0)
    caplog.set_level(logging.INFO)
    for _ in range(REQUESTS):
        answer = alice.get("/compute/v2.1/servers")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    said = answer.get_data(as_text=True)
    assert "database is away" in said
    assert "try again in" in said
    assert answer.headers["x-openstack-request-id"] in said
    lines = [line for line in caplog.records if line.name != "controller.access"]
    (line,) = lines
    assert line.exc_info is None
    assert "GET /compute/v2.1/servers failed: the database is away" in line.getMessage()
    assert "secret-word" not in line.getMessage()
