"""changePassword: only where the image promises an agent, and the password seen by nobody else."""

from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Image, Operation
from controller.runner.simulated import SimulatedExecutor
from tests.api.compute.conftest import SERVERS, at

BODY = {"changePassword": {"adminPass": "n3w-s3cret"}}


@pytest.fixture
def image(image: Image, services: Services) -> Image:
    """The image of these tests' servers, with an agent."""
    with services.db.write() as session:
        session.get_one(Image, image.id).properties = {"hw_qemu_guest_agent": "yes"}
    return image


def test_the_password_reaches_the_host_as_a_secret_alone(
    alice: Any, server: str, work: Any, executor: SimulatedExecutor, services: Services
) -> None:
    path = f"{SERVERS}/{server}"
    assert alice.post(f"{path}/action", json=BODY).status_code == 202
    assert alice.get(path).json["server"]["status"] == "PASSWORD"
    with services.db.read() as session:
        kept = session.query(Operation).filter_by(kind="server_change_password").one()
        assert b"n3w-s3cret" not in (kept.sealed or b"n3w-s3cret")
    work()
    run = executor.runs[-1]
    assert run.secrets[server]["admin_pass"] == "n3w-s3cret"
    assert run.arguments["servers"][0]["admin_user"] == "root"
    assert "n3w-s3cret" not in str(run.arguments)
    assert alice.get(path).json["server"]["status"] == "ACTIVE"
    with services.db.read() as session:
        kept = session.query(Operation).filter_by(kind="server_change_password").one()
        assert kept.sealed is None


def test_an_agent_that_does_not_answer_leaves_the_server_as_it_was(
    alice: Any, server: str, work: Any, executor: SimulatedExecutor
) -> None:
    executor.fails = lambda _run, _id: "QEMU guest agent is not connected"
    assert alice.post(f"{SERVERS}/{server}/action", json=BODY).status_code == 202
    work()
    shown = alice.get(f"{SERVERS}/{server}").json["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None)


def test_without_an_agent_it_is_refused(
    alice: Any, server: str, services: Services, a_server: Any, work: Any, image: Image
) -> None:
    with services.db.write() as session:
        session.get_one(Image, image.id).properties = {}
    other = alice.post(SERVERS, json=a_server(name="deaf")).json["server"]["id"]
    work()
    refused = alice.post(f"{SERVERS}/{other}/action", json=BODY)
    assert refused.status_code == 409
    message = refused.json["conflictingRequest"]["message"]
    assert "QEMU guest agent is not enabled" in message
    assert "n3w-s3cret" not in message


def test_a_crash_dump_is_for_2_17_and_later(
    alice: Any, server: str, work: Any, executor: SimulatedExecutor
) -> None:
    path, body = f"{SERVERS}/{server}/action", {"trigger_crash_dump": None}
    assert alice.post(path, json=body, headers=at("2.16")).status_code in (400, 404)
    assert alice.post(path, json={"trigger_crash_dump": {}}, headers=at("2.17")).status_code == 400
    assert alice.post(path, json=body, headers=at("2.17")).status_code == 202
    work()
    assert executor.runs[-1].playbook == "server_trigger_crash_dump"
    assert alice.get(f"{SERVERS}/{server}").json["server"]["status"] == "ACTIVE"
