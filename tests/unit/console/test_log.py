"""The end of a console's log, and the command that reads it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from controller.console import host_reads, log
from controller.db.models import Host
from controller.errors import NotFound, Unavailable
from controller.settings import Settings

SERVER = "5f2c0c2e-1111-4222-8333-444455556666"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def _host(**variables: Any) -> Host:
    return Host(
        id="0b7a8a2e-6d1e-4a3c-9a55-3ce1b1ef4e21",
        name="host-a",
        address="192.0.2.10",
        ssh_port=22,
        ssh_user="root",
        host_keys=["ssh-ed25519 AAAA"],
        variables=variables,
    )


def _answers(
    monkeypatch: pytest.MonkeyPatch, stdout: bytes = b"", stderr: bytes = b"", code: int = 0
) -> list[list[str]]:
    commands = []

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        return subprocess.CompletedProcess(command, code, stdout, stderr)

    monkeypatch.setattr(host_reads.subprocess, "run", run)
    return commands


def test_the_last_lines_are_given_without_control_characters(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answers(monkeypatch, b"one\r\n\x1b[2Jtwo\r\n\xffthree\r\n")
    assert log.read(settings, _host(), SERVER, 2) == "[2Jtwo\n\ufffdthree"
    assert log.read(settings, _host(), SERVER) == "one\n[2Jtwo\n\ufffdthree\n"
    assert log.read(settings, _host(), SERVER, 99).startswith("one")
    assert log.read(settings, _host(), SERVER, 0) == ""


def test_the_command_is_bounded_pinned_and_quoted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = _answers(monkeypatch)
    log.read(settings, _host(compute_state_path="/srv/a b; id"), SERVER)
    (command,) = commands
    remote = command[command.index("192.0.2.10") + 1 :]
    assert remote == [
        "tail", "-c", str(log.MAX_BYTES), "--",
        f"'/srv/a b; id/instances/{SERVER}/console.log'",
    ]  # fmt: skip
    assert "StrictHostKeyChecking=yes" in command


@pytest.mark.parametrize("server_id", ["", "../../etc", f"{SERVER};id", f"{SERVER}\n"])
def test_what_is_no_uuid_never_reaches_a_host(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, server_id: str
) -> None:
    commands = _answers(monkeypatch)
    with pytest.raises(NotFound):
        log.read(settings, _host(), server_id)
    assert commands == []


def test_a_log_that_is_not_there_yet_is_empty(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answers(monkeypatch, stderr=b"tail: cannot open: No such file", code=1)
    assert log.read(settings, _host(), SERVER) == ""


def test_a_host_that_does_not_answer_is_unavailable_and_named_to_operators_only(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answers(monkeypatch, stderr=b"ssh: connect to host: No route", code=255)
    with pytest.raises(Unavailable) as refusal:
        log.read(settings, _host(), SERVER)
    assert "host-a" not in refusal.value.message
    assert refusal.value.details["host"] == "host-a"
    assert "No route" in refusal.value.details["reason"]
