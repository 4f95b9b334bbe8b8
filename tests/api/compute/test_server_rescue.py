"""POST /servers/{id}/action with rescue and unrescue."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Image
from tests.api.compute.conftest import SERVERS


def act(caller: Any, server: str, body: dict[str, Any]) -> Any:
    return caller.post(f"{SERVERS}/{server}/action", json=body)


def status(caller: Any, server: str) -> str:
    return str(caller.get(f"{SERVERS}/{server}").json["server"]["status"])


def test_a_rescue_answers_with_its_password_and_unrescue_ends_it(
    alice: Any, server: str, image: Image, work: Any
) -> None:
    answer = act(alice, server, {"rescue": {"adminPass": "x", "rescue_image_ref": image.id}})
    assert (answer.status_code, answer.json) == (200, {"adminPass": "x"})
    work()
    assert status(alice, server) == "RESCUE"
    for refused in ({"rescue": None}, {"reboot": {"type": "HARD"}}, {"os-stop": None}):
        assert act(alice, server, refused).status_code == 409
    assert act(alice, server, {"unrescue": None}).status_code == 202
    work()
    assert status(alice, server) == "ACTIVE"
    assert act(alice, server, {"unrescue": None}).status_code == 409
    assert len(act(alice, server, {"rescue": None}).json["adminPass"]) >= 12


@pytest.mark.parametrize(
    "body",
    [
        {"rescue": {"rescue_image_ref": "0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11"}},
        {"rescue": {"rescue_image_ref": "no-uuid"}},
        {"rescue": {"other": 1}},
        {"rescue": "x"},
    ],
)
def test_what_can_not_be_is_refused(alice: Any, server: str, body: dict[str, Any]) -> None:
    assert act(alice, server, body).status_code == 400
    assert status(alice, server) == "ACTIVE"


def test_an_image_without_bytes_rescues_nobody(
    alice: Any, server: str, image: Image, services: Services
) -> None:
    with services.db.write() as session:
        session.get_one(Image, image.id).status = "queued"
    refused = act(alice, server, {"rescue": {"rescue_image_ref": image.id}})
    assert refused.status_code == 400
    assert "queued" in refused.json["badRequest"]["message"]


def test_other_projects_and_readers(alice: Any, bob: Any, rita: Any, server: str) -> None:
    assert act(bob, server, {"rescue": None}).status_code == 404
    assert act(rita, server, {"rescue": None}).status_code == 403
    assert status(alice, server) == "ACTIVE"


def test_a_server_that_is_built_is_told_so(alice: Any, a_server: Any, host: Any) -> None:
    """It was told that it was never built, and to be deleted."""
    server = alice.post(SERVERS, json=a_server()).json["server"]["id"]
    refused = act(alice, server, {"rescue": None})
    assert refused.status_code == 409
    assert "it is building, and" in refused.json["conflictingRequest"]["message"]
