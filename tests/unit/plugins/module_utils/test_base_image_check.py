"""`base_image_check.py`: a damaged base is found; it goes only when no disk stands on it."""

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    base_image,
    base_image_check,
    base_image_sums,
    formatted_base,
    names,
    prefetched_image,
    qcow2_disk,
)
from ansible_collections.novella.cloud.plugins.module_utils.instance_paths import InstancePaths
from tests.unit.plugins.module_utils.disk_files import SERVER_ID

IMAGE_ID = "11111111-2222-4333-8444-555555555555"
SIZE_BYTES = 3 << 20
MARK_AT = 2 << 20


def check(state_path: Path, *, check_mode: bool = False, repair: bool = True) -> Any:
    params = {"repair": repair, "state_path": str(state_path)}
    return base_image_check.run(params, check_mode)


@pytest.fixture
def image(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "image.raw"
    with source.open("wb") as file:
        file.truncate(SIZE_BYTES)
        file.seek(MARK_AT)
        file.write(b"mark")
    return {"image_id": IMAGE_ID, "format": "raw", "source": str(source)}


def prefetch(state_path: Path, image: dict[str, Any], *, check_mode: bool = False) -> Any:
    params = {"base": image, "state_path": str(state_path), "disk_work_slots": 2}
    return prefetched_image.run(params, check_mode)


@pytest.fixture
def base(state_path: Path, image: dict[str, Any]) -> Path:
    prefetch(state_path, image)
    return state_path / "instances" / "_base" / names.base_image_name(IMAGE_ID)


def damage(base: Path) -> None:
    """Change one byte, as a dying disk would: size and times stay."""
    before = base.stat()
    base.chmod(0o644)
    with base.open("r+b") as file:
        file.seek(MARK_AT)
        file.write(b"M")
    base.chmod(0o444)
    os.utime(base, ns=(before.st_atime_ns, before.st_mtime_ns))


def make_disk(state_path: Path, image: dict[str, Any], folder: str = SERVER_ID) -> None:
    path = state_path / "instances" / SERVER_ID / "disk"
    qcow2_disk.run({"path": str(path), "base": image, "state_path": str(state_path)}, False)
    path.parent.rename(path.parent.parent / folder)


def test_a_prefetched_image_is_made_once(state_path: Path, image: dict[str, Any]) -> None:
    assert prefetch(state_path, image, check_mode=True)["changed"]
    assert not (state_path / "instances").exists()
    assert prefetch(state_path, image)["base"]["made"]
    assert not prefetch(state_path, image)["changed"]


def test_whole_bases_stay(state_path: Path, base: Path) -> None:
    paths = InstancePaths(str(state_path))
    formatted_base.ensure_formatted("swap", 1 << 20, paths, False, 2)
    found = check(state_path)
    assert not found["changed"]
    assert found["bases"] == {"checked": 2, "unknown": [], "removed": [], "damaged": []}


def test_a_damaged_base_that_no_disk_stands_on_is_removed(
    state_path: Path, base: Path, image: dict[str, Any]
) -> None:
    damage(base)
    assert check(state_path, check_mode=True)["bases"]["removed"] == [base.name]
    assert check(state_path, repair=False)["bases"]["damaged"] == [base.name]
    assert base.exists()
    assert check(state_path)["bases"]["removed"] == [base.name]
    assert not base.exists()
    assert not check(state_path)["changed"]
    assert prefetch(state_path, image)["changed"]
    assert check(state_path)["bases"]["checked"] == 1


@pytest.mark.parametrize("folder", [SERVER_ID, f"{SERVER_ID}_resize", f"_quarantine/{SERVER_ID}.1"])
def test_a_damaged_base_that_a_disk_stands_on_is_reported(
    state_path: Path, base: Path, image: dict[str, Any], folder: str
) -> None:
    """Whether its server is off, or its folder set aside, or kept for a day."""
    (state_path / "instances" / "_quarantine").mkdir()
    make_disk(state_path, image, folder)
    damage(base)
    for check_mode in (True, False):
        found = check(state_path, check_mode=check_mode)
        assert not found["changed"]
        assert found["bases"]["damaged"] == [base.name]
    assert base.exists()


def test_a_damaged_base_that_a_disk_is_being_made_on_stays(state_path: Path, base: Path) -> None:
    damage(base)
    with base_image.in_use(str(base), InstancePaths(str(state_path)), check_mode=False):
        assert check(state_path)["bases"]["damaged"] == [base.name]
    assert check(state_path)["bases"]["removed"] == [base.name]


def test_a_base_of_which_nothing_was_noted_is_neither_whole_nor_damaged(
    state_path: Path, base: Path
) -> None:
    (base.parent / "locks" / f"{base.name}.sum").unlink()
    assert check(state_path)["bases"] == {
        "checked": 0, "unknown": [base.name], "removed": [], "damaged": [],
    }  # fmt: skip


def test_holes_do_not_change_the_sum_and_moved_content_does(tmp_path: Path) -> None:
    block = base_image_sums.BLOCK_BYTES
    sparse, full, moved = (tmp_path / name for name in ("sparse", "full", "moved"))
    with sparse.open("wb") as file:
        file.truncate(4 * block)
        file.seek(2 * block + 5)
        file.write(b"x")
    full.write_bytes(sparse.read_bytes())
    moved.write_bytes(bytes(block + 5) + b"x" + bytes(3 * block - 6))
    sums = [base_image_sums.content_sum(str(path)) for path in (sparse, full, moved)]
    assert sums[0] == sums[1] != sums[2]
