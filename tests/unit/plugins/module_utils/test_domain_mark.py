"""`domain_mark.py` and `host_domains_info.py` against libvirt itself (its test driver)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    domain_mark,
    domain_xml,
    fence,
    guest_metadata,
    host_domains_info,
    libvirt_connection,
    libvirt_domain,
    names,
    saved_definition,
    work,
)
from tests.unit.plugins.module_utils.disk_files import SERVER_ID
from tests.unit.plugins.module_utils.domain_files import URI, rendered, server

CLOUD = "11111111-0000-4000-8000-000000000000"
OTHER_CLOUD = "22222222-0000-4000-8000-000000000000"


@pytest.fixture
def domain(connection: Any, state_path: Path) -> Iterator[Any]:
    """A domain that runs, made by hand."""
    libvirt_domain.run(
        {
            "server_id": SERVER_ID, "state": "running", "xml": rendered(server()),
            "xml_path": str(_copy(state_path)), "state_path": str(state_path),
            "virt_type": "test", "uri": URI,
        },
        check_mode=False,
    )  # fmt: skip
    fence.claim(str(state_path), fence.Claim(SERVER_ID))
    domain = connection.lookupByUUIDString(SERVER_ID)
    yield domain
    domain.destroy()
    domain.undefine()


def _copy(state_path: Path) -> Path:
    return state_path / "instances" / SERVER_ID / "libvirt.xml"


def mark(state_path: Path, *, check_mode: bool = False, **params: Any) -> dict[str, Any]:
    known = {
        "server_id": SERVER_ID, "cloud_id": CLOUD, "from_clouds": [fence.NO_CLOUD],
        "name": "web <1>", "flavor": "m1.tiny", "project_id": "p1", "state_path": str(state_path),
        "uri": URI, "if_missing": "fail",
    }  # fmt: skip
    return domain_mark.run(known | params, check_mode)


def everything(domain: Any, state_path: Path) -> list[str]:
    forms = [libvirt_connection.definition(domain, live=live) for live in (False, True)]
    return [
        *(domain_xml.render(form) for form in forms),
        _copy(state_path).read_text(),
        str(fence.read(str(state_path), SERVER_ID)),
    ]


def test_a_domain_has_the_mark_in_all_its_forms_and_runs_on(domain: Any, state_path: Path) -> None:
    was = domain.ID()
    assert mark(state_path)["changed"]
    for live in (False, True):
        root = libvirt_connection.definition(domain, live=live)
        assert domain_xml.marked_cloud(root) == CLOUD
        assert domain_xml.mark_texts(root) == {
            "name": "web <1>", "flavor": "m1.tiny", "project": "p1",
        }  # fmt: skip
    assert domain_xml.marked_cloud(domain_xml.parse(_copy(state_path).read_text(), "")) == CLOUD
    assert fence.read(str(state_path), SERVER_ID) == fence.Record(CLOUD, None)
    assert domain.ID() == was
    assert not mark(state_path)["changed"]


def test_a_rescued_server_keeps_its_new_name_when_its_definition_is_put_back(
    domain: Any, state_path: Path
) -> None:
    saved = _copy(state_path).with_name(saved_definition.FILE_NAME)
    saved.write_text(_copy(state_path).read_text())
    assert mark(state_path, name="web2")["changed"]
    assert domain_xml.mark_texts(domain_xml.parse(saved.read_text(), ""))["name"] == "web2"


def test_a_server_without_a_domain_may_be_left_at_that(connection: Any, state_path: Path) -> None:
    assert mark(state_path, if_missing="leave") == {"changed": False, "diff": []}


def test_what_is_given_back_is_as_it_was(domain: Any, state_path: Path) -> None:
    texts = domain_xml.mark_texts(libvirt_connection.definition(domain))
    before = everything(domain, state_path)
    mark(state_path)
    assert everything(domain, state_path) != before
    mark(
        state_path, cloud_id=fence.NO_CLOUD, from_clouds=[CLOUD], name=texts["name"],
        flavor=texts["flavor"], project_id=texts["project"],
    )  # fmt: skip
    assert everything(domain, state_path) == before


def test_the_copy_is_what_a_play_of_the_cloud_would_write(domain: Any, state_path: Path) -> None:
    mark(state_path, name="web2", flavor="m1.tiny", project_id="p2")
    wanted = rendered(
        server(name="web2", project_id="p2", flavor={**server()["flavor"], "name": "m1.tiny"})
    ).replace(fence.NO_CLOUD, CLOUD)
    result = libvirt_domain.run(
        {
            "server_id": SERVER_ID, "cloud_id": CLOUD, "state": "defined", "xml": wanted,
            "xml_path": str(_copy(state_path)), "state_path": str(state_path),
            "virt_type": "test", "uri": URI,
        },
        check_mode=True,
    )  # fmt: skip
    assert result["domain"]["differences"] == []
    assert not result["changed"], result["diff"]


def test_check_mode_shows_the_marks_and_changes_nothing(domain: Any, state_path: Path) -> None:
    before = everything(domain, state_path)
    result = mark(state_path, check_mode=True)
    assert result["changed"]
    shown = "".join(each["after"] for each in result["diff"])
    assert f"cloud: {CLOUD}" in shown
    assert everything(domain, state_path) == before


def test_another_clouds_domain_is_refused(domain: Any, state_path: Path) -> None:
    mark(state_path)
    with pytest.raises(work.WorkError, match=f"it belongs to cloud {CLOUD}"):
        mark(state_path, cloud_id=OTHER_CLOUD)
    assert domain_xml.marked_cloud(libvirt_connection.definition(domain)) == CLOUD


def test_a_server_without_a_domain_is_refused(connection: Any, state_path: Path) -> None:
    with pytest.raises(work.WorkError, match="it has no domain on this host"):
        mark(state_path)


def test_a_domain_is_described_with_what_taking_it_over_needs(
    domain: Any, state_path: Path
) -> None:
    made = server()
    secrets = {"user_data": "aGVsbG8gd29ybGQ="}
    for port in made["ports"]:
        folder = state_path / "networks" / port["network_id"]
        (folder / "dhcp-hosts").mkdir(parents=True, exist_ok=True)
        (folder / "metadata").mkdir(exist_ok=True)
        line = f"{port['mac_address']},192.0.2.100,web1\n"
        (folder / "dhcp-hosts" / port["id"]).write_text(line)
        guest_metadata.run(
            {
                "server": made | {"project_id": "p1"}, "network_id": port["network_id"],
                "ips": ["192.0.2.100"], "state": "present", "secrets": secrets,
                "state_path": str(state_path),
            },
            check_mode=False,
        )  # fmt: skip
    said = host_domains_info.run({"uri": URI, "state_path": str(state_path)}, check_mode=False)
    (found,) = [each for each in said["found"]["domains"] if each["id"] == SERVER_ID]
    assert (found["state"], found["cloud_id"]) == ("running", fence.NO_CLOUD)
    assert found["fence"] == {"owner": fence.NO_CLOUD, "generation": None}
    (card,) = found["interfaces"]
    assert card["tap"] == names.tap_name(made["ports"][0]["id"])
    assert card["port"]["port_id"] == made["ports"][0]["id"]
    assert (found["guest"]["hostname"], found["guest"]["project_id"]) == (made["hostname"], "p1")
    # What it was given is a secret; whether it was the same can be said all the same.
    assert len(found["guest"]["user_data_sha256"]) == 64
    assert "hello world" not in json.dumps(said)
    assert secrets["user_data"] not in json.dumps(said)
