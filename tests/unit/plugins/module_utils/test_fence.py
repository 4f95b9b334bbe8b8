"""The fence: an old run stops, a new one waits, and nobody touches another cloud's server."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import fence

SERVER = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
CLOUD = "3f0c8b1e-6f0a-4b7e-8a8e-1f7a2f1d9c55"
OTHER = "99999999-6f0a-4b7e-8a8e-1f7a2f1d9c55"


def by_controller(generation: int, owner: str = CLOUD) -> fence.Claim:
    return fence.Claim(SERVER, owner, generation)


def test_a_lower_generation_is_refused_and_says_which_one_stands(tmp_path: Path) -> None:
    fence.claim(str(tmp_path), by_controller(3))
    with pytest.raises(fence.FenceError, match=r"generation 2 has been\s+succeeded by 3"):
        fence.claim(str(tmp_path), by_controller(2))
    assert fence.read(str(tmp_path), SERVER) == fence.Record(CLOUD, 3)


def test_the_same_generation_may_run_again(tmp_path: Path) -> None:
    first = fence.claim(str(tmp_path), by_controller(3))
    assert fence.claim(str(tmp_path), by_controller(3)) == first


def test_an_old_run_finds_out_at_its_next_step_while_it_still_holds_the_lock(
    tmp_path: Path,
) -> None:
    mine = fence.claim(str(tmp_path), by_controller(1))
    with fence.held(str(tmp_path), SERVER, timeout_s=0):
        fence.look_again(str(tmp_path), SERVER, mine)
        fence.claim(str(tmp_path), by_controller(2))
        with pytest.raises(fence.FenceError, match="Stopped before the next step"):
            fence.look_again(str(tmp_path), SERVER, mine)
        with (
            pytest.raises(fence.FenceError, match="another run"),
            fence.held(str(tmp_path), SERVER, timeout_s=0.1),
        ):
            pass


def test_a_run_by_hand_is_refused_for_a_controllers_server_unless_told_so(tmp_path: Path) -> None:
    fence.claim(str(tmp_path), by_controller(3))
    with pytest.raises(fence.FenceError, match="server_override_owner"):
        fence.claim(str(tmp_path), fence.Claim(SERVER))
    standing = fence.claim(str(tmp_path), fence.Claim(SERVER, override=True))
    assert standing == fence.Record(CLOUD, 3)
    # The controller's next operation must find its own record.
    assert fence.claim(str(tmp_path), by_controller(4)) == fence.Record(CLOUD, 4)


def test_a_controller_may_take_over_what_was_made_by_hand(tmp_path: Path) -> None:
    assert fence.claim(str(tmp_path), fence.Claim(SERVER)) == fence.Record(fence.NO_CLOUD, None)
    assert fence.claim(str(tmp_path), by_controller(1)) == fence.Record(CLOUD, 1)


def test_another_cloud_is_refused_whatever_its_generation(tmp_path: Path) -> None:
    fence.claim(str(tmp_path), by_controller(3))
    with pytest.raises(fence.FenceError, match="owns it"):
        fence.claim(str(tmp_path), by_controller(9, OTHER))


def test_check_mode_refuses_alike_and_records_nothing(tmp_path: Path) -> None:
    fence.claim(str(tmp_path), by_controller(7), check_mode=True)
    assert list(tmp_path.iterdir()) == []
    fence.claim(str(tmp_path), by_controller(7))
    with pytest.raises(fence.FenceError):
        fence.claim(str(tmp_path), by_controller(6), check_mode=True)


def test_a_record_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    fence.claim(str(tmp_path), by_controller(7))
    Path(fence.record_path(str(tmp_path), SERVER)).write_text("{")
    with pytest.raises(fence.FenceError, match="can't be read"):
        fence.claim(str(tmp_path), by_controller(8))


def test_a_server_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="not a UUID"):
        fence.claim(str(tmp_path), fence.Claim("../../etc/passwd"))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small filesystem")
def test_a_full_disk_does_not_keep_a_known_server_from_being_claimed(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", str(tmp_path)], check=True)
    try:
        fence.claim(str(tmp_path), by_controller(1))
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "full").write_bytes(b"x" * 1024 * 1024)
        assert fence.claim(str(tmp_path), by_controller(2)) == fence.Record(CLOUD, 2)
        text = Path(fence.record_path(str(tmp_path), SERVER)).read_text()
        assert json.loads(text) == {"generation": 2, "owner": CLOUD}
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_server_fence_reports_the_record_and_changes_once(tmp_path: Path) -> None:
    params = {
        "state_path": str(tmp_path),
        "server_id": SERVER,
        "owner": CLOUD,
        "generation": 3,
        "override": False,
        "lock_timeout_s": 1,
    }
    first = fence.run(params, check_mode=False)
    assert (first["changed"], first["generation"]) == (True, 3)
    assert not fence.run(params, check_mode=False)["changed"]
