"""Text that databases and clients stumble over."""

import pytest

from .conftest import V2


@pytest.mark.parametrize(
    "query",
    ["mtu=99999999999999999999999", "name=%00", "name=%ff", "limit=99999999999", "mtu=%D9%A1",
     "id=%27%20OR%201=1", "marker=%27", "revision_number=1e3", "sort_key=id%3Bdrop"],
)  # fmt: skip
def test_queries_never_break_the_service(alice, query):
    assert alice.get(f"{V2}/networks?{query}").status_code in (200, 400)


@pytest.mark.parametrize("name", ["\ud800", "\u0000", "\u202e", "é" * 255])
def test_names_never_break_the_service(alice, name):
    answer = alice.post(f"{V2}/networks", json={"network": {"name": name}})
    assert answer.status_code in (201, 400), answer.text


@pytest.mark.parametrize(
    "path", ["networks/%00", "ports/..%2f..", "subnets/'", "networks/" + "x" * 5000]
)
def test_ids_are_only_looked_up(alice, path):
    assert alice.get(f"{V2}/{path}").status_code == 404
