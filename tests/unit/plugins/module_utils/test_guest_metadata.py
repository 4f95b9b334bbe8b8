"""Metadata reaches the server's folder readable by its group alone, and no diff shows a secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import guest_metadata, work

NETWORK_ID = "0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11"
SERVER = {"id": "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10", "name": "web", "hostname": "web"}


def params(state_path: Path, **changes: Any) -> dict[str, Any]:
    given = {"server": SERVER, "network_id": NETWORK_ID, "ips": ["10.0.0.5"], "state": "present"}
    return {**given, "secrets": {"user_data": "c2VjcmV0"}, "state_path": str(state_path), **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "networks" / NETWORK_ID / "metadata"
    folder.mkdir(parents=True)
    return folder


def test_a_second_push_changes_nothing(tmp_path: Path, folder: Path) -> None:
    assert guest_metadata.run(params(tmp_path), False)["changed"]
    assert guest_metadata.run(params(tmp_path), False)["changed"] is False
    assert [path.name for path in folder.iterdir()] == ["10.0.0.5.json"]


def test_only_the_folders_group_may_read_it(tmp_path: Path, folder: Path) -> None:
    os.chown(folder, -1, os.getgroups()[0] if os.getuid() else 65534)
    guest_metadata.run(params(tmp_path), False)
    status = (folder / "10.0.0.5.json").stat()
    assert status.st_mode & 0o777 == 0o640
    assert status.st_gid == folder.stat().st_gid


def test_the_diff_names_documents_and_shows_none(tmp_path: Path, folder: Path) -> None:
    diff = guest_metadata.run(params(tmp_path), False)["diff"][0]
    assert "/openstack/latest/user_data 6 bytes" in diff["after"]
    assert "secret" not in diff["after"]
    assert "c2VjcmV0" not in diff["after"]


def test_check_mode_writes_nothing_even_without_the_network(tmp_path: Path) -> None:
    assert guest_metadata.run(params(tmp_path), True)["changed"]
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(work.WorkError, match="network_namespace"):
        guest_metadata.run(params(tmp_path), False)


def test_removal_is_repeatable(tmp_path: Path, folder: Path) -> None:
    guest_metadata.run(params(tmp_path), False)
    assert guest_metadata.run(params(tmp_path, state="absent"), False)["changed"]
    assert guest_metadata.run(params(tmp_path, state="absent"), False)["changed"] is False
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("ip", ["../x", "10.0.0.5/24", ""])
def test_what_is_no_address_is_refused(tmp_path: Path, folder: Path, ip: str) -> None:
    with pytest.raises(work.WorkError, match="no IP address"):
        guest_metadata.run(params(tmp_path, ips=[ip]), False)


def test_the_diff_of_a_new_server_names_each_body_once(tmp_path: Path, folder: Path) -> None:
    after = guest_metadata.run(params(tmp_path), False)["diff"][0]["after"]
    digests = [line.split()[3] for line in after.splitlines()]
    assert len(digests) == len(set(digests))
    assert any(line.endswith(" more paths") for line in after.splitlines())


@pytest.mark.parametrize(
    "change",
    [
        {"state": "absent"},
        {"server": {**SERVER, "guest": {"password_serial": 1}}},
        {"server": {**SERVER, "id": "6f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"}},
    ],
    ids=["it goes", "it was cleared", "another server has the address"],
)
def test_what_a_guest_posted_goes_when(
    tmp_path: Path, folder: Path, change: dict[str, Any]
) -> None:
    guest_metadata.run(params(tmp_path), False)
    passwords = folder.parent / "passwords"
    passwords.mkdir()
    posted, others = passwords / f"{SERVER['id']}.0", passwords / "another"
    posted.write_text("ciphertext")
    others.write_text("ciphertext")
    guest_metadata.run(params(tmp_path), False)
    guest_metadata.run(params(tmp_path, **change), True)
    assert posted.exists()
    guest_metadata.run(params(tmp_path, **change), False)
    assert [path.name for path in passwords.iterdir()] == [others.name]
