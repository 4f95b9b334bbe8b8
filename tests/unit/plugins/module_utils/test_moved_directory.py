"""`moved_directory.py` and `pulled_directory.py`: a folder set aside, brought, and brought back."""

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    moved_directory,
    pulled_directory,
    work,
)
from tests.unit.plugins.module_utils.disk_files import SERVER_ID

MIB = 1 << 20


def move(state_path: Path, state: str, check_mode: bool = False) -> dict[str, Any]:
    params = {
        "server_id": SERVER_ID, "state": state, "state_path": str(state_path),
        "export_ports": "49216-49279",
    }  # fmt: skip
    return moved_directory.run(params, check_mode)


def pull(state_path: Path, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    params = {
        "server_id": SERVER_ID, "files": [], "state_path": str(state_path), "timeout_s": 60, **more
    }  # fmt: skip
    return pulled_directory.run(params, check_mode)


@pytest.fixture
def folder(state_path: Path) -> Path:
    path = state_path / "instances" / SERVER_ID
    path.mkdir(parents=True)
    with (path / "disk").open("wb") as file:
        file.write(b"guest data")
        file.truncate(64 * MIB)
    (path / "domain.info").write_text('{"machine": "pc"}\n')
    (path / "disk.swap").write_bytes(b"swap")
    (path / "libvirt.xml").write_text("<domain/>")
    return path


def test_a_folder_goes_aside_and_comes_back(state_path: Path, folder: Path) -> None:
    aside = folder.with_name(f"{SERVER_ID}_resize")
    assert move(state_path, "aside", check_mode=True)["changed"]
    assert folder.is_dir()
    result = move(state_path, "aside")
    assert (result["changed"], result["diff"][0]["after"]) == (True, f"{aside}\n")
    assert not move(state_path, "aside")["changed"]
    assert not folder.exists()
    assert move(state_path, "returned")["changed"]
    assert not move(state_path, "returned")["changed"]
    assert (folder / "disk").read_bytes()[:10] == b"guest data"
    assert not move(state_path, "absent")["changed"]
    assert folder.is_dir()


def test_what_is_there_twice_is_touched_by_nobody(state_path: Path, folder: Path) -> None:
    aside = folder.with_name(f"{SERVER_ID}_resize")
    aside.mkdir()
    for state in ("aside", "returned"):
        with pytest.raises(work.WorkError, match="is there already"):
            move(state_path, state)
    assert folder.is_dir()
    assert aside.is_dir()


def test_a_folder_that_is_nowhere_is_an_error_with_the_way_out(state_path: Path) -> None:
    with pytest.raises(work.WorkError, match="Look at which host"):
        move(state_path, "aside")


def test_the_files_of_a_server_are_brought_with_their_holes(state_path: Path, folder: Path) -> None:
    move(state_path, "aside")
    assert pull(state_path, check_mode=True)["changed"]
    assert not folder.exists()
    assert pull(state_path)["copied_bytes"] == 64 * MIB + len('{"machine": "pc"}\n')
    assert not pull(state_path)["changed"]
    disk = folder / "disk"
    assert disk.read_bytes() == b"guest data".ljust(64 * MIB, b"\0")
    assert disk.stat().st_blocks * 512 < MIB
    assert disk.stat().st_mode & 0o777 == 0o600
    # Swap and definition are made again where the server comes to.
    assert sorted(each.name for each in folder.iterdir()) == ["disk", "domain.info"]


@pytest.mark.parametrize("name", ["../disk", "libvirt.xml", "/etc/passwd", "disk,x=y", ""])
def test_a_file_that_no_server_has_is_refused(state_path: Path, folder: Path, name: str) -> None:
    """The names come from the other host."""
    move(state_path, "aside")
    with pytest.raises(work.WorkError, match="Refused the file"):
        pull(state_path, files=[{"name": name, "size_bytes": 1}])
    assert not folder.exists()
