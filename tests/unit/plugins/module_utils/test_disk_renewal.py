"""`disk_renewal.py`: a new disk in the old one's place, and nothing lost before it is made."""

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    disk_renewal,
    libvirt_domain,
    qcow2_disk,
    work,
)
from tests.unit.plugins.module_utils.disk_files import SERVER_ID, base_of
from tests.unit.plugins.module_utils.domain_files import URI, rendered, server

RENEWAL, LATER = "0d1f7a3e-7a58-4f0e-8a3f-1c2d3e4f5a6b", "1d1f7a3e-7a58-4f0e-8a3f-1c2d3e4f5a6b"
OTHER_IMAGE = "1b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11"


@pytest.fixture
def renewal(disk_path: Path, image_file: Path, connection: Any) -> dict[str, Any]:
    """The parameters of a renewal of a server that runs, with a second disk."""
    state_path = str(disk_path.parents[2])
    common = {"state_path": state_path, "size_gb": 1}
    qcow2_disk.run({"path": str(disk_path), "base": base_of(image_file), **common}, False)
    qcow2_disk.run({"path": f"{disk_path}.local", "content": "blank", **common}, False)
    libvirt_domain.run(
        {
            "server_id": SERVER_ID,
            "xml": rendered(server()),
            "xml_path": str(disk_path.parent / "libvirt.xml"),
            "state_path": state_path,
            "virt_type": "test",
            "uri": URI,
        },
        False,
    )
    return {
        "path": str(disk_path),
        "renewal_id": RENEWAL,
        "base": base_of(image_file, image_id=OTHER_IMAGE),
        "gone_with_it": [f"{disk_path}.local", f"{disk_path}.swap"],
        "uri": URI,
        **common,
    }


def run(renewal: dict[str, Any], check_mode: bool = False, **changes: Any) -> dict[str, Any]:
    defaults = {
        name: spec["default"]
        for name, spec in disk_renewal.ARGUMENT_SPEC.items()
        if "default" in spec
    }
    return disk_renewal.run(defaults | renewal | changes, check_mode)


def domains(connection: Any) -> list[str]:
    return [domain.UUIDString() for domain in connection.listAllDomains()]


def test_the_old_disk_goes_with_its_domain_and_what_goes_with_it(
    renewal: dict[str, Any], disk_path: Path, connection: Any
) -> None:
    before = disk_path.stat().st_ino
    result = run(renewal)
    assert result["changed"]
    assert disk_path.stat().st_ino != before
    assert result["base"]["made"]
    assert qcow2_disk._backing_file(str(disk_path)) == result["base"]["path"]
    assert sorted(path.name for path in disk_path.parent.iterdir()) == [
        "disk", "disk.info", "renewal.info",
    ]  # fmt: skip
    assert qcow2_disk._recorded_formats(str(disk_path)) == {str(disk_path): "qcow2"}
    assert SERVER_ID not in domains(connection)


def test_what_is_not_named_keeps_its_content(renewal: dict[str, Any], disk_path: Path) -> None:
    local = disk_path.with_name("disk.local")
    before = local.stat().st_ino
    run(renewal, gone_with_it=[])
    assert local.stat().st_ino == before


def test_a_renewal_that_was_done_is_not_done_again(
    renewal: dict[str, Any], disk_path: Path
) -> None:
    run(renewal)
    before = disk_path.stat().st_ino
    assert not run(renewal)["changed"]
    assert disk_path.stat().st_ino == before
    assert run(renewal, renewal_id=LATER)["changed"]
    assert disk_path.stat().st_ino != before


def test_an_image_that_can_not_be_had_leaves_everything_as_it_was(
    renewal: dict[str, Any], disk_path: Path, connection: Any
) -> None:
    before = disk_path.stat().st_ino
    with pytest.raises(work.WorkError) as caught:
        run(renewal, base=renewal["base"] | {"checksum": "sha256:" + "0" * 64})
    assert not caught.value.details.get("old_data_gone")
    assert disk_path.stat().st_ino == before
    assert SERVER_ID in domains(connection)
    assert disk_path.with_name("disk.local").exists()


def test_a_failure_behind_the_exchange_says_so(
    renewal: dict[str, Any], disk_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> dict[str, str]:
        raise work.WorkError("no space is left")

    before = disk_path.stat().st_ino
    monkeypatch.setattr(disk_renewal, "_removed", full)
    with pytest.raises(work.WorkError) as caught:
        run(renewal)
    assert caught.value.details["old_data_gone"]
    assert disk_path.stat().st_ino != before


def test_what_a_killed_run_left_is_made_anew(
    renewal: dict[str, Any], disk_path: Path, image_file: Path
) -> None:
    """Of another image it would be refused for its base."""
    left = {"path": f"{disk_path}.renewed", "base": base_of(image_file), "size_gb": 1}
    qcow2_disk.run({**left, "state_path": renewal["state_path"]}, False)
    assert run(renewal)["changed"]


def test_check_mode_tells_all_and_changes_nothing(
    renewal: dict[str, Any], disk_path: Path, connection: Any
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in disk_path.parent.iterdir()}
    result = run(renewal, check_mode=True)
    assert result["changed"]
    assert any(str(disk_path) in entry["before_header"] for entry in result["diff"])
    assert {path.name: path.stat().st_mtime_ns for path in disk_path.parent.iterdir()} == before
    assert SERVER_ID in domains(connection)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a11/disk"]
)
def test_only_disks_of_the_server_go_with_it(renewal: dict[str, Any], path: str) -> None:
    with pytest.raises(work.WorkError, match="Refused"):
        run(renewal, gone_with_it=[path])
