"""Our own extension: snapshots inside a server's disks."""

from collections.abc import Callable
from typing import Any

from tests.api.compute.conftest import SERVERS

UNKNOWN = "11111111-2222-4333-8444-555555555555"


def path(server: str) -> str:
    return f"{SERVERS}/{server}/novella-snapshots"


def take(caller: Any, server: str) -> Any:
    return caller.post(path(server), json={"snapshot": {"name": "before"}})


def revert(caller: Any, server: str, snapshot: str) -> Any:
    body = {"novella:revert_snapshot": {"snapshot": snapshot}}
    return caller.post(f"{SERVERS}/{server}/action", json=body)


def test_a_snapshot_is_taken_listed_reverted_to_and_deleted(
    alice: Any, server: str, work: Callable[[], None]
) -> None:
    taken = take(alice, server)
    assert (taken.status_code, taken.json["snapshot"]["status"]) == (202, "creating")
    snapshot = taken.json["snapshot"]["id"]
    work()
    (listed,) = alice.get(path(server)).json["snapshots"]
    assert listed == {**taken.json["snapshot"], "status": "available"}
    assert alice.get(f"{path(server)}/{snapshot}").json == {"snapshot": listed}
    refused = revert(alice, server, snapshot)
    assert refused.status_code == 409
    assert "it is active" in refused.json["conflictingRequest"]["message"]
    alice.post(f"{SERVERS}/{server}/action", json={"os-stop": None})
    work()
    assert revert(alice, server, snapshot).status_code == 202
    work()
    assert alice.delete(f"{path(server)}/{snapshot}").status_code == 202
    work()
    assert alice.get(path(server)).json == {"snapshots": []}


def test_a_server_with_snapshots_is_not_rebuilt(
    alice: Any, server: str, work: Callable[[], None], image: Any
) -> None:
    take(alice, server)
    work()
    body = {"rebuild": {"imageRef": image.id}}
    refused = alice.post(f"{SERVERS}/{server}/action", json=body)
    assert refused.status_code == 409
    assert "Delete them first" in refused.json["conflictingRequest"]["message"]


def test_one_that_is_not_there_and_other_projects_servers(
    alice: Any, bob: Any, rita: Any, server: str
) -> None:
    assert alice.get(f"{path(server)}/{UNKNOWN}").status_code == 404
    assert alice.delete(f"{path(server)}/{UNKNOWN}").status_code == 404
    assert revert(alice, server, UNKNOWN).status_code == 404
    assert take(bob, server).status_code == 404
    assert bob.get(path(server)).status_code == 404
    assert take(rita, server).status_code == 403
    assert rita.get(path(server)).status_code == 200


def test_it_has_a_name_and_nothing_else(alice: Any, server: str) -> None:
    for body in ({}, {"snapshot": {}}, {"snapshot": {"name": ""}}, {"snapshot": {"x": 1}}):
        assert alice.post(path(server), json=body).status_code == 400


def test_a_locked_server_refuses_its_owner(alice: Any, server: str) -> None:
    alice.post(f"{SERVERS}/{server}/action", json={"lock": None})
    assert take(alice, server).status_code == 409
