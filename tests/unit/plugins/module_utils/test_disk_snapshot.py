"""`disk_snapshot.py` of a disk that nothing has open; of a guest that runs in the lab's tests."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    disk_snapshot,
    image_inspection,
    qcow2_disk,
    work,
)
from tests.unit.plugins.module_utils.disk_files import base_of, qemu_img

SNAPSHOT = "0d1f7a3e-7a58-4f0e-8a3f-1c2d3e4f5a6b"


@pytest.fixture
def params(disk_path: Path, image_file: Path) -> dict[str, Any]:
    state_path = str(disk_path.parents[2])
    disk = {"path": str(disk_path), "state_path": state_path}
    qcow2_disk.run({**disk, "base": base_of(image_file), "size_gb": 1}, False)
    return {
        **disk, "snapshot_id": SNAPSHOT, "state": "present", "quiesce": "no",
        "cloud_id": "00000000-0000-0000-0000-000000000000", "uri": "test:///default",
    }  # fmt: skip


def copy_of(disk_path: Path) -> Path:
    return disk_path.with_name(f"snapshot.{SNAPSHOT}")


def test_the_copy_holds_the_disk_and_names_nothing_of_the_host(
    params: dict[str, Any], disk_path: Path
) -> None:
    result = disk_snapshot.run(params, False)
    copy = copy_of(disk_path)
    assert result["changed"]
    assert result["snapshot"] == {
        "path": str(copy),
        "size_bytes": copy.stat().st_size,
        "sha256": hashlib.sha256(copy.read_bytes()).hexdigest(),
    }
    assert image_inspection.read_qcow2_header(str(copy)).backing_file is None
    assert "identical" in qemu_img("compare", "-f", "qcow2", "-F", "qcow2", disk_path, copy)
    assert not disk_path.with_name(f"{copy.name}.part").exists()


def test_a_copy_that_is_whole_is_not_made_again_and_half_of_one_is(
    params: dict[str, Any], disk_path: Path
) -> None:
    first = disk_snapshot.run(params, False)
    before = copy_of(disk_path).stat().st_ino
    again = disk_snapshot.run(params, False)
    assert (again["changed"], again["snapshot"]) == (False, first["snapshot"])
    assert copy_of(disk_path).stat().st_ino == before
    copy_of(disk_path).write_bytes(b"half")
    assert disk_snapshot.run(params, False)["snapshot"]["size_bytes"] > 4


def test_what_was_copied_goes_whole_or_in_parts(params: dict[str, Any], disk_path: Path) -> None:
    disk_snapshot.run(params, False)
    copy_of(disk_path).with_name(f"snapshot.{SNAPSHOT}.part").write_bytes(b"left")
    assert disk_snapshot.run(params | {"state": "absent"}, False)["changed"]
    assert sorted(path.name for path in disk_path.parent.iterdir()) == ["disk", "disk.info"]
    assert not disk_snapshot.run(params | {"state": "absent"}, False)["changed"]


def test_one_that_is_too_large_is_refused_and_leaves_nothing(
    params: dict[str, Any], disk_path: Path
) -> None:
    with pytest.raises(work.WorkError, match="10 are left"):
        disk_snapshot.run(params | {"max_bytes": 10}, False)
    assert sorted(path.name for path in disk_path.parent.iterdir()) == ["disk", "disk.info"]


def test_check_mode_makes_nothing(params: dict[str, Any], disk_path: Path) -> None:
    assert disk_snapshot.run(params, True)["changed"]
    assert not copy_of(disk_path).exists()


def test_a_disk_that_is_not_there_is_said_so(params: dict[str, Any], disk_path: Path) -> None:
    disk_path.unlink()
    with pytest.raises(work.WorkError, match="not on this host"):
        disk_snapshot.run(params, False)


@pytest.mark.parametrize("name", ["snapshot_id", "path"])
def test_nothing_outside_a_servers_folder_is_touched(params: dict[str, Any], name: str) -> None:
    with pytest.raises(work.WorkError):
        disk_snapshot.run(params | {name: "../../../etc/passwd"}, False)
