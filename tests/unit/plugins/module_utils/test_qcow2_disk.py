"""`qcow2_disk.py` and the base images below it, with real disks."""

import hashlib
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    base_image,
    formatted_base,
    qcow2_disk,
    work,
)
from ansible_collections.novella.cloud.plugins.module_utils.instance_paths import InstancePaths
from tests.unit.plugins.module_utils.disk_files import IMAGE_ID, MIB, SERVER_ID, base_of, qemu_img

GIB = 1 << 30
BASE_NAME = hashlib.sha1(IMAGE_ID.encode()).hexdigest()  # noqa: S324 - a name


def run(path: Path, check_mode: bool = False, **params: Any) -> dict[str, Any]:
    """Run on a disk `<state>/instances/<uuid>/<name>`; the state path is taken from it."""
    state_path = str(path.parents[2])
    return qcow2_disk.run({"path": str(path), "state_path": state_path, **params}, check_mode)


def refusal(path: Path, **params: Any) -> work.WorkError:
    with pytest.raises(work.WorkError) as caught:
        run(path, **params)
    return caught.value


def info(path: Path) -> dict[str, Any]:
    return json.loads(qemu_img("info", "-U", "--output=json", path))


def base_files(state_path: Path) -> list[str]:
    base = state_path / "instances" / "_base"
    return sorted(entry.name for entry in base.iterdir() if entry.is_file())


def test_overlay_names_its_base_and_the_format_raw(disk_path: Path, image_file: Path) -> None:
    result = run(disk_path, size_gb=1, base=base_of(image_file))
    seen = info(disk_path)
    assert result["changed"]
    assert (seen["format"], seen["virtual-size"]) == ("qcow2", GIB)
    assert seen["backing-filename-format"] == "raw"
    assert Path(seen["backing-filename"]).name == BASE_NAME
    assert json.loads((disk_path.parent / "disk.info").read_text()) == {str(disk_path): "qcow2"}


def test_base_is_raw_read_only_and_holds_the_image(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    base = state_path / "instances" / "_base" / BASE_NAME
    assert base.stat().st_mode & 0o777 == 0o444
    assert base.read_bytes()[:10] == b"guest data"
    assert base.stat().st_size == 16 * MIB
    assert base.stat().st_blocks * 512 < MIB, "the base is sparse"
    assert base_files(state_path) == [BASE_NAME]


def test_second_run_changes_nothing(disk_path: Path, image_file: Path) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    before = disk_path.stat().st_mtime_ns
    result = run(disk_path, size_gb=1, base=base_of(image_file))
    assert not result["changed"]
    assert all(entry["before"] == entry["after"] for entry in result["diff"])
    assert disk_path.stat().st_mtime_ns == before


def test_use_touches_the_base(disk_path: Path, state_path: Path, image_file: Path) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    base = state_path / "instances" / "_base" / BASE_NAME
    os.utime(base, (1, 1))
    run(disk_path, size_gb=1, base=base_of(image_file))
    assert base.stat().st_mtime > 1


def test_check_mode_makes_nothing_and_shows_disk_and_base(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    result = run(disk_path, check_mode=True, size_gb=1, base=base_of(image_file))
    assert result["changed"]
    assert not state_path.exists()
    base, disk = result["diff"]
    assert BASE_NAME in base["after_header"]
    assert f"virtual_size_bytes: {GIB}" in disk["after"]


def test_a_kept_disk_that_is_gone_is_not_made_again(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    """An empty copy of the image would look like the server, without what its guest wrote."""
    assert "gone from host" in refusal(disk_path, state="kept", base=base_of(image_file)).msg
    assert not state_path.exists()
    run(disk_path, size_gb=1, base=base_of(image_file))
    disk_path.unlink()
    for check_mode in (True, False):
        with pytest.raises(work.WorkError, match=str(disk_path)) as caught:
            run(disk_path, check_mode, state="kept", size_gb=1, base=base_of(image_file))
        assert caught.value.details == {"disk_gone": str(disk_path)}
    assert not disk_path.exists()
    disk_path.symlink_to("/not/mounted/disk")
    refusal(disk_path, state="kept")


def test_a_kept_disk_gets_its_base_back_and_grows(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    assert run(disk_path, state="kept") == {"changed": False, "diff": []}
    (state_path / "instances" / "_base" / BASE_NAME).unlink()
    result = run(disk_path, state="kept", size_gb=2, base=base_of(image_file))
    assert result["base"]["made"]
    assert info(disk_path)["virtual-size"] == 2 * GIB


def test_disk_grows(disk_path: Path, image_file: Path) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    checked = run(disk_path, check_mode=True, size_gb=2, base=base_of(image_file))
    assert checked["changed"]
    assert info(disk_path)["virtual-size"] == GIB
    grown = run(disk_path, size_gb=2, base=base_of(image_file))
    assert grown["changed"]
    assert info(disk_path)["virtual-size"] == 2 * GIB


def test_disk_never_shrinks(disk_path: Path, image_file: Path) -> None:
    run(disk_path, size_gb=2, base=base_of(image_file))
    assert "Cannot shrink" in refusal(disk_path, size_gb=1, base=base_of(image_file)).msg
    assert info(disk_path)["virtual-size"] == 2 * GIB


def test_size_zero_means_as_large_as_the_image(disk_path: Path, image_file: Path) -> None:
    run(disk_path, size_gb=0, base=base_of(image_file))
    assert info(disk_path)["virtual-size"] == 16 * MIB


def test_image_larger_than_the_disk_is_refused_before_anything_is_made(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    error = refusal(disk_path, size_mb=8, base=base_of(image_file))
    assert "larger than" in error.msg
    assert "flavor" in error.msg
    assert base_files(state_path) == []
    assert not disk_path.parent.exists()


def test_image_of_known_size_is_refused_before_it_is_fetched(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    base = base_of(image_file, source=None, virtual_size_bytes=3 * GIB)
    error = refusal(disk_path, size_gb=1, base=base)
    assert "at least 3 GiB" in error.msg
    assert "missing_base" not in error.details
    assert not state_path.exists()


def test_base_that_is_not_on_the_host_is_asked_for(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    error = refusal(disk_path, size_gb=1, base=base_of(image_file, source=None))
    missing = error.details["missing_base"]
    part = state_path / "instances" / "_base" / (BASE_NAME + ".part")
    assert (missing["image_id"], missing["part"], missing["offset"]) == (IMAGE_ID, str(part), 0)
    assert not disk_path.exists()


def test_streamed_part_is_resumed_then_becomes_the_base(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    base = base_of(image_file, source=None)
    part = Path(refusal(disk_path, size_gb=1, base=base).details["missing_base"]["part"])
    content = image_file.read_bytes()
    part.write_bytes(content[:1000])
    assert refusal(disk_path, size_gb=1, base=base).details["missing_base"]["offset"] == 1000
    part.write_bytes(content)
    assert run(disk_path, size_gb=1, base=base)["base"]["made"]
    assert base_files(state_path) == [BASE_NAME]


@pytest.mark.parametrize("image_format", ["raw", "iso"])
def test_streamed_raw_image_is_used_as_it_is(
    disk_path: Path, state_path: Path, tmp_path: Path, image_format: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(0x8001) + b"CD001" + bytes(MIB))
    base = base_of(image, image_format, source=None)
    part = Path(refusal(disk_path, size_gb=1, base=base).details["missing_base"]["part"])
    part.write_bytes(image.read_bytes())
    run(disk_path, size_gb=1, base=base)
    assert (state_path / "instances" / "_base" / BASE_NAME).read_bytes() == image.read_bytes()
    assert base_files(state_path) == [BASE_NAME]


def test_wrong_checksum_is_refused_and_the_part_removed(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    base = base_of(image_file, source=None, checksum="sha256:" + "0" * 64)
    part = Path(refusal(disk_path, size_gb=1, base=base).details["missing_base"]["part"])
    part.write_bytes(image_file.read_bytes())
    assert "the sha256 of what arrived" in refusal(disk_path, size_gb=1, base=base).msg
    assert base_files(state_path) == []


def test_image_with_a_backing_file_leaves_nothing_behind(
    disk_path: Path, state_path: Path, image_file: Path, tmp_path: Path
) -> None:
    evil = tmp_path / "evil.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", "/etc/shadow", evil, "1M")
    assert "/etc/shadow" in refusal(disk_path, size_gb=1, base=base_of(evil)).msg
    assert base_files(state_path) == []
    assert not disk_path.exists()


def test_image_inside_an_image_is_refused(
    disk_path: Path, state_path: Path, image_file: Path, tmp_path: Path
) -> None:
    nested = tmp_path / "nested.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", image_file, nested)
    error = refusal(disk_path, size_gb=1, base=base_of(nested))
    assert "inside the qcow2 there is a qcow2" in error.msg
    assert base_files(state_path) == []


def test_full_disk_is_explained_and_leaves_no_partial_file(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    image = tmp_path / "image.qcow2"
    raw = tmp_path / "image.raw"
    raw.write_bytes(os.urandom(8 * MIB))
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, image)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)]
    subprocess.run(mount, check=True)
    try:
        disk = small / "instances" / SERVER_ID / "disk"
        error = refusal(disk, size_gb=1, base=base_of(image))
        assert "no space is left on this host's disk" in error.msg
        assert base_files(small) == []
        assert not disk.parent.exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_two_at_once_make_the_base_once(
    state_path: Path, image_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[list[str]] = []
    real = work.run_command

    def counting(argv: list[str], *args: Any, **kwargs: Any) -> str:
        if "convert" in argv:
            converted.append(argv)
        return real(argv, *args, **kwargs)

    monkeypatch.setattr(work, "run_command", counting)
    disks = [state_path / "instances" / f"{n}{SERVER_ID[1:]}" / "disk" for n in range(4)]
    threads = [
        threading.Thread(target=run, args=(disk,), kwargs={"base": base_of(image_file)})
        for disk in disks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(converted) == 1
    assert all(disk.exists() for disk in disks)


def test_partial_file_of_a_killed_run_is_replaced(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    base = state_path / "instances" / "_base"
    base.mkdir(parents=True)
    (base / (BASE_NAME + ".converted")).write_bytes(b"half")
    run(disk_path, size_gb=1, base=base_of(image_file))
    assert base_files(state_path) == [BASE_NAME]


def test_lost_base_is_made_again_under_the_disk(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    base = state_path / "instances" / "_base" / BASE_NAME
    content, overlay = base.read_bytes(), disk_path.read_bytes()
    base.unlink()
    result = run(disk_path, size_gb=1, base=base_of(image_file))
    assert result["changed"]
    assert (base.read_bytes(), disk_path.read_bytes()) == (content, overlay)


def test_damaged_base_is_refused_before_an_overlay_is_made(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    base = state_path / "instances" / "_base"
    base.mkdir(parents=True)
    (base / BASE_NAME).write_bytes(b"")
    assert "empty or no plain file" in refusal(disk_path, base=base_of(image_file)).msg
    (base / BASE_NAME).write_bytes(image_file.read_bytes())
    assert "it is qcow2, not raw" in refusal(disk_path, base=base_of(image_file)).msg
    assert not disk_path.exists()


def test_base_that_was_cut_off_is_refused_until_it_is_made_afresh(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    base = state_path / "instances" / "_base" / BASE_NAME
    whole = base.read_bytes()
    for size in (MIB, 32 * MIB):
        os.truncate(base, size)
        refused = refusal(disk_path, size_gb=1, base=base_of(image_file)).msg
        assert f"it has {size} bytes and was made with {16 * MIB}" in refused
    base.unlink()
    assert run(disk_path, size_gb=1, base=base_of(image_file))["base"]["made"]
    assert base.read_bytes() == whole


def test_disk_of_another_image_is_refused(
    disk_path: Path, image_file: Path, tmp_path: Path
) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    other = base_of(image_file, image_id="11111111-6a0c-4a54-8f0a-6a1f4a9a0c11")
    assert "made of something else" in refusal(disk_path, size_gb=1, base=other).msg


def test_disk_whose_bytes_changed_format_is_refused(disk_path: Path, image_file: Path) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    disk_path.write_bytes(bytes(MIB))
    error = refusal(disk_path, size_gb=1, base=base_of(image_file))
    assert "recorded as qcow2 and its bytes show raw" in error.msg


def test_disk_recorded_as_raw_is_never_opened_as_qcow2(disk_path: Path, image_file: Path) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    (disk_path.parent / "disk.info").write_text(json.dumps({str(disk_path): "raw"}))
    assert "recorded as raw" in refusal(disk_path, size_gb=1, base=base_of(image_file)).msg


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("disk.local", "ext4", b"ephemeral0"),
        ("disk.local", "vfat", b"EPHEMERAL0"),
        ("disk.swap", "swap", b"SWAPSPACE2"),
    ],
)
def test_formatted_disk_stands_on_a_shared_formatted_base(
    state_path: Path, name: str, content: str, kind: bytes
) -> None:
    disk = state_path / "instances" / SERVER_ID / name
    assert run(disk, size_mb=32, content=content)["changed"]
    assert not run(disk, size_mb=32, content=content)["changed"]
    base = Path(info(disk)["backing-filename"])
    assert base.parent == state_path / "instances" / "_base"
    assert kind in base.read_bytes()
    assert base.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("content", sorted(formatted_base.FORMATTERS))
def test_lost_formatted_base_is_made_again_the_same(tmp_path: Path, content: str) -> None:
    made = []
    for attempt in ("first", "second"):
        paths = InstancePaths(str(tmp_path / attempt))
        base = formatted_base.ensure_formatted(content, 32 * MIB, paths, False, 2)
        made.append(Path(base.path).read_bytes())
    assert made[0] == made[1]


def test_grown_ephemeral_disk_keeps_its_first_base(state_path: Path) -> None:
    disk = state_path / "instances" / SERVER_ID / "disk.local"
    run(disk, size_mb=32, content="ext4")
    base = info(disk)["backing-filename"]
    assert run(disk, size_mb=64, content="ext4")["changed"]
    assert not run(disk, size_mb=64, content="ext4")["changed"]
    assert info(disk)["backing-filename"] == base


def test_blank_disk_has_no_base(state_path: Path) -> None:
    disk = state_path / "instances" / SERVER_ID / "disk.eph1"
    assert run(disk, size_mb=8)["changed"]
    assert not run(disk, size_mb=8, content="blank")["changed"]
    assert "backing-filename" not in info(disk)


def test_absent_removes_the_disk_and_its_record_alone(disk_path: Path, image_file: Path) -> None:
    run(disk_path, size_gb=1, base=base_of(image_file))
    swap = disk_path.with_name("disk.swap")
    run(swap, size_mb=8, content="swap")
    assert run(disk_path, check_mode=True, state="absent")["changed"]
    assert disk_path.exists()
    assert run(disk_path, state="absent")["changed"]
    assert not run(disk_path, state="absent")["changed"]
    assert json.loads((disk_path.parent / "disk.info").read_text()) == {str(swap): "qcow2"}


def test_undo_takes_back_only_what_this_run_made(disk_path: Path, image_file: Path) -> None:
    made = run(disk_path, size_gb=1, base=base_of(image_file))
    again = run(disk_path, size_gb=2, base=base_of(image_file))
    assert "undo_args" not in again
    qcow2_disk.run(made["undo_args"], False)
    assert not disk_path.parent.exists()


@pytest.mark.parametrize(
    "name",
    ["../disk", "other", "disk.info", "disk.config", "disk.Local", "disk/../../x/disk", "disk."],
)
def test_other_paths_are_refused(disk_path: Path, name: str) -> None:
    state_path = str(disk_path.parents[2])
    params = {"path": f"{disk_path.parent}/{name}", "state_path": state_path, "size_mb": 1}
    with pytest.raises(work.WorkError, match="Refused the disk"):
        qcow2_disk.run(params, False)


def test_folder_that_is_no_server_is_refused(state_path: Path) -> None:
    disk = state_path / "instances" / "_base" / "disk"
    assert "not in the folder of a server" in refusal(disk, size_mb=1).msg


def test_disk_without_size_or_base_is_refused(disk_path: Path) -> None:
    assert "Give size_gb or size_mb above 0" in refusal(disk_path).msg


def test_unknown_checksum_algorithm_is_refused(disk_path: Path, image_file: Path) -> None:
    error = refusal(disk_path, base=base_of(image_file, checksum="md5:abc"))
    assert "sha256:<hex>" in error.msg


def test_disk_work_waits_for_a_slot(state_path: Path) -> None:
    paths = InstancePaths(str(state_path))
    order: list[str] = []
    with base_image.disk_work_slot(paths, 1):
        waiter = threading.Thread(target=_take_slot, args=(paths, order))
        waiter.start()
        waiter.join(0.2)
        order.append("first done")
    waiter.join()
    assert order == ["first done", "second"]


def _take_slot(paths: InstancePaths, order: list[str]) -> None:
    with base_image.disk_work_slot(paths, 1):
        order.append("second")


def test_a_standalone_disk_holds_its_base_and_needs_it_no_more(
    disk_path: Path, state_path: Path, image_file: Path
) -> None:
    base = base_of(image_file)
    result = run(disk_path, size_gb=1, base=base, content="standalone")
    seen = info(disk_path)
    assert result["disk"]["backing_file"] is None
    assert "backing-filename" not in seen
    assert seen["virtual-size"] == GIB
    raw = state_path / "instances" / "_base" / BASE_NAME
    assert "identical" in qemu_img("compare", "-f", "qcow2", "-F", "raw", disk_path, raw)
    raw.unlink()
    # Whatever image the server is of, and whether that can be had.
    gone = base | {"source": None, "image_id": SERVER_ID}
    assert not run(disk_path, size_gb=1, base=gone, state="kept")["changed"]
    assert not raw.exists()
