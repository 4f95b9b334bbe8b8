"""`internal_snapshot.py` on real qcow2 files of a server that is off."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import internal_snapshot, work
from tests.unit.plugins.module_utils.disk_files import SERVER_ID

SNAPSHOT_ID = "22222222-2222-4333-8444-555555555555"
# The test driver's one domain, which runs and is not ours.
FOREIGN_ID = "6695eb01-f6a4-8304-79aa-97f2502e193f"


def bring(state_path: Path, state: str, *, check_mode: bool = False, **more: str) -> Any:
    params = {
        "server_id": SERVER_ID, "snapshot_id": SNAPSHOT_ID, "state": state,
        "state_path": str(state_path), "uri": "test:///default", **more,
    }  # fmt: skip
    return internal_snapshot.run(params, check_mode)


@pytest.fixture
def disks(state_path: Path) -> list[Path]:
    return make_disks(state_path, SERVER_ID)


def make_disks(state_path: Path, server_id: str) -> list[Path]:
    folder = state_path / "instances" / server_id
    folder.mkdir(parents=True)
    made = [folder / name for name in ("disk", "disk.local", "disk.swap")]
    for path in made:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "4M"], check=True)
    write(made[0], "before")
    return made


def write(disk: Path, text: str) -> None:
    pattern = f"write -P {ord(text[0])} 1M 4k"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", pattern, disk], check=True, capture_output=True)


def holds(disk: Path, text: str) -> bool:
    pattern = f"read -P {ord(text[0])} 1M 4k"
    done = subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", pattern, disk], check=False, capture_output=True, text=True
    )
    return "Pattern verification failed" not in done.stdout


def count(disk: Path) -> int:
    return len(internal_snapshot.names_on(str(disk)))


def test_the_disks_become_what_they_were(state_path: Path, disks: list[Path]) -> None:
    assert bring(state_path, "present", check_mode=True)["changed"]
    assert [count(each) for each in disks] == [0, 0, 0]
    assert bring(state_path, "present")["changed"]
    assert not bring(state_path, "present")["changed"]
    assert [count(each) for each in disks] == [1, 1, 0]
    write(disks[0], "after")
    assert bring(state_path, "reverted", check_mode=True)["changed"]
    assert holds(disks[0], "after")
    bring(state_path, "reverted")
    assert holds(disks[0], "before")
    assert bring(state_path, "absent")["changed"]
    assert not bring(state_path, "absent")["changed"]
    assert [count(each) for each in disks] == [0, 0, 0]
    assert holds(disks[0], "before")


def test_a_revert_to_what_is_not_on_each_disk_touches_none(
    state_path: Path, disks: list[Path]
) -> None:
    bring(state_path, "present")
    name = internal_snapshot.names_on(str(disks[1]))[0]
    subprocess.run(["qemu-img", "snapshot", "-d", name, disks[1]], check=True)
    write(disks[0], "after")
    with pytest.raises(work.WorkError, match=r"it is not on .*disk\.local"):
        bring(state_path, "reverted")
    assert holds(disks[0], "after")
    # What is missing is taken, what is there stays.
    assert len(bring(state_path, "present")["diff"]) == 1


def test_what_could_be_taken_of_one_that_failed_goes_again(
    state_path: Path, disks: list[Path]
) -> None:
    # A header that can be read, of a file that QEMU can't write to.
    disks[1].chmod(0o444)
    subprocess.run(["chattr", "+i", disks[1]], check=False, capture_output=True)
    try:
        with pytest.raises(work.WorkError):
            bring(state_path, "present")
    finally:
        subprocess.run(["chattr", "-i", disks[1]], check=False, capture_output=True)
    assert [count(each) for each in disks] == [0, 0, 0]


def test_a_server_without_disks_has_none(state_path: Path) -> None:
    with pytest.raises(work.WorkError, match="has no disk on this host"):
        bring(state_path, "present")
    assert not bring(state_path, "absent")["changed"]


def test_another_clouds_domain_is_left_alone_and_one_that_is_on_is_not_reverted(
    state_path: Path,
) -> None:
    make_disks(state_path, FOREIGN_ID)
    with pytest.raises(work.WorkError, match="the mark of no cloud"):
        bring(state_path, "present", server_id=FOREIGN_ID)
    with pytest.raises(work.WorkError, match="its domain is on"):
        bring(state_path, "reverted", server_id=FOREIGN_ID, override=True)  # type: ignore[arg-type]
