"""Microversions: how one is agreed on, and what answers where."""

from typing import Any

import pytest

ROOT = "/compute/v2.1"
NEW, OLD = "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"


def test_version_documents_need_no_token(anonymous: Any) -> None:
    (version,) = anonymous.get("/compute/").json["versions"]
    assert (version["id"], version["min_version"], version["version"]) == ("v2.1", "2.1", "2.96")
    assert version["links"][0]["href"].endswith("/compute/v2.1/")
    shown = anonymous.get("/compute/v2.1/").json["version"]
    assert shown["status"] == "CURRENT"
    assert shown["media-types"][0]["base"] == "application/json"


@pytest.mark.parametrize(
    ("headers", "used"),
    [
        ({}, "2.1"),
        ({NEW: "compute 2.1"}, "2.1"),
        ({NEW: "compute 2.53"}, "2.53"),
        ({NEW: "compute latest"}, "2.96"),
        ({OLD: "2.60"}, "2.60"),
        ({OLD: "latest"}, "2.96"),
        ({NEW: "compute 2.96", OLD: "2.1"}, "2.96"),
        ({NEW: "volume 3.60, compute 2.88"}, "2.88"),
        ({NEW: "volume 3.60"}, "2.1"),
    ],
)
def test_the_version_used_is_told_in_both_headers(
    alice: Any, headers: dict[str, str], used: str
) -> None:
    answer = alice.get(f"{ROOT}/flavors", headers=headers)
    assert answer.status_code == 200
    assert answer.headers[NEW] == f"compute {used}"
    assert answer.headers[OLD] == used
    assert NEW in answer.headers["Vary"]
    assert OLD in answer.headers["Vary"]


@pytest.mark.parametrize("version", ["2.97", "2.0", "3.1", "2.100", "1.99999999999999999999"])
def test_a_version_out_of_range_is_406(alice: Any, version: str) -> None:
    answer = alice.get(f"{ROOT}/flavors", headers={NEW: f"compute {version}"})
    assert answer.status_code == 406
    assert answer.json["computeFault"] == {
        "code": 406,
        "message": f"Version {version} is not supported by the API. Minimum is 2.1 and maximum is "
        "2.96.",
    }


@pytest.mark.parametrize("version", ["2", "two", "2.", "2.1.1", "-2.1", "02.1", "2.٣"])
def test_a_version_that_is_none_is_400(alice: Any, version: str) -> None:
    answer = alice.get(f"{ROOT}/flavors", headers={OLD: version})
    assert answer.status_code == 400
    assert "is of invalid format" in answer.json["badRequest"]["message"]


def test_an_unknown_path_is_404_and_a_wrong_method_405(alice: Any) -> None:
    assert alice.get(f"{ROOT}/os-nonsense").json["itemNotFound"]["code"] == 404
    assert alice.get("/compute/v9").json["itemNotFound"]["code"] == 404
    assert alice.delete(f"{ROOT}/servers").json["badMethod"]["code"] == 405


def test_without_a_token_nothing_is_told(anonymous: Any) -> None:
    answer = anonymous.get(f"{ROOT}/servers")
    assert answer.status_code == 401
    assert answer.json["unauthorized"]["code"] == 401


@pytest.mark.parametrize(
    ("method", "path", "version", "status"),
    [
        ("GET", "/extensions", "2.1", 501),
        ("POST", "/servers/x/remote-consoles", "2.5", 404),
        ("POST", "/servers/x/remote-consoles", "2.96", 501),
        ("GET", "/servers/x/topology", "2.77", 404),
        ("GET", "/servers/x/topology", "2.78", 404),
        ("GET", "/servers/x/os-volume_attachments", "2.1", 501),
        ("POST", "/os-server-groups", "2.64", 501),
        ("POST", "/os-aggregates", "2.96", 501),
        ("GET", "/os-simple-tenant-usage", "2.40", 501),
        ("GET", "/images/detail", "2.35", 501),
        ("GET", "/images/detail", "2.36", 404),
        ("GET", "/images/x/metadata", "2.38", 501),
        ("GET", "/images/x/metadata", "2.39", 404),
        ("GET", "/os-hosts", "2.42", 501),
        ("GET", "/os-hosts", "2.43", 404),
        ("GET", "/os-security-groups", "2.35", 501),
        ("GET", "/os-security-groups", "2.36", 404),
        ("PUT", "/os-services/enable", "2.52", 501),
        ("GET", "/os-agents", "2.1", 410),
        ("GET", "/os-fping/x", "2.96", 410),
        ("POST", "/os-networks", "2.1", 410),
        ("GET", "/os-networks", "2.1", 501),
        ("GET", "/servers/x/os-virtual-interfaces", "2.1", 410),
    ],
)
def test_what_is_not_built_says_so_where_upstream_has_it(
    alice: Any, method: str, path: str, version: str, status: int
) -> None:
    answer = alice.call(method, f"{ROOT}{path}", headers={NEW: f"compute {version}"})
    assert answer.status_code == status
    (fault,) = answer.json.values()
    assert fault["code"] == status
    assert fault["message"]
