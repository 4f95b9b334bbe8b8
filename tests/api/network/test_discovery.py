"""Versions, extensions, quotas, zones, and what isn't there."""

import pytest

from .conftest import V2


def test_versions_are_public(anonymous):
    version = anonymous.get("/network/").json["versions"][0]
    assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
    resources = anonymous.get(V2).json["resources"]
    assert "networks" in [each["collection"] for each in resources]


def test_extensions_that_clients_look_for(alice, refused):
    aliases = {each["alias"] for each in alice.get(f"{V2}/extensions").json["extensions"]}
    assert {
        "security-group", "provider", "external-net", "port-security", "binding",
        "allowed-address-pairs", "router", "ext-gw-mode", "extraroute-atomic",
    } <= aliases  # fmt: skip
    assert not {"trunk", "qos"} & aliases
    assert alice.get(f"{V2}/extensions/provider").json["extension"]["alias"] == "provider"
    refused(alice.get(f"{V2}/extensions/trunk"), 404, "ExtensionNotFound")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "floatingips/some/port_forwardings"),
        ("DELETE", "floatingips/some/port_forwardings/other"),
    ],
)
def test_published_but_not_built_answers_501(alice, method, path, refused):
    refused(alice.call(method, f"{V2}/{path}", json={}), 501, "HTTPNotImplemented")


def test_unknown_paths_and_methods(alice, refused):
    refused(alice.get(f"{V2}/pigeons"), 404, "HTTPNotFound")
    refused(alice.delete(f"{V2}/networks"), 405, "HTTPMethodNotAllowed")
    refused(alice.put(f"{V2}/security-group-rules/x", json={}), 405, "HTTPMethodNotAllowed")


def test_quota_and_what_is_used_of_it(alice, bob, private, refused):
    path = f"{V2}/quotas/{alice.project_id}"
    assert alice.get(path).json["quota"]["port"] == 500
    assert alice.get(f"{path}/default").json["quota"]["network"] == 100
    details = alice.get(f"{path}/details").json["quota"]
    assert details["network"] == {"limit": 100, "used": 1, "reserved": 0}
    refused(bob.get(path), 403, "PolicyNotAuthorized")


def test_zones_and_agents(alice, admin, refused):
    zones = alice.get(f"{V2}/availability_zones").json["availability_zones"]
    assert zones == [
        {"name": "nova", "resource": resource, "state": "available"}
        for resource in ("network", "router")
    ]
    assert admin.get(f"{V2}/agents").json == {"agents": []}
    refused(alice.get(f"{V2}/agents"), 403, "PolicyNotAuthorized")


def test_a_large_body_is_refused(alice, refused):
    answer = alice.post(f"{V2}/networks", data=b" " * (2 << 20), content_type="application/json")
    refused(answer, 413, "HTTPRequestEntityTooLarge")
