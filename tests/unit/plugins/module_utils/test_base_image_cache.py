"""`base_image_cache.py`: unused bases go after a time; one that a disk stands on never does."""

import os
import time
from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    base_image,
    base_image_cache,
    instance_directory,
    names,
    qcow2_disk,
    work,
)
from ansible_collections.novella.cloud.plugins.module_utils.instance_paths import InstancePaths
from tests.unit.plugins.module_utils.disk_files import SERVER_ID

IMAGE_ID = "11111111-2222-4333-8444-555555555555"
DAY_S = 86400


def age(state_path: Path, *, check_mode: bool = False, **more: object) -> dict:
    params = {"older_than_s": DAY_S, "keep": [], "state_path": str(state_path), **more}
    return base_image_cache.run(params, check_mode)


@pytest.fixture
def base(state_path: Path) -> Path:
    """A base that was last used two days ago."""
    path = state_path / "instances" / "_base" / names.base_image_name(IMAGE_ID)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0" * 4096)
    make_old(path)
    return path


def make_old(path: Path) -> None:
    then = time.time() - 2 * DAY_S
    os.utime(path, (then, then))


def make_disk(state_path: Path, tmp_path: Path) -> Path:
    source = tmp_path / "image.raw"
    source.write_bytes(b"\0" * 4096)
    path = state_path / "instances" / SERVER_ID / "disk"
    image = {"image_id": IMAGE_ID, "format": "raw", "source": str(source)}
    params = {"path": str(path), "base": image, "state_path": str(state_path)}
    qcow2_disk.run(params, False)
    return path


def test_an_unused_old_base_is_removed(state_path: Path, base: Path) -> None:
    assert age(state_path, check_mode=True)["removed"] == [base.name]
    assert base.exists()
    assert age(state_path)["removed"] == [base.name]
    assert not base.exists()
    assert not age(state_path)["changed"]


def test_a_base_that_was_used_lately_stays(state_path: Path, base: Path) -> None:
    os.utime(base)
    assert not age(state_path)["changed"]


def test_a_base_of_an_image_that_is_to_be_kept_stays(state_path: Path, base: Path) -> None:
    assert not age(state_path, keep=[IMAGE_ID])["changed"]


def test_a_base_that_a_disk_stands_on_stays(state_path: Path, base: Path, tmp_path: Path) -> None:
    make_disk(state_path, tmp_path)
    make_old(base)
    assert not age(state_path)["changed"]
    # A disk in quarantine may be wanted back.
    instance_directory.run(
        {"id": SERVER_ID, "state": "quarantined", "state_path": str(state_path)}, False
    )
    assert not age(state_path)["changed"]
    assert base.exists()


def test_a_base_that_a_disk_is_being_made_on_stays(state_path: Path, base: Path) -> None:
    paths = InstancePaths(str(state_path))
    with base_image.in_use(str(base), paths, check_mode=False):
        assert not age(state_path)["changed"]
    assert age(state_path)["changed"]


def test_what_a_making_left_goes_and_what_is_no_base_stays(state_path: Path, base: Path) -> None:
    part = base.with_name(f"{base.name}.part")
    other = base.with_name("operators.notes")
    for path in (part, other):
        path.write_bytes(b"x")
        make_old(path)
    assert age(state_path, keep=[])["removed"] == [base.name, part.name]
    assert other.exists()


def test_nothing_goes_while_a_disk_cannot_be_read(state_path: Path, base: Path) -> None:
    folder = state_path / "instances" / SERVER_ID
    folder.mkdir()
    (folder / "disk").write_bytes(b"QFI\xfb" + b"\0" * 20)
    with pytest.raises(work.WorkError, match="malformed"):
        age(state_path)
    assert base.exists()
