"""`config_drive.py`, read back with isoinfo."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import config_drive, work
from tests.unit.plugins.module_utils.disk_files import SERVER_ID
from tests.unit.plugins.module_utils.domain_files import server

USER_DATA = b"#!/bin/sh\necho canary-data \xff"
SECRET = {"user_data": base64.b64encode(USER_DATA).decode(), "admin_pass": "canary-pass"}


@pytest.fixture
def drive(state_path: Path) -> Path:
    return state_path / "instances" / SERVER_ID / "disk.config"


def run(drive: Path, check_mode: bool = False, **changes: Any) -> dict[str, Any]:
    params = {
        "path": str(drive),
        "state": "present",
        "server": server(),
        "secret": SECRET,
        "state_path": str(drive.parents[2]),
    }
    return config_drive.run(params | changes, check_mode)


def read(drive: Path, path: str) -> bytes:
    argv = ["isoinfo", "-R", "-i", str(drive), "-x", f"/{path}"]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def test_drive_has_its_label_and_documents(drive: Path) -> None:
    assert run(drive)["changed"]
    argv = ["isoinfo", "-d", "-i", str(drive)]
    header = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert "Volume id: config-2\n" in header
    meta = json.loads(read(drive, "openstack/latest/meta_data.json"))
    assert (meta["uuid"], meta["admin_pass"]) == (SERVER_ID, "canary-pass")
    assert read(drive, "openstack/latest/user_data") == USER_DATA
    assert json.loads(read(drive, "ec2/latest/meta-data.json"))["hostname"] == "web1"
    assert drive.stat().st_mode & 0o777 == 0o600


def test_second_run_changes_nothing(drive: Path) -> None:
    run(drive)
    before = drive.stat().st_ino
    assert not run(drive)["changed"]
    assert drive.stat().st_ino == before


def test_one_that_is_there_is_left_alone_if_only_a_missing_one_is_wanted(drive: Path) -> None:
    without_password = {"secret": {}, "only_if_missing": True}
    assert run(drive, **without_password)["changed"]
    run(drive)
    assert not run(drive, **without_password)["changed"]
    assert run(drive, secret={})["changed"]


@pytest.mark.parametrize(
    "changes",
    [{"server": server(name="other")}, {"secret": {"admin_pass": "new"}}, {"secret": None}],
)
def test_changed_documents_are_written(drive: Path, changes: dict[str, Any]) -> None:
    run(drive)
    assert run(drive, check_mode=True, **changes)["changed"]
    assert not run(drive)["changed"]
    assert run(drive, **changes)["changed"]
    assert not run(drive, **changes)["changed"]


def test_lost_sum_means_the_drive_is_made_again(drive: Path) -> None:
    run(drive)
    drive.with_name("disk.config.sum").unlink()
    assert run(drive)["changed"]


def test_check_mode_makes_nothing(drive: Path, state_path: Path) -> None:
    assert run(drive, check_mode=True)["changed"]
    assert not state_path.exists()


def test_secrets_are_in_no_result_and_no_file_but_the_drive(drive: Path) -> None:
    shown = json.dumps(run(drive))
    assert "canary" not in shown
    assert SECRET["user_data"] not in shown
    assert sorted(path.name for path in drive.parent.iterdir()) == [
        "disk.config",
        "disk.config.sum",
    ]
    assert "canary" not in drive.with_name("disk.config.sum").read_text()


def test_tenant_text_is_on_the_drive_as_it_is(drive: Path) -> None:
    name = "{{ 7*7 }} '\"<&>\n日本"
    run(drive, server=server(name=name))
    assert json.loads(read(drive, "openstack/latest/meta_data.json"))["name"] == name


def test_absent_removes_drive_and_sum(drive: Path) -> None:
    undo = run(drive)["undo_args"]
    assert config_drive.run(undo, False)["changed"]
    assert list(drive.parent.iterdir()) == []
    assert not run(drive, state="absent", server=None)["changed"]


def test_documents_of_another_server_are_refused(drive: Path) -> None:
    other = server(id="11111111-0000-0000-0000-000000000000")
    with pytest.raises(work.WorkError, match="documents are those of server 11111111"):
        run(drive, server=other)


def test_another_name_is_refused(drive: Path) -> None:
    with pytest.raises(work.WorkError, match=r"must be disk\.config"):
        run(drive.with_name("disk"))
