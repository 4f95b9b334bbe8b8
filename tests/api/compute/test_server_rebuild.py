"""POST /servers/{id}/action with rebuild: what it takes by microversion, and what it refuses."""

import base64
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.core.sealing import unseal
from controller.db.models import Image, Keypair, Server
from controller.runner.simulated import SimulatedExecutor
from tests.api.compute.conftest import SERVERS, at

USER_DATA = base64.b64encode(b"#!/bin/sh\n").decode()


@pytest.fixture
def other_image(services: Services, admin: Any) -> Image:
    with services.db.write() as session:
        row = Image(
            project_id=admin.project_id, name="other", status="active", visibility="public",
            disk_format="qcow2", container_format="bare", size_bytes=1, virtual_size_bytes=1,
            sha256="1" * 64,
        )  # fmt: skip
        session.add(row)
    return row


def rebuild(caller: Any, server: str, version: str = "2.96", **asked: Any) -> Any:
    return caller.post(f"{SERVERS}/{server}/action", json={"rebuild": asked}, headers=at(version))


def test_all_that_may_change_does(
    alice: Any, server: str, other_image: Image, services: Services, work: Any
) -> None:
    with services.db.write() as session:
        session.add(
            Keypair(
                user_id=alice.user_id, name="k", type="ssh", public_key="ssh-x A", fingerprint="f"
            )
        )
    answer = rebuild(
        alice, server, imageRef=other_image.id, name="new", description="d", key_name="k",
        user_data=USER_DATA, metadata={"a": "b"}, adminPass="s3cret", hostname="new.example",
        accessIPv4="192.0.2.7", preserve_ephemeral=True,
    )  # fmt: skip
    assert answer.status_code == 202, answer.json
    shown = answer.json["server"]
    assert answer.headers["Location"].endswith(f"/servers/{server}")
    assert (shown["status"], shown["adminPass"]) == ("REBUILD", "s3cret")
    assert (shown["key_name"], shown["user_data"]) == ("k", USER_DATA)
    work()
    shown = alice.get(f"{SERVERS}/{server}", headers=at("2.96")).json["server"]
    assert (shown["status"], shown["image"]["id"]) == ("ACTIVE", other_image.id)
    assert (shown["name"], shown["description"], shown["metadata"]) == ("new", "d", {"a": "b"})
    assert (shown["accessIPv4"], shown["key_name"]) == ("192.0.2.7", "k")
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "new.example"
    (action, _) = alice.get(f"{SERVERS}/{server}/os-instance-actions").json["instanceActions"]
    assert action["action"] == "rebuild"


def test_what_is_not_named_stays_and_null_takes_it_away(
    alice: Any, server: str, image: Image, services: Services, work: Any
) -> None:
    def row() -> Server:
        with services.db.read() as session:
            return session.get_one(Server, server)

    with services.db.write() as session:
        session.get_one(Server, server).key_name = "old"
    assert rebuild(alice, server, imageRef=image.id, user_data=USER_DATA).status_code == 202
    work()
    assert row().key_name == "old"
    assert rebuild(alice, server, imageRef=image.id).status_code == 202
    work()
    assert unseal(services.settings, row().sealed_user_data) == {"user_data": USER_DATA}
    gone = rebuild(alice, server, imageRef=image.id, user_data=None, key_name=None)
    assert (gone.json["server"]["key_name"], gone.json["server"]["user_data"]) == (None, None)
    assert (row().key_name, row().public_key, row().sealed_user_data) == (None, None, None)


@pytest.mark.parametrize(
    ("field", "value", "last_without"),
    [("description", "d", "2.18"), ("key_name", None, "2.53"), ("user_data", None, "2.56"),
     ("hostname", "h", "2.89"), ("trusted_image_certificates", None, "2.62")],
)  # fmt: skip
def test_fields_come_with_their_microversion(
    alice: Any, server: str, image: Image, field: str, value: Any, last_without: str
) -> None:
    major, minor = last_without.split(".")
    asked = {"imageRef": image.id, field: value}
    assert rebuild(alice, server, last_without, **asked).status_code == 400
    assert rebuild(alice, server, f"{major}.{int(minor) + 1}", **asked).status_code == 202


def test_old_answers_are_short(alice: Any, server: str, image: Image) -> None:
    shown = rebuild(alice, server, "2.1", imageRef=image.id).json["server"]
    assert not {"key_name", "user_data", "config_drive", "OS-EXT-STS:task_state"} & shown.keys()
    assert shown["id"] == server


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"imageRef": "no-uuid"}, 400),
        ({"imageRef": "0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11"}, 400),
        ({"imageRef": "IMAGE", "key_name": "not-mine"}, 400),
        ({"imageRef": "IMAGE", "user_data": "no base64!"}, 400),
        ({"imageRef": "IMAGE", "flavorRef": "1"}, 400),
        ({"imageRef": "IMAGE", "trusted_image_certificates": ["a"]}, 501),
        ({"imageRef": "IMAGE", "metadata": {str(n): "v" for n in range(129)}}, 403),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(
    alice: Any, server: str, image: Image, asked: dict[str, Any], status: int
) -> None:
    asked = {name: image.id if value == "IMAGE" else value for name, value in asked.items()}
    before = alice.get(f"{SERVERS}/{server}").json
    assert rebuild(alice, server, **asked).status_code == status
    assert alice.get(f"{SERVERS}/{server}").json == before


def test_an_image_that_does_not_fit_the_flavor_is_refused(
    alice: Any, server: str, other_image: Image, services: Services
) -> None:
    for values, says in (
        ({"min_disk_gb": 2}, "minimum size"),
        ({"min_disk_gb": 0, "min_memory_mb": 4096}, "memory is too small"),
        ({"min_memory_mb": 0, "status": "queued"}, "is not active"),
    ):
        with services.db.write() as session:
            session.query(Image).filter_by(id=other_image.id).update(values)  # type: ignore[arg-type]
        refused = rebuild(alice, server, imageRef=other_image.id)
        assert refused.status_code == 400
        assert says in refused.json["badRequest"]["message"]


def test_a_server_that_was_never_built_is_not_rebuilt(
    alice: Any, a_server: Any, image: Image, host: Any, executor: SimulatedExecutor, work: Any
) -> None:
    executor.fails = lambda run, _item: "no" if run.playbook == "server_create" else None
    server = alice.post(SERVERS, json=a_server()).json["server"]["id"]
    work()
    refused = rebuild(alice, server, imageRef=image.id)
    assert refused.status_code == 409
    assert "never built" in refused.json["conflictingRequest"]["message"]


def test_locked_and_foreign_servers_and_readers(
    alice: Any, bob: Any, rita: Any, server: str, image: Image, services: Services
) -> None:
    assert rebuild(bob, server, imageRef=image.id).status_code == 404
    assert rebuild(rita, server, imageRef=image.id).status_code == 403
    with services.db.write() as session:
        session.get_one(Server, server).locked = True
    assert rebuild(alice, server, imageRef=image.id).status_code == 409
