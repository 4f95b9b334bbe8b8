"""`instance_quarantine.py`: disks of deleted servers are set aside first, and removed later."""

import time
from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    instance_directory,
    instance_quarantine,
    work,
)
from tests.unit.plugins.module_utils.disk_files import SERVER_ID


def set_aside(state_path: Path, check_mode: bool = False) -> dict:
    params = {"id": SERVER_ID, "state": "quarantined", "state_path": str(state_path)}
    return instance_directory.run(params, check_mode)


def empty(state_path: Path, older_than_s: int, check_mode: bool = False) -> dict:
    params = {"older_than_s": older_than_s, "state_path": str(state_path)}
    return instance_quarantine.run(params, check_mode)


def folder_with_disk(state_path: Path) -> Path:
    folder = state_path / "instances" / SERVER_ID
    folder.mkdir(parents=True)
    (folder / "disk").write_bytes(b"data")
    return folder


def test_a_folder_is_moved_with_its_disks_and_a_second_run_changes_nothing(
    state_path: Path,
) -> None:
    folder = folder_with_disk(state_path)
    assert set_aside(state_path, check_mode=True)["changed"]
    assert folder.exists()
    result = set_aside(state_path)
    assert result["changed"]
    assert result["diff"][0]["before"] == f"{folder}/disk\n"
    [kept] = instance_quarantine.kept(str(state_path))
    assert (kept.server_id, (Path(kept.path) / "disk").read_bytes()) == (SERVER_ID, b"data")
    assert not folder.exists()
    assert not set_aside(state_path)["changed"]


def test_a_server_set_aside_twice_has_both(state_path: Path) -> None:
    for _ in range(2):
        folder_with_disk(state_path)
        set_aside(state_path)
    assert len(instance_quarantine.kept(str(state_path))) == 2


def test_only_what_was_there_for_long_enough_is_removed(
    state_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with_disk(state_path)
    set_aside(state_path)
    assert not empty(state_path, 3600)["changed"]
    later = time.time() + 3601
    monkeypatch.setattr(instance_quarantine.time, "time", lambda: later)
    assert empty(state_path, 3600, check_mode=True)["changed"]
    assert instance_quarantine.kept(str(state_path))
    result = empty(state_path, 3600)
    assert [entry["server_id"] for entry in result["removed"]] == [SERVER_ID]
    assert instance_quarantine.kept(str(state_path)) == []
    assert not empty(state_path, 3600)["changed"]


def test_what_has_another_kind_of_name_is_left_alone(state_path: Path) -> None:
    kept = Path(instance_quarantine.folder(str(state_path))) / "an-operators-own"
    kept.mkdir(parents=True)
    assert not empty(state_path, 0)["changed"]
    assert kept.exists()


def test_a_negative_age_is_refused(state_path: Path) -> None:
    with pytest.raises(work.WorkError, match="older_than_s is -1"):
        empty(state_path, -1)
