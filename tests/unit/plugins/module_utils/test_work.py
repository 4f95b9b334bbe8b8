"""`work.py`: what every module's work function relies on."""

from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import work


def test_write_file_reports_a_change_once(tmp_path: Path) -> None:
    path = str(tmp_path / "libvirt.xml")
    assert work.write_file(path, "<domain/>", 0o600)
    assert not work.write_file(path, "<domain/>", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["libvirt.xml"]
    assert Path(path).stat().st_mode & 0o777 == 0o600


def test_write_file_corrects_a_mode(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    work.write_file(path, "same", 0o644)
    assert work.write_file(path, "same", 0o600)


def test_write_file_in_check_mode_makes_nothing(tmp_path: Path) -> None:
    assert work.write_file(str(tmp_path / "no" / "file"), "text", check_mode=True)
    assert list(tmp_path.iterdir()) == []


def test_write_file_into_a_missing_folder_is_a_work_error(tmp_path: Path) -> None:
    with pytest.raises(work.WorkError, match="Cannot write"):
        work.write_file(str(tmp_path / "no" / "file"), "text")


def test_run_command_gives_code_and_words_of_a_failure() -> None:
    with pytest.raises(work.WorkError, match="No such file") as caught:
        work.run_command(["ls", "/no/such/path"])
    assert caught.value.details["rc"] == 2


def test_run_command_names_a_program_that_is_not_installed() -> None:
    with pytest.raises(work.WorkError, match="Cannot run no-such-tool"):
        work.run_command(["no-such-tool"])


def test_run_command_feeds_input_and_keeps_the_environment_small() -> None:
    assert work.run_command(["cat"], input="tenant {{ 7*7 }}") == "tenant {{ 7*7 }}"
    assert "LC_ALL=C" in work.run_command(["env"])


def test_a_held_lock_is_refused_after_the_timeout(tmp_path: Path) -> None:
    path = str(tmp_path / "locks" / "server")
    with (
        work.locked(path),
        pytest.raises(work.WorkError, match="another process"),
        work.locked(path, timeout_s=0.1),
    ):
        pass
    with work.locked(path, timeout_s=0):
        pass


@pytest.mark.parametrize("value", ["../../etc", "", None, "5F2CBB63-4F7E-4D5E-9B5C-0F4D4B5D6A10"])
def test_check_uuid_refuses_what_is_not_a_uuid(value: object) -> None:
    with pytest.raises(work.WorkError, match="server id"):
        work.check_uuid(value, "server id")


def test_check_uuid_refuses_a_trailing_newline() -> None:
    with pytest.raises(work.WorkError):
        work.check_uuid("5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10\n", "server id")


def test_commands_run_side_by_side_and_answer_in_their_order(tmp_path: Path) -> None:
    # Each waits for the other: one after the other they would never end.
    one, two = tmp_path / "one", tmp_path / "two"
    wait = 'touch "$0"; until [ -e "$1" ]; do :; done; cat'
    commands = [
        (["sh", "-c", wait, str(one), str(two)], "first"),
        (["sh", "-c", wait, str(two), str(one)], "second"),
    ]
    assert work.run_commands(commands) == ["first", "second"]


def test_of_several_commands_the_first_that_fails_is_told_when_all_have_ended(
    tmp_path: Path,
) -> None:
    late = tmp_path / "late"
    commands = [
        (["sh", "-c", "echo why >&2; exit 3"], None),
        (["sh", "-c", 'sleep 0.2; touch "$0"', str(late)], None),
    ]
    with pytest.raises(work.WorkError, match="failed with code 3: why"):
        work.run_commands(commands)
    assert late.exists()
