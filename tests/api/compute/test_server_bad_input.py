"""Creates that are refused: each with a clear error, and nothing left behind."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Flavor, Image, Operation, Port, Server, ServerAction
from tests.api.compute.conftest import SERVERS

LATEST = {"OpenStack-API-Version": "compute latest"}
NOWHERE = "11111111-2222-3333-4444-555555555555"
Body = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _nothing_is_left(services: Services) -> Any:
    yield
    with services.db.read() as session:
        for model in (Server, ServerAction, Operation):
            assert session.query(model).count() == 0
        assert session.query(Port).filter(Port.device_id != "").count() == 0


@pytest.mark.parametrize(
    "raw", [b"{", b"", b"[]", b"null", b'"x"', b'{"server": []}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_body_that_is_no_server_is_400(alice: Any, raw: bytes) -> None:
    answer = alice.post(SERVERS, data=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json["badRequest"]["code"] == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": " "},
        {"name": "new\nline"},
        {"name": "tab\there"},
        {"name": "nul\x00"},
        {"name": "x" * 256},
        {"name": 7},
        {"name": ["{{ 7*7 }}"]},
        {"unknown": 1},
        {"imageRef": 7},
        {"imageRef": "../../etc/passwd"},
        {"flavorRef": None, "flavorRef2": "1"},
        {"networks": [{"uuid": "x", "extra": 1}]},
        {"networks": [{"port": "not-a-uuid"}]},
        {"networks": [{"uuid": "x", "fixed_ip": "999.1.1.1"}]},
        {"networks": "auto"},
        {"networks": [{}]},
        {"metadata": {"k": 1}},
        {"metadata": {"k": "x" * 256}},
        {"metadata": {"bad/key": "x"}},
        {"metadata": {"": "x"}},
        {"min_count": 0},
        {"min_count": "x"},
        {"min_count": 3, "max_count": 2},
        {"max_count": 101},
        {"config_drive": "maybe"},
        {"user_data": "!!! not base64 !!!"},
        {"user_data": 7},
        {"user_data": base64.b64encode(b"x" * 60_000).decode()},
        {"security_groups": [{"name": "x", "id": 1}]},
        {"key_name": "x\ny"},
        {"accessIPv4": "::1"},
        {"accessIPv6": "192.0.2.1"},
        {"OS-DCF:diskConfig": "SOMETIMES"},
        {"availability_zone": "a:b:c:d"},
        {"description": "from 2.19 only"},
        {"hostname": "from-2-90-only"},
        {"adminPass": "line\nbreak"},
    ],
)
def test_a_bad_field_is_refused(alice: Any, a_server: Body, changes: dict[str, Any]) -> None:
    answer = alice.post(SERVERS, json=a_server(**changes))
    assert answer.status_code == 400, answer.json
    assert answer.json["badRequest"]["message"]


def test_half_a_surrogate_is_no_text(alice: Any, a_server: Body) -> None:
    answer = alice.post(SERVERS, json=a_server(metadata={"k": "\ud800"}))
    assert answer.status_code == 400


def test_ten_megabytes_of_user_data_are_413(alice: Any, a_server: Body) -> None:
    body = a_server(user_data=base64.b64encode(b"x" * 10_000_000).decode())
    answer = alice.post(SERVERS, json=body)
    assert answer.status_code == 413
    assert answer.json["overLimit"]["code"] == 413


def test_what_is_not_there_is_named(alice: Any, a_server: Body) -> None:
    for changes in (
        {"imageRef": NOWHERE},
        {"flavorRef": "none"},
        {"key_name": "none"},
        {"networks": [{"uuid": NOWHERE}]},
        {"networks": [{"port": NOWHERE}]},
        {"security_groups": [{"name": "none"}]},
        {"availability_zone": "mars"},
    ):
        answer = alice.post(SERVERS, json=a_server(**changes))
        assert answer.status_code == 400, changes
        (value,) = changes.values()
        name = value if isinstance(value, str) else next(iter(value[0].values()))
        assert name in answer.json["badRequest"]["message"]


def test_another_projects_image_and_port_are_not_there(
    alice: Any, bob: Any, a_server: Body, image: Image, services: Services
) -> None:
    with services.db.write() as session:
        private = session.get_one(Image, image.id)
        private.visibility, private.project_id = "private", bob.project_id
    answer = alice.post(SERVERS, json=a_server())
    assert answer.status_code == 400
    assert "Can not find requested image" in answer.json["badRequest"]["message"]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("virtual_size_bytes", (1 << 30) + 1, "disk is too small"),
        ("min_disk_gb", 2, "disk is smaller than the minimum"),
        ("min_memory_mb", 256, "memory is too small"),
        ("status", "queued", "is not active"),
    ],
)
def test_a_flavor_smaller_than_the_image_is_refused(
    alice: Any,
    a_server: Body,
    image: Image,
    services: Services,
    column: str,
    value: Any,
    words: str,
) -> None:
    with services.db.write() as session:
        setattr(session.get_one(Image, image.id), column, value)
    answer = alice.post(SERVERS, json=a_server())
    assert answer.status_code == 400
    assert words in answer.json["badRequest"]["message"]


def test_a_flavor_without_a_disk_is_for_admins(
    alice: Any, a_server: Body, flavor: Flavor, services: Services
) -> None:
    with services.db.write() as session:
        session.query(Flavor).update({"disk_gb": 0})
    assert alice.post(SERVERS, json=a_server()).status_code == 403


def test_one_port_can_not_serve_several_servers(alice: Any, a_server: Body) -> None:
    body = a_server(networks=[{"port": NOWHERE}], min_count=2)
    answer = alice.post(SERVERS, json=body)
    assert answer.status_code == 400
    assert "single configured port ID" in answer.json["badRequest"]["message"]
    named = a_server(hostname="one", min_count=2)
    assert alice.post(SERVERS, json=named, headers=LATEST).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"trusted_image_certificates": ["0b5d2c72-12cc-4ba6-a8d7-3ff5cc1d8cb8"]},
        {"imageRef": "", "block_device_mapping_v2": [
            {"uuid": NOWHERE, "source_type": "volume", "destination_type": "volume",
             "boot_index": 0}]},
        {"block_device_mapping_v2": [
            {"source_type": "blank", "destination_type": "local", "guest_format": "swap",
             "volume_size": 1, "boot_index": -1}]},
        {"block_device_mapping_v2": [
            {"uuid": NOWHERE, "source_type": "image", "destination_type": "volume",
             "volume_size": 1, "boot_index": 0}]},
    ],
)  # fmt: skip
def test_what_is_not_built_is_501(alice: Any, a_server: Body, changes: dict[str, Any]) -> None:
    answer = alice.post(SERVERS, json=a_server(**changes), headers=LATEST)
    assert answer.status_code == 501, answer.json
    assert answer.json["notImplemented"]["code"] == 501


def test_a_block_device_of_another_image_is_400(alice: Any, a_server: Body) -> None:
    device = {"uuid": NOWHERE, "source_type": "image", "destination_type": "local"}
    answer = alice.post(SERVERS, json=a_server(block_device_mapping_v2=[device]), headers=LATEST)
    assert answer.status_code == 400


def test_too_much_metadata_is_over_quota(alice: Any, a_server: Body) -> None:
    metadata = {f"k{number}": "v" for number in range(129)}
    answer = alice.post(SERVERS, json=a_server(metadata=metadata))
    assert answer.status_code == 403
    assert "metadata items exceeds 128" in answer.json["forbidden"]["message"]
