"""Resize, cold migration and the list of migrations, as clients see them."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Flavor
from tests.api.compute.conftest import MIGRATIONS, SERVERS, at


@pytest.fixture
def flavors(services: Services) -> None:
    with services.db.write() as session:
        session.add(Flavor(flavor_id="2", name="m1.big", vcpus=2, memory_mb=256, disk_gb=2))
        session.add(Flavor(flavor_id="3", name="m1.flat", vcpus=2, memory_mb=256, disk_gb=0))


@pytest.mark.usefixtures("other_host", "flavors")
def test_a_resize_waits_for_its_confirm(
    alice: Any, admin: Any, server: str, work: Callable[[], None]
) -> None:
    path = f"{SERVERS}/{server}"
    answer = alice.post(f"{path}/action", json={"resize": {"flavorRef": "2"}})
    assert (answer.status_code, answer.data) == (202, b"")
    assert alice.get(path).json["server"]["status"] == "RESIZE"
    work()
    shown = alice.get(path, headers=at("2.47")).json["server"]
    assert (shown["status"], shown["flavor"]["ram"]) == ("VERIFY_RESIZE", 256)
    assert shown["progress"] == 100
    answer = alice.post(f"{path}/action", json={"confirmResize": None})
    assert (answer.status_code, answer.data) == (204, b"")
    work()
    assert alice.get(path).json["server"]["status"] == "ACTIVE"
    again = alice.post(f"{path}/action", json={"confirmResize": None})
    assert again.status_code == 409
    (record,) = admin.get(MIGRATIONS, headers=at("2.80")).json["migrations"]
    assert (record["status"], record["migration_type"]) == ("confirmed", "resize")
    assert (record["old_instance_type_id"], record["new_instance_type_id"]) == (1, 2)
    assert record["instance_uuid"] == server
    actions = alice.get(f"{path}/os-instance-actions").json["instanceActions"]
    assert [each["action"] for each in actions] == ["confirmResize", "resize", "create"]


@pytest.mark.usefixtures("other_host", "flavors")
def test_a_revert_shows_what_it_does(alice: Any, server: str, work: Callable[[], None]) -> None:
    path = f"{SERVERS}/{server}"
    alice.post(f"{path}/action", json={"resize": {"flavorRef": "2"}})
    work()
    assert alice.post(f"{path}/action", json={"revertResize": None}).status_code == 202
    assert alice.get(path).json["server"]["status"] == "REVERT_RESIZE"
    work()
    shown = alice.get(path, headers=at("2.47")).json["server"]
    assert (shown["status"], shown["flavor"]["ram"]) == ("ACTIVE", 128)


@pytest.mark.usefixtures("other_host", "flavors")
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"flavorRef": "1"}, "must change flavor"),
        ({"flavorRef": "77"}, "Unable to locate"),
        ({"flavorRef": "3"}, "never made smaller"),
        ({}, "flavorRef"),
        ({"flavorRef": "2", "more": 1}, "more"),
    ],
)
def test_a_resize_that_can_not_be_is_refused(
    alice: Any, server: str, body: dict[str, Any], says: str
) -> None:
    answer = alice.post(f"{SERVERS}/{server}/action", json={"resize": body})
    assert answer.status_code == 400
    assert says in answer.json["badRequest"]["message"]


@pytest.mark.usefixtures("flavors")
def test_a_resize_beyond_the_quota_is_refused(alice: Any, admin: Any, server: str) -> None:
    limit = admin.put(
        f"/compute/v2.1/os-quota-sets/{alice.project_id}", json={"quota_set": {"cores": 1}}
    )
    assert limit.status_code == 200, limit.json
    answer = alice.post(f"{SERVERS}/{server}/action", json={"resize": {"flavorRef": "2"}})
    assert answer.status_code == 403
    assert "cores" in answer.json["forbidden"]["message"]


def test_a_cold_migration_is_for_administrators_and_may_name_its_host(
    alice: Any, admin: Any, server: str, other_host: str, work: Callable[[], None]
) -> None:
    path = f"{SERVERS}/{server}/action"
    assert alice.post(path, json={"migrate": None}).status_code == 403
    for host, says in (("nowhere", "could not be found"), ("host-a.example", "it is there")):
        refused = admin.post(path, json={"migrate": {"host": host}}, headers=at("2.56"))
        assert refused.status_code == 400
        assert says in refused.json["badRequest"]["message"]
    accepted = admin.post(path, json={"migrate": {"host": other_host}}, headers=at("2.56"))
    assert accepted.status_code == 202, accepted.json
    work()
    shown = admin.get(f"{SERVERS}/{server}").json["server"]
    assert shown["status"] == "VERIFY_RESIZE"
    assert shown["OS-EXT-SRV-ATTR:host"] == other_host
    (record,) = admin.get(MIGRATIONS, headers=at("2.59")).json["migrations"]
    assert (record["source_compute"], record["dest_compute"]) == ("host-a.example", other_host)
    assert (record["status"], record["migration_type"]) == ("finished", "migration")


@pytest.mark.usefixtures("other_host")
def test_the_list_of_migrations_follows_its_microversions(
    alice: Any, admin: Any, server: str, work: Callable[[], None]
) -> None:
    admin.post(f"{SERVERS}/{server}/action", json={"migrate": None})
    work()
    assert alice.get(MIGRATIONS).status_code == 403
    (oldest,) = admin.get(MIGRATIONS).json["migrations"]
    assert not {"migration_type", "uuid", "project_id", "links"} & oldest.keys()
    (latest,) = admin.get(MIGRATIONS, headers=at("2.80")).json["migrations"]
    assert {"migration_type", "uuid", "project_id", "user_id"} <= latest.keys()
    none = admin.get(f"{MIGRATIONS}?migration_type=resize", headers=at("2.59"))
    assert none.json["migrations"] == []
    page = admin.get(f"{MIGRATIONS}?limit=1", headers=at("2.59")).json
    assert page["migrations_links"][0]["rel"] == "next"
    after = admin.get(f"{MIGRATIONS}?marker={latest['uuid']}", headers=at("2.59"))
    assert after.json["migrations"] == []
    assert admin.get(f"{MIGRATIONS}?marker=nobody", headers=at("2.59")).status_code == 400
    path = f"{SERVERS}/{server}/migrations"
    assert admin.get(path, headers=at("2.22")).status_code == 404
    assert admin.get(path, headers=at("2.23")).json == {"migrations": []}
    assert admin.get(f"{path}/{latest['id']}", headers=at("2.23")).status_code == 404
