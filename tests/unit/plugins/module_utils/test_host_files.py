"""`host_files.py`: folders and files are there as asked for, and a second run changes nothing."""

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import host_files, work


def run(check_mode: bool = False, **params: Any) -> dict[str, Any]:
    return host_files.run(params, check_mode)


def example(top: Path) -> dict[str, Any]:
    return {
        "folders": [{"path": str(top), "mode": "0711"}, {"path": f"{top}/a/b", "mode": "0700"}],
        "files": [{"path": f"{top}/a/text", "content": "{{ 7*7 }}\n", "mode": "0640"}],
        "absent": [f"{top}/*.old"],
    }


def test_all_is_made_once(tmp_path: Path) -> None:
    top = tmp_path / "top"
    made = run(**example(top))
    assert made["paths"] == [str(top), f"{top}/a/b", f"{top}/a/text"]
    assert [oct(path.stat().st_mode & 0o777) for path in (top, top / "a/b")] == ["0o711", "0o700"]
    assert (top / "a/text").read_text() == "{{ 7*7 }}\n"
    assert (top / "a/text").stat().st_mode & 0o777 == 0o640
    assert run(**example(top)) == {"changed": False, "paths": [], "diff": []}


def test_check_mode_shows_all_and_makes_nothing(tmp_path: Path) -> None:
    top = tmp_path / "top"
    shown = run(check_mode=True, **example(top))
    assert len(shown["paths"]) == 3
    assert "{{ 7*7 }}" in shown["diff"][2]["after"]
    assert not top.exists()


@pytest.mark.parametrize("owner", [None, 65534])
def test_what_was_altered_is_put_right(tmp_path: Path, owner: int | None) -> None:
    if owner and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    run(**example(tmp_path))
    text = tmp_path / "a/text"
    if owner:
        os.chown(text, owner, owner)
    else:
        text.chmod(0o666)
    assert run(**example(tmp_path))["paths"] == [str(text)]
    assert (text.stat().st_uid, text.stat().st_mode & 0o777) == (os.geteuid(), 0o640)


def test_a_link_in_a_files_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("theirs")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/text").symlink_to(other)
    run(**example(tmp_path))
    assert other.read_text() == "theirs"
    assert not (tmp_path / "a/text").is_symlink()


def test_a_link_to_a_folder_is_a_folder(tmp_path: Path) -> None:
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.mkdir(mode=0o711)
    disk.chmod(0o711)
    link.symlink_to(disk)
    assert not run(folders=[{"path": str(link), "mode": "0711"}])["changed"]


def test_what_must_be_absent_goes_and_folders_stay(tmp_path: Path) -> None:
    (tmp_path / "dangling.old").symlink_to("nowhere")
    (tmp_path / "folder.old").mkdir()
    (tmp_path / "kept").write_text("")
    assert run(absent=[f"{tmp_path}/*.old"])["paths"] == [f"{tmp_path}/dangling.old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.old", "kept"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"folders": [{"path": "{}/kept", "mode": "0755"}]}, "something else has that name"),
        ({"files": [{"path": "{}", "content": "", "mode": "0644"}]}, "a folder has that name"),
        ({"folders": [{"path": "{}", "mode": "rwx"}]}, "not octal"),
    ],
)
def test_refusals_say_why(tmp_path: Path, params: dict[str, Any], said: str) -> None:
    (tmp_path / "kept").write_text("kept")
    for entries in params.values():
        for entry in entries:
            entry["path"] = entry["path"].format(tmp_path)
    with pytest.raises(work.WorkError, match=said):
        run(**params)
    assert (tmp_path / "kept").read_text() == "kept"
