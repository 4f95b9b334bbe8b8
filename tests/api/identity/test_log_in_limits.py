"""Limits of logging in: who guesses waits, and keeps nobody else out."""

from dataclasses import replace
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.base import utcnow
from controller.db.models import AuthAttempt
from controller.settings import Settings
from tests.api.conftest import PASSWORD, Caller
from tests.api.identity.test_log_in import TOKENS, by_password


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small limits: verifying a password takes its time."""
    return replace(
        settings,
        auth_attempts=3,
        auth_attempts_per_address=5,
        auth_attempts_per_user=6,
        trusted_proxies=("192.0.2.0/24", "2001:db8:1::1/128"),
    )


def log_in(
    anonymous: Caller, name: str, password: str = PASSWORD, *, source: str, forwarded: str = ""
) -> Any:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return anonymous.post(
        TOKENS,
        json=by_password(name, password),
        environ_base={"REMOTE_ADDR": source},
        headers=headers,
    )


def test_who_guesses_a_users_password_waits_and_the_user_gets_in_from_elsewhere(
    anonymous: Caller, settings: Settings
) -> None:
    for _ in range(settings.auth_attempts):
        assert log_in(anonymous, "alice", "no", source="10.0.0.1").status_code == 401
    answer = log_in(anonymous, "alice", source="10.0.0.1")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= settings.auth_window_s + 1
    assert log_in(anonymous, "bob", source="10.0.0.1").status_code == 201
    assert log_in(anonymous, "alice", source="10.0.0.2").status_code == 201


def test_guesses_from_everywhere_slow_each_other_down_and_keep_nobody_out(
    anonymous: Caller, settings: Settings
) -> None:
    for number in range(settings.auth_attempts_per_user):
        assert log_in(anonymous, "alice", "no", source=f"10.0.0.{number}").status_code == 401
    assert log_in(anonymous, "alice", source="10.0.1.1").status_code == 201
    assert log_in(anonymous, "alice", "no", source="10.0.1.2").status_code == 401
    assert log_in(anonymous, "alice", source="10.0.1.2").status_code == 429


def test_tries_are_limited_per_address_whatever_names_are_tried(
    anonymous: Caller, settings: Settings
) -> None:
    for number in range(settings.auth_attempts_per_address):
        assert log_in(anonymous, f"user{number}", source="10.0.0.1").status_code == 401
    assert log_in(anonymous, "alice", source="10.0.0.1").status_code == 429
    assert log_in(anonymous, "alice", source="10.0.1.1").status_code == 201


def test_addresses_of_one_ipv6_network_count_together(
    anonymous: Caller, settings: Settings
) -> None:
    for number in range(settings.auth_attempts_per_address):
        log_in(anonymous, f"user{number}", source=f"2001:db8::{number + 1:x}")
    assert log_in(anonymous, "alice", source="2001:db8::ffff").status_code == 429


def test_a_change_of_password_counts_as_a_log_in(
    anonymous: Caller, alice: Caller, settings: Settings
) -> None:
    path = f"/identity/v3/users/{alice.user_id}/password"
    body = {"user": {"original_password": "no", "password": "better"}}
    for _ in range(settings.auth_attempts):
        answer = anonymous.post(path, json=body, environ_base={"REMOTE_ADDR": "10.0.0.1"})
        assert answer.status_code == 401
    assert log_in(anonymous, "alice", source="10.0.0.1").status_code == 429


def test_clients_of_a_trusted_proxy_are_told_apart(anonymous: Caller, settings: Settings) -> None:
    for _ in range(settings.auth_attempts):
        log_in(anonymous, "alice", "no", source="192.0.2.9", forwarded="10.0.0.1")
    for proxy in ("192.0.2.9", "192.0.2.10", "2001:db8:1::1", "::ffff:192.0.2.9"):
        waits = log_in(anonymous, "alice", source=proxy, forwarded="10.0.0.1")
        assert waits.status_code == 429
    free = log_in(anonymous, "alice", source="192.0.2.9", forwarded="10.0.0.2")
    assert free.status_code == 201


def test_a_client_cannot_choose_its_address(anonymous: Caller, settings: Settings) -> None:
    """Neither without a proxy, nor by what it has a proxy pass on before its address."""
    for number in range(settings.auth_attempts_per_address):
        said = f"10.0.9.{number}"
        log_in(anonymous, f"user{number}", source="10.0.0.1", forwarded=said)
        log_in(anonymous, f"user{number}", source="192.0.2.9", forwarded=f"{said}, 10.0.0.2")
    assert log_in(anonymous, "alice", source="10.0.0.1", forwarded="10.0.3.3").status_code == 429
    waits = log_in(anonymous, "alice", source="192.0.2.9", forwarded="10.0.3.3, 10.0.0.2")
    assert waits.status_code == 429


def test_the_count_ends_with_its_window(
    anonymous: Caller, settings: Settings, services: Services
) -> None:
    for _ in range(settings.auth_attempts):
        log_in(anonymous, "alice", "no", source="10.0.0.1")
    with services.db.write() as session:
        for row in session.query(AuthAttempt):
            row.window_started_at = utcnow().replace(year=2020)
    assert log_in(anonymous, "alice", source="10.0.0.1").status_code == 201
    log_in(anonymous, "alice", "no", source="10.0.0.1")
    with services.db.read() as session:
        assert {row.failures for row in session.query(AuthAttempt)} == {1}
