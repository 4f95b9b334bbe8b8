"""Lists of servers: filters, order, pages, and what they cost."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.db.models import Host, Server
from tests.api.compute.conftest import SERVERS

LATEST = {"OpenStack-API-Version": "compute latest"}
Body = Callable[..., dict[str, Any]]


@pytest.fixture
def farm(alice: Any, a_server: Body, host: Host, work: Any, services: Services) -> list[str]:
    """Four ACTIVE servers of alice's, web-1 to web-4, made a minute after each other."""
    assert alice.post(SERVERS, json=a_server(min_count=4)).status_code == 202
    work()
    with services.db.write() as session:
        found = session.query(Server).order_by(Server.launch_index).all()
        for server in found:
            server.created_at += timedelta(minutes=server.launch_index)
    return [server.id for server in found]


def names(caller: Any, query: str = "", **options: Any) -> list[str]:
    answer = caller.get(f"{SERVERS}{query}", **options)
    assert answer.status_code == 200, answer.json
    return [server["name"] for server in answer.json["servers"]]


def test_the_latest_server_comes_first(alice: Any, farm: list[str]) -> None:
    assert names(alice) == ["web-4", "web-3", "web-2", "web-1"]
    assert set(alice.get(SERVERS).json["servers"][0]) == {"id", "name", "links"}


def test_a_list_costs_as_many_statements_for_one_as_for_all(
    alice: Any,
    admin: Any,
    farm: list[str],
    count_statements: Callable[[], AbstractContextManager[list[str]]],
) -> None:
    for caller in (alice, admin):
        counts = []
        for limit in (1, 4):
            with count_statements() as seen:
                answer = caller.get(
                    f"{SERVERS}/detail?limit={limit}{'&all_tenants=1' * (caller is admin)}",
                    headers=LATEST,
                )
            assert len(answer.json["servers"]) == limit
            counts.append(len(seen))
        assert counts[0] == counts[1] <= 6


def test_show_and_list_agree(alice: Any, admin: Any, farm: list[str]) -> None:
    for caller, query in ((alice, ""), (admin, "?all_tenants=1")):
        listed = caller.get(f"{SERVERS}/detail{query}", headers=LATEST).json["servers"]
        for server in listed:
            shown = caller.get(f"{SERVERS}/{server['id']}", headers=LATEST).json["server"]
            assert shown.pop("server_groups") == []
            assert shown == server


@pytest.mark.parametrize(
    "sort",
    [
        "",
        "&sort_key=display_name",
        "&sort_key=launched_at",
        "&sort_key=key_name&sort_key=display_name&sort_dir=asc",
    ],
)
def test_pages_follow_each_other_without_gap_or_overlap(
    alice: Any, farm: list[str], sort: str
) -> None:
    seen, query = [], f"?limit=3{sort}"
    while query:
        page = alice.get(f"{SERVERS}{query}").json
        seen += [server["name"] for server in page["servers"]]
        link = page.get("servers_links", [{}])[0].get("href", "")
        query = link[link.index("?") :] if link else ""
    assert seen == names(alice, f"?{sort}")
    assert sorted(seen) == ["web-1", "web-2", "web-3", "web-4"]


# A query of a tenant's, and the servers of `farm` that it finds.
FILTERS: dict[str, list[str]] = {
    "name=web-2": ["web-2"],
    "name=^web-[34]$": [],
    "name=web-3|web-1": ["web-3", "web-1"],
    "name=^eb": [],
    "name=eb-1$": ["web-1"],
    "name=w.b-.*4": ["web-4"],
    "name=%": [],
    "name=(a%2B)%2B$": [],
    "name={{ 7*7 }}": [],
    "status=ACTIVE&limit=1": ["web-4"],
    "status=SHUTOFF": [],
    "status=RESIZE": [],
    "status=active&name=web-1": ["web-1"],
    "flavor=1&limit=1": ["web-4"],
    "flavor=2": [],
    "image=none": [],
    "ip=10.91&limit=1": ["web-4"],
    "ip=203.0.113": [],
    "changes-since=2001-01-01T00:00:00Z&limit=1": ["web-4"],
    "changes-since=2999-01-01T00:00:00Z": [],
    "sort_key=display_name&sort_dir=asc&limit=1": ["web-1"],
    "unknown=passed-over&host=secret&limit=1": ["web-4"],
    "limit=0": [],
}


def test_filters_of_tenants(alice: Any, farm: list[str]) -> None:
    assert {query: names(alice, f"?{query}") for query in FILTERS} == FILTERS


def test_a_bad_query_is_400(alice: Any, farm: list[str]) -> None:
    for query in (
        "limit=-1",
        "limit=many",
        "marker=11111111-2222-3333-4444-555555555555",
        "sort_key=password_hash",
        "sort_dir=up",
        "changes-since=yesterday",
        "_private=1",
    ):
        assert alice.get(f"{SERVERS}?{query}").status_code == 400, query


def test_later_versions_refuse_what_earlier_ones_passed_over(alice: Any, farm: list[str]) -> None:
    def status(query: str, version: str) -> int:
        headers = {"OpenStack-API-Version": f"compute {version}"}
        code: int = alice.get(f"{SERVERS}?{query}", headers=headers).status_code
        return code

    assert (status("unknown=1", "2.74"), status("unknown=1", "2.75")) == (200, 400)
    assert (status("status=NONE", "2.37"), status("status=NONE", "2.38")) == (200, 400)


def test_more_filters_are_for_everybody_from_2_83(alice: Any, farm: list[str]) -> None:
    query = "?vm_state=stopped"
    assert len(names(alice, query, headers={"OpenStack-API-Version": "compute 2.82"})) == 4
    assert names(alice, query, headers={"OpenStack-API-Version": "compute 2.83"}) == []


def test_only_admins_list_all_projects_and_hosts(
    alice: Any, bob: Any, admin: Any, farm: list[str], host: Host
) -> None:
    assert alice.get(f"{SERVERS}?all_tenants=1").status_code == 403
    assert alice.get(f"{SERVERS}/detail?all_tenants").status_code == 403
    assert names(bob) == []
    assert names(admin) == []
    assert len(names(admin, "?all_tenants=True")) == 4
    assert names(admin, f"?all_tenants=1&project_id={bob.project_id}") == []
    assert len(names(admin, f"?all_tenants=1&project_id={alice.project_id}")) == 4
    assert len(names(admin, f"?all_tenants=1&host={host.name}")) == 4
    assert names(admin, "?all_tenants=1&host=other") == []
    assert names(admin, f"?all_tenants=1&uuid={farm[1]}") == ["web-2"]
    assert alice.get(f"{SERVERS}?sort_key=host").status_code == 403
    # A marker of another project is none.
    assert bob.get(f"{SERVERS}?marker={farm[0]}").status_code == 400


def test_deleted_servers_are_for_admins_and_for_changes_since(
    alice: Any, admin: Any, farm: list[str], work: Any
) -> None:
    alice.delete(f"{SERVERS}/{farm[0]}")
    work()
    assert "web-1" not in names(alice)
    assert "web-1" not in names(alice, "?deleted=True")
    assert names(admin, "?all_tenants=1&deleted=True") == ["web-1"]
    assert names(admin, "?all_tenants=1&status=DELETED") == ["web-1"]
    assert alice.get(f"{SERVERS}?status=DELETED").status_code == 403
    assert "web-1" in names(alice, "?changes-since=2001-01-01T00:00:00Z")


def test_a_sort_key_that_comes_again_costs_nothing(
    alice: Any, farm: list[str], count_statements: Any
) -> None:
    query = "&".join(["sort_key=display_name", "sort_key=uuid"] * 20)
    marker = alice.get(SERVERS).json["servers"][0]["id"]
    with count_statements() as seen:
        assert alice.get(f"{SERVERS}?marker={marker}&{query}").status_code == 200
    assert max(map(len, seen)) < 5000


def test_a_filter_has_a_bounded_number_of_alternatives(alice: Any, server: str) -> None:
    """2,000 of them made a condition deeper than the database takes, and 503."""
    many = "|".join(["nothing"] * 99 + ["web"])
    found = alice.get(f"{SERVERS}?name={many}").json["servers"]
    assert [each["id"] for each in found] == [server]
    for name in ("name", "ip"):
        refused = alice.get(f"{SERVERS}?{name}={'a|' * 2000}")
        assert refused.status_code == 400
        assert "at most 100" in refused.json["badRequest"]["message"]


def test_a_query_has_a_bounded_number_of_parameters_and_no_nul(alice: Any) -> None:
    refused = alice.get(f"{SERVERS}?{'&'.join(['name=x'] * 501)}")
    assert refused.status_code == 400
    assert "at most 500" in refused.json["badRequest"]["message"]
    assert alice.get(f"{SERVERS}?{'&'.join(['status=active'] * 500)}").status_code == 200
    assert alice.get(f"{SERVERS}?name=a%00b").status_code == 400
    assert alice.get(f"{SERVERS}/a%00b").status_code == 404
