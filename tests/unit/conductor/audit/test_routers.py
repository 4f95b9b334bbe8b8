"""Routers on a host are there for the servers on their networks; others are strays."""

from typing import Any

import pytest

from controller import host_names
from controller.db.base import new_id
from controller.runner import simulated_hosts
from tests.unit.conductor.audit.test_looks import audit, host_of, made, server_of
from tests.unit.conductor.conftest import Cloud

__all__ = ["made"]


def with_router(
    monkeypatch: pytest.MonkeyPatch, cloud: Cloud, network_id: str, state: str = "up"
) -> set[str]:
    """Have the host of `runs` say that it has a router; return what may be found of it.

    The router joins `network_id` and one without servers, and leads to an external network.
    """
    router, other, external, there = new_id(), new_id(), new_id(), host_of(cloud, "runs")
    real = simulated_hosts._audit

    def said(host: Any) -> dict[str, Any]:
        facts = real(host)
        if host is not there:
            return facts
        joined = {network_id: "nvr00000000001", other: "nvr00000000002"}
        bridges = {*map(host_names.bridge, (network_id, other, external))}
        bridges -= {link["name"] for link in facts["links"]}
        facts["links"] += [{"name": name, "kind": "bridge", "bridge": None} for name in bridges]
        facts["links"] += [
            {"name": leg, "kind": "leg", "bridge": host_names.bridge(each)}
            for each, leg in joined.items()
        ]
        facts["external_networks"] = [external]
        facts["routers"] = [{"id": router, "legs": [*joined.values()], "external": [external]}]
        service = f"ra-{router}.00000000001"
        facts["services"].append({"name": service, "state": state})
        return facts

    monkeypatch.setattr(simulated_hosts, "_audit", said)
    return {f"router {router}", f"network {external}", f"network {host_names.short(other)}"}


def test_a_router_and_what_it_joins_are_there_for_the_servers_of_its_networks(
    made: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = host_of(made, "runs").servers[server_of(made, "runs").id].entry
    with_router(monkeypatch, made, entry["ports"][0]["network_id"])
    assert audit(made).findings == []


def test_a_router_that_tells_no_guest_of_itself_is_found(
    made: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = host_of(made, "runs").servers[server_of(made, "runs").id].entry
    subjects = with_router(monkeypatch, made, entry["ports"][0]["network_id"], "down")
    (finding,) = audit(made).findings
    assert (finding.kind, finding.subject in subjects) == ("network_incomplete", True)


def test_what_advertises_a_router_that_is_gone_is_a_stray(
    made: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, there, router = simulated_hosts._audit, host_of(made, "runs"), new_id()

    def said(host: Any) -> dict[str, Any]:
        facts = real(host)
        if host is there:
            facts["services"].append({"name": f"ra-{router}.00000000001", "state": "down"})
        return facts

    monkeypatch.setattr(simulated_hosts, "_audit", said)
    (finding,) = audit(made).findings
    assert (finding.kind, finding.subject) == ("stray", f"router {router}")


def test_a_router_on_networks_that_no_server_here_uses_is_a_stray_with_all_it_joins(
    made: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = new_id()
    subjects = with_router(monkeypatch, made, unused)
    found = audit(made).findings
    assert {finding.kind for finding in found} == {"stray"}
    shorts = {f"network {host_names.short(unused)}"}
    assert {finding.subject for finding in found} == subjects | shorts
