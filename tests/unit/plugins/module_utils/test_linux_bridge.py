"""What linux_bridge refuses, each with the way out. What it makes is tested on a real host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    linux_bridge,
    network_links,
    work,
)

BRIDGE = "nvb0123456789a"
LOOPBACK = {"ifname": "lo", "mtu": 65536, "flags": ["UP"], "addr_info": []}


def link(name: str, **more: Any) -> dict[str, Any]:
    return {"ifname": name, "mtu": 1500, "flags": ["UP"], "addr_info": [], **more}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> dict[str, Any]:
    """A host's interfaces by name, as `ip` would show them; nothing is changed in these tests."""
    found: dict[str, Any] = {"lo": LOOPBACK, "eth1": link("eth1")}
    monkeypatch.setattr(network_links, "links", lambda: found)
    mark = tmp_path / "bridge-nf-call-iptables"
    mark.touch()
    monkeypatch.setattr(linux_bridge, "NETFILTER_MARK", str(mark))
    return found


def check(**params: Any) -> dict[str, Any]:
    given = {"name": BRIDGE, "state": "present", "mtu": 1500, "interface": "eth1", "port_ids": []}
    return linux_bridge.run({**given, "only_if_unused": False, **params}, True)


@pytest.mark.parametrize("name", ["br0", "virbr0", "nvb/../x", "nvb0123456789abcdef", "", "-x"])
def test_a_bridge_that_is_not_ours_is_refused(host: dict[str, Any], name: str) -> None:
    with pytest.raises(work.WorkError):
        check(name=name)


def test_an_interface_with_an_address_is_refused_and_a_link_local_one_is_not(
    host: dict[str, Any],
) -> None:
    link_local = {"local": "fe80::1", "prefixlen": 64, "scope": "link"}
    host["eth1"]["addr_info"] = [link_local]
    assert check()["changed"]
    host["eth1"]["addr_info"] = [{"local": "10.0.0.1", "prefixlen": 24, "scope": "global"}]
    with pytest.raises(work.WorkError, match=r"10\.0\.0\.1/24.*compute_flat_interfaces"):
        check()


def test_an_interface_of_another_bridge_is_refused(host: dict[str, Any]) -> None:
    host["eth1"]["master"] = "br0"
    with pytest.raises(work.WorkError, match="belongs to br0 already"):
        check()


def test_an_interface_that_is_not_there_is_refused(host: dict[str, Any]) -> None:
    with pytest.raises(work.WorkError, match="no such interface"):
        check(interface="eth9")


def test_an_uplink_that_cannot_carry_the_networks_frames_is_refused(host: dict[str, Any]) -> None:
    with pytest.raises(work.WorkError, match="MTU is 1500"):
        check(mtu=9000)


def test_a_bridge_on_which_the_host_has_an_address_is_refused(host: dict[str, Any]) -> None:
    address = {"local": "10.0.0.9", "prefixlen": 24, "scope": "global"}
    kind = {"info_kind": "bridge", "info_data": {}}
    host[BRIDGE] = link(BRIDGE, linkinfo=kind, addr_info=[address])
    with pytest.raises(work.WorkError, match="ip addr del"):
        check()


def test_an_interface_of_the_bridges_name_is_left_alone(host: dict[str, Any]) -> None:
    host[BRIDGE] = link(BRIDGE, linkinfo={"info_kind": "veth"})
    for state in ("present", "absent"):
        with pytest.raises(work.WorkError, match="is no bridge"):
            check(state=state)


def test_a_kernel_that_does_not_filter_bridged_frames_is_refused(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(linux_bridge, "NETFILTER_MARK", str(tmp_path / "missing"))
    with pytest.raises(work.WorkError, match="modprobe br_netfilter"):
        check()


def test_a_used_bridge_is_kept_and_says_for_whom(host: dict[str, Any]) -> None:
    host[BRIDGE] = link(BRIDGE, linkinfo={"info_kind": "bridge", "info_data": {}})
    host["eth1"]["master"] = BRIDGE
    host["nvt0123456789a"] = link("nvt0123456789a", master=BRIDGE)
    kept = check(state="absent", only_if_unused=True)
    assert (kept["changed"], kept["used_by"]) == (False, ["nvt0123456789a"])
    del host["nvt0123456789a"]
    assert check(state="absent", only_if_unused=True)["changed"]
