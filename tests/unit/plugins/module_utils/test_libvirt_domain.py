"""`libvirt_domain.py` against libvirt itself (its test driver; QEMU's in the integration tests)."""

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    domain_power,
    domain_xml,
    fence,
    libvirt_domain,
    libvirt_domain_info,
    work,
)
from tests.unit.plugins.module_utils.disk_files import SERVER_ID
from tests.unit.plugins.module_utils.domain_files import URI, rendered, server

OTHER_CLOUD = "22222222-0000-0000-0000-000000000000"


@pytest.fixture
def params(connection: Any, state_path: Path) -> dict[str, Any]:
    return {
        "server_id": SERVER_ID,
        "state": "running",
        "xml": rendered(server()),
        "xml_path": str(state_path / "instances" / SERVER_ID / "libvirt.xml"),
        "state_path": str(state_path),
        "virt_type": "test",
        "uri": URI,
        "shutdown_timeout_s": 5,
    }


def run(params: dict[str, Any], check_mode: bool = False, **changes: Any) -> dict[str, Any]:
    return libvirt_domain.run(params | changes, check_mode)


def test_running_defines_starts_and_keeps_a_copy(params: dict[str, Any], connection: Any) -> None:
    result = run(params)
    domain = connection.lookupByUUIDString(SERVER_ID)
    assert result["changed"]
    assert result["domain"]["state"] == "running"
    assert domain.name() == f"novella-{SERVER_ID}"
    assert domain.isPersistent()
    copy = Path(params["xml_path"])
    assert copy.stat().st_mode & 0o777 == 0o600
    assert domain_xml.parse(copy.read_text(), "copy").findtext("uuid") == SERVER_ID


def test_second_run_changes_nothing(params: dict[str, Any]) -> None:
    run(params)
    result = run(params)
    assert not result["changed"]
    assert all(entry["before"] == entry["after"] for entry in result["diff"])
    assert "undo_args" not in result


def test_check_mode_shows_the_definition_and_makes_nothing(
    params: dict[str, Any], connection: Any, state_path: Path
) -> None:
    result = run(params, check_mode=True)
    assert result["changed"]
    assert "<uuid>" in result["diff"][0]["after"]
    assert connection.numOfDefinedDomains() == 0
    assert not state_path.exists()


def test_check_mode_does_not_stop_a_domain(params: dict[str, Any], connection: Any) -> None:
    run(params)
    result = run(params, check_mode=True, state="destroyed", xml=None)
    assert result["changed"]
    assert result["domain"]["state"] == "stopped"
    assert connection.lookupByUUIDString(SERVER_ID).isActive()


def test_changed_memory_is_redefined_and_asks_for_a_restart(params: dict[str, Any]) -> None:
    run(params)
    flavor = server()["flavor"] | {"memory_mb": 256}
    bigger = params | {"xml": rendered(server(flavor=flavor))}
    result = run(bigger)
    assert result["changed"]
    assert result["domain"]["differences"][0] == "memory: 131072 KiB, wanted 256 MiB"
    assert result["domain"]["restart_required"]
    again = run(bigger)
    assert not again["changed"]
    assert again["domain"]["restart_required"]
    assert not run(bigger, state="restarted")["domain"]["restart_required"]


def test_definition_edited_on_the_host_is_put_right(
    params: dict[str, Any], connection: Any
) -> None:
    run(params, state="defined")
    domain = connection.lookupByUUIDString(SERVER_ID)
    edited = domain.XMLDesc(0).replace("<on_crash>destroy", "<on_crash>restart")
    connection.defineXML(edited)
    result = run(params, state="defined")
    assert result["domain"]["differences"] == ["on_crash: restart, wanted destroy"]
    assert not run(params, state="defined")["changed"]


def test_machine_type_is_kept_when_the_image_asks_for_another(params: dict[str, Any]) -> None:
    def with_machine(machine: str) -> str:
        image = server()["image"] | {"properties": {"hw_machine_type": machine}}
        return rendered(server(image=image))

    run(params, xml=with_machine("pc-i440fx-5.0"))
    result = run(params, xml=with_machine("pc-i440fx-7.2"))
    assert result["domain"]["machine"] == "pc-i440fx-5.0"
    run(params, state="absent", xml=None, xml_path=None)
    # From the copy, then from the record beside the disks.
    assert run(params)["domain"]["machine"] == "pc-i440fx-5.0"
    run(params, state="absent", xml=None, xml_path=None)
    Path(params["xml_path"]).unlink()
    assert run(params)["domain"]["machine"] == "pc-i440fx-5.0"


def test_damaged_copy_is_replaced(params: dict[str, Any]) -> None:
    run(params)
    Path(params["xml_path"]).write_text("<domain>")
    assert run(params)["changed"]
    assert "novella:server" in Path(params["xml_path"]).read_text()


def test_lost_copy_is_written_again(params: dict[str, Any]) -> None:
    run(params)
    Path(params["xml_path"]).unlink()
    assert run(params)["changed"]
    assert Path(params["xml_path"]).exists()


def test_autostart_is_turned_off(params: dict[str, Any], connection: Any) -> None:
    run(params)
    domain = connection.lookupByUUIDString(SERVER_ID)
    domain.setAutostart(1)
    assert run(params)["changed"]
    assert not domain.autostart()


def test_paused_domain_is_resumed(params: dict[str, Any], connection: Any) -> None:
    run(params)
    connection.lookupByUUIDString(SERVER_ID).suspend()
    assert run(params)["domain"]["state"] == "running"


@pytest.mark.parametrize("state", ["stopped", "destroyed"])
def test_off_keeps_the_definition(params: dict[str, Any], connection: Any, state: str) -> None:
    run(params)
    assert run(params, state=state, xml=None)["domain"]["state"] == "stopped"
    assert not run(params, state=state, xml=None)["changed"]
    assert connection.lookupByUUIDString(SERVER_ID).isPersistent()
    assert Path(params["xml_path"]).exists()


@pytest.mark.parametrize("state", ["stopped", "destroyed", "absent"])
def test_missing_domain_is_no_error_where_nothing_should_run(
    params: dict[str, Any], state: str
) -> None:
    result = run(params, state=state, xml=None)
    assert not result["changed"]
    assert result["domain"]["state"] == "absent"


@pytest.mark.parametrize("state", ["running", "restarted", "defined"])
def test_missing_domain_without_xml_is_refused(params: dict[str, Any], state: str) -> None:
    with pytest.raises(work.WorkError, match="no domain on this host and no xml"):
        run(params, state=state, xml=None)


def test_absent_removes_domain_copy_and_record(params: dict[str, Any], connection: Any) -> None:
    run(params)
    assert run(params, state="absent", xml=None)["changed"]
    assert not run(params, state="absent", xml=None)["changed"]
    assert connection.numOfDefinedDomains() == 0
    assert list(Path(params["xml_path"]).parent.iterdir()) == []


@pytest.mark.parametrize("state", ["running", "stopped", "destroyed", "absent", "defined"])
def test_domain_of_another_cloud_is_not_touched(
    params: dict[str, Any], connection: Any, state: str
) -> None:
    run(params)
    with pytest.raises(work.WorkError, match="belongs to cloud 00000000") as caught:
        run(params, state=state, cloud_id=OTHER_CLOUD)
    assert "override" in caught.value.msg
    assert connection.lookupByUUIDString(SERVER_ID).isActive()


def test_domain_without_a_mark_is_not_touched(params: dict[str, Any], connection: Any) -> None:
    run(params, state="defined")
    domain = connection.lookupByUUIDString(SERVER_ID)
    text = domain.XMLDesc(0)
    start, end = text.index("<metadata"), text.index("</metadata>") + len("</metadata>")
    domain.undefine()
    connection.defineXML(text[:start] + text[end:])
    with pytest.raises(work.WorkError, match="bears no mark"):
        run(params, state="absent", xml=None)
    assert run(params, state="absent", xml=None, override=True)["changed"]


def test_an_override_by_hand_leaves_the_domain_its_owner(
    params: dict[str, Any], connection: Any, state_path: Path
) -> None:
    """Else the controller's next operation would find a foreign mark and be refused."""
    owned = {"cloud_id": OTHER_CLOUD, "xml": rendered(server(), cloud_id=OTHER_CLOUD)}
    run(params, **owned)
    assert not run(params, override=True)["changed"]
    bigger = rendered(server(flavor=server()["flavor"] | {"memory_mb": 256}))
    assert run(params, xml=bigger, override=True)["changed"]
    assert marks(params, connection) == {OTHER_CLOUD}
    # Removed by hand, it is still the controller's: by the copy, or by the fence.
    connection.lookupByUUIDString(SERVER_ID).destroy()
    connection.lookupByUUIDString(SERVER_ID).undefine()
    run(params, override=True)
    assert marks(params, connection) == {OTHER_CLOUD}
    run(params, state="absent", xml=None, override=True)
    (state_path / "fence").mkdir()
    record = json.dumps({"generation": 7, "owner": OTHER_CLOUD})
    (state_path / "fence" / f"{SERVER_ID}.json").write_text(record)
    run(params, override=True)
    assert marks(params, connection) == {OTHER_CLOUD}
    assert not run(params, **owned)["changed"]


def test_an_override_for_a_cloud_takes_over_what_no_cloud_owns(
    params: dict[str, Any], connection: Any
) -> None:
    run(params)
    taken = {"cloud_id": OTHER_CLOUD, "xml": rendered(server(), cloud_id=OTHER_CLOUD)}
    assert run(params, override=True, **taken)["changed"]
    assert marks(params, connection) == {OTHER_CLOUD}


def marks(params: dict[str, Any], connection: Any) -> set[str | None]:
    """The clouds that the definition and its copy name."""
    import libvirt

    texts = (
        connection.lookupByUUIDString(SERVER_ID).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
        Path(params["xml_path"]).read_text(),
    )
    return {domain_xml.marked_cloud(domain_xml.parse(text, "definition")) for text in texts}


def test_xml_of_another_server_or_cloud_is_refused(params: dict[str, Any]) -> None:
    other = rendered(server(id="11111111-0000-0000-0000-000000000000"))
    with pytest.raises(work.WorkError, match="its uuid is '11111111"):
        run(params, xml=other)
    with pytest.raises(work.WorkError, match="lacks the mark"):
        run(params, cloud_id=OTHER_CLOUD)
    with pytest.raises(work.WorkError, match="not well-formed"):
        run(params, xml="<domain>")


@pytest.mark.parametrize("path", ["/etc/libvirt.xml", "instances/{id}/other.xml"])
def test_copy_outside_the_servers_folder_is_refused(params: dict[str, Any], path: str) -> None:
    whole = path if path.startswith("/") else f"{params['state_path']}/{path.format(id=SERVER_ID)}"
    with pytest.raises(work.WorkError, match="Refused the copy"):
        run(params, xml_path=whole)


def test_failed_start_leaves_no_definition_behind(
    params: dict[str, Any], connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_arguments: Any) -> None:
        raise work.WorkError("no memory")

    monkeypatch.setattr(domain_power, "start", failing)
    with pytest.raises(work.WorkError, match="no memory"):
        run(params)
    assert connection.numOfDefinedDomains() == 0
    assert list(Path(params["xml_path"]).parent.iterdir()) == []


def test_failed_start_keeps_a_definition_of_before(
    params: dict[str, Any], connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(params, state="defined")

    def failing(*_arguments: Any) -> None:
        raise work.WorkError("no memory")

    monkeypatch.setattr(domain_power, "start", failing)
    with pytest.raises(work.WorkError, match="no memory"):
        run(params)
    assert connection.numOfDefinedDomains() == 1


def test_undo_takes_back_what_the_run_made(params: dict[str, Any], connection: Any) -> None:
    made = run(params)["undo_args"]
    libvirt_domain.run(made, False)
    assert connection.numOfDefinedDomains() == 0
    run(params, state="defined")
    started = run(params)["undo_args"]
    libvirt_domain.run(started, False)
    assert not connection.lookupByUUIDString(SERVER_ID).isActive()


def test_results_can_be_sent_as_json(params: dict[str, Any]) -> None:
    json.dumps(run(params))


def test_libvirt_that_is_away_is_explained() -> None:
    with pytest.raises(work.WorkError, match="is libvirtd"):
        libvirt_domain.run(
            {"server_id": SERVER_ID, "state": "stopped", "uri": "qemu+unix:///system?socket=/no"},
            False,
        )


def test_info_lists_domains_with_marks_and_devices(params: dict[str, Any]) -> None:
    run(params)
    everything = libvirt_domain_info.run({"uri": URI}, False)["domains"]
    assert {one["cloud_id"] for one in everything} == {None, fence.NO_CLOUD}
    found = libvirt_domain_info.run({"uri": URI, "server_id": SERVER_ID}, False)["domains"]
    assert [one["id"] for one in found] == [SERVER_ID]
    assert found[0]["memory_mb"] == 128
    assert found[0]["interfaces"] == [
        {
            "tap": "nvt9e0c4c528d1",
            "mac_address": "fa:16:3e:00:00:01",
            "bridge": "nvb7c1d9ab03f5",
        }
    ]
    none = libvirt_domain_info.run({"uri": URI, "cloud_id": OTHER_CLOUD}, False)["domains"]
    assert none == []
