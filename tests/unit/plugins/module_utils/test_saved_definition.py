"""`saved_definition.py` against libvirt's test driver."""

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    libvirt_domain,
    saved_definition,
    work,
)
from tests.unit.plugins.module_utils.disk_files import SERVER_ID
from tests.unit.plugins.module_utils.domain_files import NO_CLOUD, URI, rendered, server


@pytest.fixture
def params(connection: Any, state_path: Path) -> dict[str, Any]:
    """The parameters for a server that runs."""
    define(state_path, server())
    return {
        "server_id": SERVER_ID, "state": "saved", "cloud_id": NO_CLOUD, "override": False,
        "state_path": str(state_path), "uri": URI,
    }  # fmt: skip


def define(state_path: Path, a_server: dict[str, Any], **more: Any) -> dict[str, Any]:
    folder = state_path / "instances" / SERVER_ID
    return libvirt_domain.run(
        {
            "server_id": SERVER_ID, "xml": rendered(a_server), "state_path": str(state_path),
            "xml_path": str(folder / "libvirt.xml"), "virt_type": "test", "uri": URI, **more,
        },
        False,
    )  # fmt: skip


def definition(connection: Any) -> str:
    return str(connection.lookupByUUIDString(SERVER_ID).XMLDesc(2))


def test_what_was_kept_comes_back_exactly(
    params: dict[str, Any], connection: Any, state_path: Path
) -> None:
    before = definition(connection)
    assert saved_definition.run(params, False)["changed"]
    kept = state_path / "instances" / SERVER_ID / "unrescue.xml"
    assert kept.stat().st_mode & 0o777 == 0o600
    define(state_path, server(name="another"))
    assert not saved_definition.run(params, False)["changed"]
    restore = params | {"state": "restored"}
    assert saved_definition.run(restore, True)["changed"]
    assert definition(connection) != before
    assert saved_definition.run(restore, False)["changed"]
    assert definition(connection) == before
    assert not connection.lookupByUUIDString(SERVER_ID).isActive()
    assert not kept.exists()
    assert not saved_definition.run(restore, False)["changed"]


def test_a_server_without_a_domain_has_nothing_to_keep(
    params: dict[str, Any], connection: Any
) -> None:
    domain = connection.lookupByUUIDString(SERVER_ID)
    domain.destroy()
    domain.undefine()
    assert not saved_definition.run(params, False)["changed"]


def test_a_domain_of_another_cloud_is_left_alone(params: dict[str, Any]) -> None:
    other = params | {"cloud_id": "22222222-0000-0000-0000-000000000000"}
    with pytest.raises(work.WorkError, match="Refused"):
        saved_definition.run(other, False)
    assert saved_definition.run(other | {"override": True}, False)["changed"]


def test_a_domain_that_runs_with_another_definition_is_started_again_if_so_told(
    params: dict[str, Any], connection: Any, state_path: Path
) -> None:
    first = connection.lookupByUUIDString(SERVER_ID).ID()
    other = server(flavor={**server()["flavor"], "memory_mb": 64})
    define(state_path, other)
    assert connection.lookupByUUIDString(SERVER_ID).ID() == first
    assert define(state_path, other, restart_to_fit=True)["changed"]
    assert connection.lookupByUUIDString(SERVER_ID).ID() != first
    assert not define(state_path, other, restart_to_fit=True)["changed"]
