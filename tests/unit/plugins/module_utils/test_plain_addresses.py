"""Addresses and networks of a play's arguments, of which none brings a line of its own."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    dhcp_options,
    plain_addresses,
    port_rules,
    router_plan,
    subnets,
    work,
)

ID = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
ZONE = "fd00::5%a\n-A INPUT -j ACCEPT\n"


def test_plain_ones_are_taken() -> None:
    assert str(plain_addresses.address("fd00::0005")) == "fd00::5"
    assert str(plain_addresses.network("192.0.2.9/24", strict=False)) == "192.0.2.0/24"


@pytest.mark.parametrize("text", [ZONE, "fe80::1%eth0"])
def test_an_address_with_a_zone_reaches_no_program(text: str) -> None:
    port: dict[str, Any] = {"id": ID, "network_id": ID, "mac_address": "fa:16:3e:00:00:01"}
    pairs = [{"ip_address": text, "mac_address": "fa:16:3e:00:00:01"}]
    with pytest.raises(work.WorkError, match="Refused"):
        port_rules.port_tables({**port, "allowed_address_pairs": pairs}, {})
    with pytest.raises(work.WorkError, match="Refused"):
        port_rules.ip_network(text, "a rule", 6)
    given: dict[str, Any] = {"router_id": ID, "interfaces": [], "floating_ips": [], "gateway": None}
    for route in (
        {"destination": "fd01::/64", "nexthop": text},
        {"destination": text, "nexthop": "fd00::5"},
    ):
        with pytest.raises(work.WorkError, match="Refused"):
            router_plan.plan({**given, "routes": [route], "tunnel_ip": None})
    for subnet in (
        {"cidr": text},
        {"cidr": "fd00::/64", "host_routes": [{"destination": text, "nexthop": "fd00::5"}]},
    ):
        with pytest.raises(work.WorkError, match="Refused"):
            subnets.parse([{"id": ID, **subnet}])


def test_a_zone_in_a_dhcp_option_stays_within_its_quotes() -> None:
    option = {"opt_name": "dns-server", "opt_value": "fe80::1%eth0", "ip_version": 6}
    assert dhcp_options.lines([option], ID).endswith(',"fe80::1%eth0"\n')
