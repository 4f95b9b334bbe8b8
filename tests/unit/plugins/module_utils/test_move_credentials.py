"""`move_credentials.py` with `move_authority.py`: keys stay, certificates are asked for and end."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import move_credentials, work
from ansible_collections.novella.cloud.plugins.plugin_utils import move_authority
from tests.unit.plugins.module_utils.disk_files import SERVER_ID


def run(state_path: Path, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    params = {
        "server_id": SERVER_ID, "state": "present", "purpose": "copy", "host_name": "h1",
        "address": "192.0.2.1", "state_path": str(state_path), **more,
    }  # fmt: skip
    return move_credentials.run(params, check_mode)


def asked(state_path: Path) -> dict[str, str]:
    with pytest.raises(work.WorkError) as refused:
        run(state_path)
    missing: dict[str, str] = refused.value.details["missing_certificate"]
    return missing


@pytest.fixture
def state_path(tmp_path: Path) -> Path:
    (tmp_path / "novella" / "moves").mkdir(parents=True)
    return tmp_path / "novella"


def sign(tmp_path: Path, public_key: str) -> dict[str, str]:
    return move_authority.sign(
        str(tmp_path / "authority"), public_key, SERVER_ID, "h1", "192.0.2.1", live=False
    )


def test_a_host_asks_once_and_is_signed_for(tmp_path: Path, state_path: Path) -> None:
    missing = asked(state_path)
    assert "PRIVATE" not in str(missing)
    signed = sign(tmp_path, missing["public_key"])
    assert run(state_path, **signed)["common_name"] == f"{SERVER_ID}.h1"
    assert not run(state_path)["changed"]
    folder = state_path / "moves" / SERVER_ID
    assert (folder / "server-key.pem").stat().st_mode & 0o777 == 0o600
    said = subprocess.run(
        ["openssl", "verify", "-CAfile", folder / "ca-cert.pem", folder / "client-cert.pem"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.strip().endswith("OK")
    assert run(state_path, state="absent")["changed"]
    assert list((state_path / "moves").iterdir()) == []
    assert not run(state_path, state="absent")["changed"]


def test_a_certificate_that_ends_soon_is_asked_for_again(
    tmp_path: Path, state_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(state_path, **sign(tmp_path, asked(state_path)["public_key"]))
    monkeypatch.setattr(move_credentials, "GOOD_FOR_S", 901)
    assert asked(state_path)["common_name"] == f"{SERVER_ID}.h1"


def test_another_name_needs_another_certificate(tmp_path: Path, state_path: Path) -> None:
    run(state_path, **sign(tmp_path, asked(state_path)["public_key"]))
    with pytest.raises(work.WorkError, match="no certificate"):
        run(state_path, host_name="h2")


def test_check_mode_makes_no_key(state_path: Path) -> None:
    assert run(state_path, check_mode=True)["changed"]
    assert list((state_path / "moves").iterdir()) == []


@pytest.mark.parametrize("key", ["", "no key", None, "-----BEGIN PUBLIC KEY-----\nAAAA\n"])
def test_what_is_no_key_is_not_signed(tmp_path: Path, key: Any) -> None:
    with pytest.raises(move_authority.AuthorityError, match="h1"):
        sign(tmp_path, key)


@pytest.mark.parametrize("name", ["h1,CN=admin", "h1\nx", "", "a b"])
def test_a_host_name_that_says_more_is_refused(state_path: Path, name: str) -> None:
    with pytest.raises(work.WorkError, match="can't stand in a certificate"):
        run(state_path, host_name=name)


def test_the_authority_is_made_once_and_kept_secret(tmp_path: Path, state_path: Path) -> None:
    key = asked(state_path)["public_key"]
    first, second = sign(tmp_path, key), sign(tmp_path, key)
    assert first["authority"] == second["authority"]
    (file,) = (tmp_path / "authority").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
