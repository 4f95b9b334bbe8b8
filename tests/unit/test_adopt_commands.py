"""`novella host adopt`, as an operator types it; hosts are simulated."""

import json
from pathlib import Path
from typing import Any

import pytest

from controller import adopt_commands
from controller.cli import main
from controller.db.models import Domain, Project, Server, User
from tests.unit.conductor.conftest import CONTEXT, Cloud, cloud, state_dir
from tests.unit.conductor.test_host_adopt import SERVER, differing, domain, has, host_id

__all__ = ["cloud", "host_id", "state_dir"]

TAKE = ("--domain", SERVER, "--project", "alpha", "--user", "alice")


@pytest.fixture
def adopt(cloud: Cloud, host_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return what runs `novella host adopt h1 ...` while a worker is at work."""
    config = tmp_path / "novella.toml"
    config.write_text(
        f'state_dir = "{cloud.settings.state_dir}"\nexecutor = "simulated"\n'
        f'database_url = "{cloud.settings.database_url}"\n'
    )
    with cloud.db.write() as session:
        session.add(Domain(id="default", name="Default"))
        session.flush()
        session.add(User(id=CONTEXT.user_id, name="alice", domain_id="default"))
        session.add(Project(id=CONTEXT.project, name="alpha", domain_id="default"))
    monkeypatch.setattr(adopt_commands.time, "sleep", lambda _s: cloud.work())
    return lambda *options: main(["--config", str(config), "host", "adopt", "h1", *options])


def test_domains_are_listed_with_what_keeps_them_from_being_adopted(
    cloud: Cloud, host_id: str, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    other = domain(id="5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a11", name="db\x1b[2J", cloud_id=None)
    has(cloud, host_id, domain(), other)
    assert not adopt()
    printed = capsys.readouterr().out
    assert f"novella-{SERVER}" in printed
    assert "it bears no mark of Novella" in printed
    assert "\x1b" not in printed


def test_one_is_taken_over_and_said_so(
    cloud: Cloud, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adopt(*TAKE) == 0
    assert "its guest was not touched" in capsys.readouterr().out
    assert cloud.server(SERVER).state == "active"


def test_want_of_room_is_said(
    cloud: Cloud, host_id: str, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    has(cloud, host_id, domain(memory_mb=100000))
    assert adopt(*TAKE) == 0
    assert "has less room than its servers take" in capsys.readouterr().out


def test_what_differs_is_shown_with_a_status_of_its_own(
    cloud: Cloud, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    differing(cloud, lambda _run: True)
    assert adopt(*TAKE) == 2
    assert "  +rule b" in capsys.readouterr().out
    assert adopt(*TAKE, "--json") == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["adopted"], "+rule b" in said["differs"]) == (False, True)
    with cloud.db.read() as session:
        assert session.get(Server, SERVER) is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--domain", "web9", "--project", "alpha"), "no domain web9"),
        (("--domain", SERVER), "by --project"),
        (("--domain", SERVER, "--project", "beta"), "no one project beta"),
        ((*TAKE[:4], "--user", "bob"), "no one user bob"),
        ((*TAKE, "--user-data", "/etc/hostname"), "was given none"),
    ],
)
def test_what_is_not_there_is_refused(
    cloud: Cloud,
    adopt: Any,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    why: str,
) -> None:
    assert adopt(*options) == 1
    assert why in capsys.readouterr().err
    assert cloud.operations(kind="host_adopt") == []


def test_one_that_can_not_be_adopted_is_refused_with_the_reason(
    cloud: Cloud, host_id: str, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    has(cloud, host_id, domain(state="crashed"))
    assert adopt(*TAKE) == 1
    assert "it is crashed" in capsys.readouterr().err
