"""Services, endpoints and regions; what isn't built; placement's root."""

import pytest

from tests.api.conftest import Caller

V3 = "/identity/v3"


def test_an_admin_lists_services_endpoints_and_regions(admin: Caller) -> None:
    services = admin.get(f"{V3}/services").json["services"]
    assert [entry["type"] for entry in services] == [
        "identity", "image", "network", "compute", "placement",
    ]  # fmt: skip
    compute = admin.get(f"{V3}/services?type=compute").json["services"]
    found = admin.get(f"{V3}/endpoints?service_id={compute[0]['id']}&interface=public").json
    assert [entry["url"] for entry in found["endpoints"]] == ["http://127.0.0.1:8774/compute/v2.1"]
    assert len(admin.get(f"{V3}/endpoints").json["endpoints"]) == 15
    assert admin.get(f"{V3}/regions").json["regions"][0]["id"] == "RegionOne"


def test_each_can_be_shown_by_its_id(admin: Caller) -> None:
    for noun in ("services", "endpoints", "regions"):
        for entry in admin.get(f"{V3}/{noun}").json[noun]:
            assert admin.get(f"{V3}/{noun}/{entry['id']}").json[noun[:-1]] == entry
        assert admin.get(f"{V3}/{noun}/absent").status_code == 404


def test_a_member_reads_the_catalog_of_their_token(alice: Caller) -> None:
    catalog = alice.get(f"{V3}/auth/catalog").json["catalog"]
    assert {entry["name"] for entry in catalog} >= {"keystone", "glance", "nova"}
    assert alice.get(f"{V3}/services").status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "services"),
        ("DELETE", "endpoints/x"),
        ("GET", "groups"),
        ("PUT", "groups/g/users/u"),
        ("PUT", "projects/p/groups/g/roles/r"),
        ("GET", "users/u/application_credentials"),
        ("POST", "users/u/credentials/OS-EC2"),
        ("GET", "credentials"),
        ("POST", "ec2tokens"),
        ("GET", "limits"),
        ("PATCH", "registered_limits/l"),
    ],
)
def test_what_is_not_built_says_so_in_the_apis_form(alice: Caller, method: str, path: str) -> None:
    answer = alice.call(method, f"{V3}/{path}", json={})
    assert answer.status_code == 501
    assert answer.json["error"]["title"] == "Not Implemented"


def test_placement_shows_its_version_and_says_that_the_rest_is_not_built(admin: Caller) -> None:
    assert admin.get("/placement").json["versions"][0]["id"] == "v1.0"
    answer = admin.get("/placement/resource_providers")
    assert answer.status_code == 501
    assert answer.json["errors"][0]["title"] == "Not Implemented"
    assert admin.get("/placement/nothing").json["errors"][0]["status"] == 404
