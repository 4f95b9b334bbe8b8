"""Lists: filters, sorting, pages, fields, and what they cost."""

from dataclasses import replace

import pytest

from controller.core import port_records, security_group_rules, security_groups
from controller.core.context import Context
from controller.db.models import Network

from .conftest import V2, make


@pytest.fixture
def five(alice):
    return [
        make(alice, "network", name=f"n{number}", description="even" if number % 2 == 0 else "odd")
        for number in range(5)
    ]


def names(answer):
    assert answer.status_code == 200, answer.text
    return [network["name"] for network in answer.json["networks"]]


def test_filters_are_exact_and_twice_means_either(alice, five):
    assert names(alice.get(f"{V2}/networks?name=n1")) == ["n1"]
    assert sorted(names(alice.get(f"{V2}/networks?name=n1&name=n3"))) == ["n1", "n3"]
    assert names(alice.get(f"{V2}/networks?name=n1&description=even")) == []
    assert names(alice.get(f"{V2}/networks?name=n")) == []
    assert names(alice.get(f"{V2}/networks?status=DOWN")) == []
    assert len(names(alice.get(f"{V2}/networks?admin_state_up=True&status=ACTIVE"))) == 5
    assert len(names(alice.get(f"{V2}/networks?not-tags=red"))) == 5
    assert names(alice.get(f"{V2}/networks?tags=red")) == []


@pytest.mark.parametrize(
    "query",
    ["colour=blue", "sort_key=colour", "sort_key=name&sort_dir=up", "limit=-1", "limit=x",
     "admin_state_up=perhaps", "mtu=big", "marker=nowhere&limit=1", "page_reverse=x",
     "provider:physical_network=physnet1"],
)  # fmt: skip
def test_what_a_list_does_not_know_is_refused(alice, five, query):
    assert alice.get(f"{V2}/networks?{query}").status_code == 400


def test_sorting(alice, five):
    assert names(alice.get(f"{V2}/networks?sort_key=name&sort_dir=desc")) == [
        "n4",
        "n3",
        "n2",
        "n1",
        "n0",
    ]
    query = "sort_key=description&sort_dir=desc&sort_key=name&sort_dir=asc"
    assert names(alice.get(f"{V2}/networks?{query}")) == ["n1", "n3", "n0", "n2", "n4"]


def test_pages_lead_there_and_back(alice, five):
    seen, path = [], f"{V2}/networks?limit=2&sort_key=name&sort_dir=desc&fields=id&fields=name"
    pages = []
    while path:
        answer = alice.get(path)
        pages.append(names(answer))
        links = {link["rel"]: link["href"] for link in answer.json.get("networks_links", [])}
        path = links.get("next", "").partition("8774")[2]
        seen += pages[-1]
    assert seen == ["n4", "n3", "n2", "n1", "n0"]
    assert pages == [["n4", "n3"], ["n2", "n1"], ["n0"]]
    back = links["previous"].partition("8774")[2]
    assert names(alice.get(back)) == ["n2", "n1"]


def test_chosen_fields_only(alice, five):
    answer = alice.get(f"{V2}/networks?fields=name&fields=mtu&limit=1")
    assert set(answer.json["networks"][0]) == {"name", "mtu"}
    shown = alice.get(f"{V2}/networks/{five[0]['id']}?fields=id").json
    assert shown == {"network": {"id": five[0]["id"]}}


def test_a_list_costs_the_same_statements_at_any_length(
    services, admin, alice, public, public_subnet, count_statements
):
    settings = replace(
        services.settings,
        default_quota={"security_group": -1, "security_group_rule": -1, "network": -1},
    )
    paths = ("networks", "subnets", "ports", "security-groups", "security-group-rules")
    make(alice, "port", network_id=public["id"])

    def cost(caller):
        counts = {}
        for path in paths:
            with count_statements() as seen:
                assert caller.get(f"{V2}/{path}").status_code == 200
            counts[path] = len(seen)
        return counts

    cost(admin)  # makes the default group of the admin's project
    before = cost(alice), cost(admin)
    context = Context("req-1", project_id=alice.project_id)
    with services.db.write() as session:
        network = session.get(Network, public["id"])
        for number in range(100):
            port_records.create(session, settings, context, network, alice.project_id, {})
            group = security_groups.create(
                session, settings, alice.project_id, {"name": f"g{number}"}
            )
            security_group_rules.create(
                session,
                settings,
                context,
                group,
                {
                    "direction": "ingress",
                    "protocol": "tcp",
                    "port_range_min": 22,
                    "port_range_max": 22,
                },
            )
            session.add(Network(project_id=alice.project_id, name=f"n{number}"))
    assert len(alice.get(f"{V2}/ports").json["ports"]) == 101
    assert (cost(alice), cost(admin)) == before
    assert max(before[1].values()) <= 6


def test_a_sort_key_that_comes_again_costs_nothing(alice, five, count_statements):
    marker = alice.get(f"{V2}/networks").json["networks"][0]["id"]
    query = "&".join(["sort_key=name", "sort_key=id"] * 20)
    with count_statements() as seen:
        assert alice.get(f"{V2}/networks?marker={marker}&{query}").status_code == 200
    assert max(map(len, seen)) < 5000
