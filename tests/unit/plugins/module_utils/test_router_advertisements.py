"""Which legs advertise their router, in which words, and which services go. That guests take the
route is tested in tests/integration/test_routers.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    names,
    router_advertisements,
    router_plan,
    service_units,
    unused_routers,
)

ROUTER = "5c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a20"
OTHER = "6c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a20"
PORT = "0a1b2c3d-4f7e-4d5e-9b5c-0f4d4b5d6a21"
NETWORK = "0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11"
SUBNET = "77b0a3a2-4f7e-4d5e-9b5c-0f4d4b5d6a12"
SERVICE = names.advertisement_service(ROUTER, PORT)
STALE = f"ra-{ROUTER}.99999999999"
PARAMS = {"service_backend": "s6", "ra_user": "dnsmasq"}


def plan(mode: str | None = "slaac", own: str = "2001:db8::1", **more: Any) -> router_plan.Plan:
    subnet = {
        "id": SUBNET,
        "cidr": "2001:db8::/64",
        "gateway_ip": "2001:0db8::0001",
        "ipv6_ra_mode": mode,
        "dns_nameservers": ["2001:db8::53"],
    }
    four = {"id": ROUTER, "cidr": "192.0.2.0/24", "gateway_ip": "192.0.2.1"}
    interface = {
        "port_id": PORT,
        "mac_address": "fa:16:3e:00:00:01",
        "ip_addresses": [
            {"ip_address": "192.0.2.1", "cidr": "192.0.2.0/24"},
            {"ip_address": own, "cidr": "2001:db8::/64"},
        ],
        "network": {"id": NETWORK, "mtu": 1450, "subnets": [subnet, four]},
    }
    given = {"interfaces": [interface], "routes": [], "gateway": None, "floating_ips": []}
    return router_plan.plan({"router_id": ROUTER, "tunnel_ip": None, **given, **more})


@pytest.mark.parametrize(
    ("mode", "word"),
    [("slaac", "ra-only"), ("dhcpv6-stateless", "ra-stateless"), ("dhcpv6-stateful", "static")],
)
def test_a_leg_says_what_its_subnets_mode_is_and_that_it_is_a_router(mode: str, word: str) -> None:
    (leg,) = plan(mode).legs
    words = router_advertisements.command(leg, "dnsmasq")
    name = leg.end.name
    assert f"--ra-param={name},mtu:1450,60,300" in words
    assert f"--dhcp-range=set:{SUBNET},2001:db8::,{word},64,86400" in words
    assert f"--dhcp-option=tag:{SUBNET},option6:dns-server,[2001:db8::53]" in words
    # Of DHCP it answers nothing, and it is heard nowhere else.
    assert {"--dhcp-ignore=tag:!known", f"--interface={name}", "--user=dnsmasq"} < set(words)


def test_a_leg_without_such_a_subnet_or_that_is_not_its_gateway_says_nothing() -> None:
    assert plan().legs[0].advertised
    assert not plan(None).legs[0].advertised
    assert not plan(own="2001:db8::9").legs[0].advertised


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of the supervisor of a host with a service of each of two legs."""
    asked: list[tuple[str, str]] = []

    def present(service: service_units.Service, *given: Any) -> dict[str, Any]:
        asked.append((given[-1], service.name))
        assert service.netns == names.router_namespace_name(ROUTER)
        return {"changed": given[-1] == "restarted", "diff": [], "service": {"pid": 7}}

    def absent(name: str, *_: Any) -> dict[str, Any]:
        asked.append(("absent", name))
        return {"changed": True, "diff": [{"before": "x", "after": ""}]}

    monkeypatch.setattr(service_units, "present", present)
    monkeypatch.setattr(service_units, "absent", absent)
    there = [SERVICE, STALE, f"ra-{OTHER}.99999999999", f"dhcp-{NETWORK}"]
    monkeypatch.setattr(service_units, "listed", lambda _: sorted(there))
    return asked


def test_a_leg_made_just_now_has_its_service_started_again(asked: list[tuple[str, str]]) -> None:
    one = replace(plan(), exact=False)
    assert not router_advertisements.have(one, PARAMS, (), False).changed
    (leg,) = one.legs
    assert router_advertisements.have(one, PARAMS, {leg.end.name}, False).changed
    assert asked == [("started", SERVICE), ("restarted", SERVICE)]


def test_the_service_of_a_leg_that_is_gone_goes_unless_the_run_only_adds(
    asked: list[tuple[str, str]],
) -> None:
    for is_exact in (True, False):
        router_advertisements.have(plan(exact=is_exact), PARAMS, (), False)
    assert asked == [("absent", STALE), ("started", SERVICE), ("started", SERVICE)]
    asked.clear()
    # Of a leg that it was told of, it knows that it advertises no more.
    router_advertisements.have(plan(None, exact=False), PARAMS, (), False)
    assert asked == [("absent", SERVICE)]


def test_a_routers_services_go_with_it_even_if_its_namespace_went_before(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert router_advertisements.router_ids("s6") == {ROUTER, OTHER}
    gone: list[str] = []

    def run(params: dict[str, Any], _: bool) -> dict[str, Any]:
        gone.append(params["router_id"])
        diff = router_advertisements.remove(params["router_id"], params["service_backend"], False)
        return {"changed": True, "diff": diff}

    monkeypatch.setattr(unused_routers.router_namespace, "run", run)
    monkeypatch.setattr(unused_routers.host_audit_network, "_listing", lambda _: [])
    given = {"keep": [OTHER], "keep_external": [], "service_backend": "s6"}
    assert unused_routers.run(given, False)["changed"]
    assert gone == [ROUTER]
    assert asked == [("absent", SERVICE), ("absent", STALE)]
