"""`instance_directory.py`: a server's folder comes and goes as a whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import instance_directory, work
from tests.unit.plugins.module_utils.disk_files import SERVER_ID


def run(state_path: Path, state: str = "present", check_mode: bool = False, **more: str) -> dict:
    params = {"id": SERVER_ID, "state": state, "state_path": str(state_path), **more}
    return instance_directory.run(params, check_mode)


def test_present_makes_a_folder_that_qemu_may_enter(state_path: Path) -> None:
    assert run(state_path)["changed"]
    assert not run(state_path)["changed"]
    folder = state_path / "instances" / SERVER_ID
    for path in (folder, folder.parent, state_path):
        assert path.stat().st_mode & 0o777 == 0o711


def test_check_mode_changes_nothing(state_path: Path) -> None:
    assert run(state_path, check_mode=True)["changed"]
    assert not state_path.exists()
    run(state_path)
    assert run(state_path, "absent", check_mode=True)["changed"]
    assert (state_path / "instances" / SERVER_ID).is_dir()


def test_absent_removes_all_and_lists_it(state_path: Path) -> None:
    run(state_path)
    folder = state_path / "instances" / SERVER_ID
    (folder / "disk").write_bytes(b"x")
    (folder / "link").symlink_to("/etc")
    result = run(state_path, "absent")
    assert result["diff"][0]["before"] == f"{folder}/disk\n{folder}/link\n"
    assert not folder.exists()
    assert Path("/etc/hostname").exists()
    assert not run(state_path, "absent")["changed"]


def test_removal_that_was_cut_short_goes_on(state_path: Path) -> None:
    run(state_path)
    folder = state_path / "instances" / SERVER_ID
    (folder / "disk").write_bytes(b"x")
    folder.rename(f"{folder}_del")
    assert run(state_path, "absent")["changed"]
    assert list((state_path / "instances").iterdir()) == []


def test_folder_of_a_running_server_is_not_removed(
    state_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(state_path)
    monkeypatch.setattr(instance_directory, "PIDFILES", str(tmp_path))
    # Stands for QEMU: a process with the server's id on its command line, up once it has spoken.
    program = "print(flush=True); import time; time.sleep(60)"
    argv = [sys.executable, "-c", program, f"guest=novella-{SERVER_ID}"]
    running = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert running.stdout is not None
    try:
        running.stdout.readline()
        (tmp_path / f"novella-{SERVER_ID}.pid").write_text(str(running.pid))
        with pytest.raises(work.WorkError, match="its QEMU runs"):
            run(state_path, "absent")
        # With --check the step that ends it has not: a delete shows what it would do all the same.
        assert run(state_path, "absent", check_mode=True)["changed"]
    finally:
        running.kill()
        running.communicate()
    assert run(state_path, "absent")["changed"]


def test_id_that_is_no_uuid_is_refused(state_path: Path) -> None:
    for wrong in ("../x", "_base", ""):
        with pytest.raises(work.WorkError, match="is not a UUID"):
            run(state_path, "absent", id=wrong)


def test_undo_removes_what_was_made(state_path: Path) -> None:
    undo = run(state_path)["undo_args"]
    assert "undo_args" not in run(state_path)
    instance_directory.run(undo, False)
    assert not (state_path / "instances" / SERVER_ID).exists()
