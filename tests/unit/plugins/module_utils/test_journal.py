"""The journal: the last result of each operation, and never too many of them."""

import os
from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import journal, work


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    journal.write(str(tmp_path), "op-1", {"failed": False})
    journal.write(str(tmp_path), "op-1", {"failed": True})
    assert journal.read(str(tmp_path), "op-1") == {"failed": True}
    assert journal.read(str(tmp_path), "op-2") is None


def test_the_oldest_entries_go(tmp_path: Path) -> None:
    for number in range(5):
        journal.write(str(tmp_path), f"op-{number}", {})
        os.utime(journal.entry_path(str(tmp_path), f"op-{number}"), (number, number))
    journal.prune(str(tmp_path), keep=2)
    assert sorted(path.name for path in Path(journal.folder(str(tmp_path))).iterdir()) == [
        "op-3.json",
        "op-4.json",
    ]


def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(work.WorkError, match="Journal key"):
        journal.write(str(tmp_path), "../fence/x", {})
