"""What is another project's looks absent, whatever route it is asked of."""

from typing import Any

import pytest
from flask import Flask

from tests.api.test_hostile_requests import DIALECTS, rows
from tests.api.whole_bodies import whole_bodies

NETWORK = "/network/v2.0"
# The cloud's defaults, which are asked for by way of any project.
SAME_FOR_ALL = {"/compute/v2.1/os-quota-sets/<project_id>/defaults"}


@pytest.fixture
def hers(alice: Any, server: str) -> dict[str, str]:
    """Ids of what is alice's, by the name of the parameter in paths."""
    image = alice.post("/image/v2/images", json={"name": "hers"}).json["id"]
    group = alice.post(
        f"{NETWORK}/security-groups", json={"security_group": {"name": "hers"}}
    ).json["security_group"]
    port = alice.get(f"{NETWORK}/ports?device_id={server}").json["ports"][0]["id"]
    alice.post(f"/compute/v2.1/servers/{server}/metadata", json={"metadata": {"a": "b"}})
    actions = alice.get(f"/compute/v2.1/servers/{server}/os-instance-actions").json
    return {
        "server_id": server,
        "image_id": image,
        "port_id": port,
        "security_group_id": group["id"],
        "group_id": group["id"],
        "rule_id": group["security_group_rules"][0]["id"],
        "security_group_rule_id": group["security_group_rules"][0]["id"],
        "project_id": alice.project_id,
        "user_id": alice.user_id,
        "target_id": alice.project_id,
        "key": "a",
        "request_id": actions["instanceActions"][0]["request_id"],
        "tag": "t",
    }


def test_no_route_gives_away_or_changes_what_is_another_projects(
    app: Flask, alice: Any, bob: Any, hers: dict[str, str]
) -> None:
    bodies = whole_bodies()
    tried = 0
    for dialect in DIALECTS:
        for row in rows(app, dialect):
            if row.route is None or row.is_public or row.path in SAME_FOR_ALL:
                continue
            if not any(f"<{name}>" in row.path for name in hers):
                continue
            options = {} if row.method in ("GET", "DELETE") else {"data": b"x"}
            if row.takes_json:
                options = {"json": bodies.get((row.method, row.path), {})}
            answer = bob.call(row.method, row.at("member", hers), **options)
            expected = (403, 404) if row.method in ("GET", "DELETE") else (400, 403, 404, 415)
            assert answer.status_code in expected, (row.method, row.path, answer.text)
            tried += 1
    assert tried > 40
    shown = alice.get(f"/compute/v2.1/servers/{hers['server_id']}").json["server"]
    assert (shown["status"], shown["name"], shown["metadata"]) == ("ACTIVE", "web", {"a": "b"})
