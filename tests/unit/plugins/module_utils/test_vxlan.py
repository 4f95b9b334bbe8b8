"""Which entries a VXLAN device's forwarding table has, and what VXLANs and VLANs are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    bridge_uplinks,
    network_links,
    underlay,
    vlan,
    vxlan,
    work,
)

NETWORK_ID = "0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11"
CLOUD_ID = "00000000-0000-0000-0000-000000000000"
BRIDGE, DEVICE, SUB = "nvb0b1c2d3e4f7", "nvx0b1c2d3e4f7", "nvl0b1c2d3e4f7"
OWN, SECOND, THIRD = "10.90.0.1", "10.90.0.2", "10.90.0.3"
MEMBERS = [
    {"mac_address": "fa:16:3e:00:00:01", "tunnel_ip": OWN},
    {"mac_address": "FA:16:3E:00:00:02", "tunnel_ip": SECOND},
]
UNSUPPORTED = "RTNETLINK answers: Operation not supported"


def link(name: str, **more: Any) -> dict[str, Any]:
    return {"ifname": name, "mtu": 1500, "flags": ["UP"], "addr_info": [], **more}


class Kernel:
    """What `ip` and `bridge` are asked to do, and what they find."""

    def __init__(self) -> None:
        self.links = {
            BRIDGE: link(BRIDGE),
            "eth0": link("eth0", addr_info=[{"local": OWN, "prefixlen": 24}]),
            "eth1": link("eth1"),
        }
        self.table: list[dict[str, Any]] = []
        self.done: list[str] = []
        self.refuses = ""
        self.lets_in: tuple[str, set[str]] = ("", set())

    def batch(self, lines: Any, netns: str | None = None) -> None:
        assert netns is None
        asked = list(lines)
        if self.refuses and any(" type " in line for line in asked):
            raise work.WorkError("no", stderr=self.refuses)
        self.done += asked

    def underlay(self, local: str, peers: set[str], check_mode: bool) -> list[dict[str, str]]:
        self.lets_in = (local, peers)
        return []

    def run_command(self, argv: list[str], input: str | None = None) -> str:  # noqa: A002 - its name
        if argv[1] == "-j":
            return json.dumps(self.table)
        self.done += (input or " ".join(argv)).splitlines()
        return ""

    def have(self, *entries: tuple[str, str]) -> None:
        """The device as this host has it, with these entries."""
        data = {"id": 1001, "local": OWN, "port": 4789, "learning": False}
        self.links[DEVICE] = link(
            DEVICE, mtu=1450, master=BRIDGE, ifalias=bridge_uplinks.alias(CLOUD_ID),
            linkinfo={"info_kind": "vxlan", "info_data": data},
        )  # fmt: skip
        self.table = [{"ifname": DEVICE, "mac": mac, "dst": host} for mac, host in entries]
        # What the bridge itself has learned of its port.
        self.table.append({"ifname": DEVICE, "mac": "fa:16:3e:00:00:09", "master": BRIDGE})


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(network_links, "links", lambda: made.links)
    monkeypatch.setattr(network_links, "batch", made.batch)
    monkeypatch.setattr(network_links, "is_ipv6_off", lambda _: True)
    monkeypatch.setattr(network_links, "switch_off_ipv6", lambda _: None)
    monkeypatch.setattr(network_links, "NETWORKS_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(work, "run_command", made.run_command)
    monkeypatch.setattr(underlay, "have", made.underlay)
    return made


def have(check: bool = False, **changes: Any) -> dict[str, Any]:
    given = {
        "network_id": NETWORK_ID, "state": "present", "segmentation_id": 1001, "local": OWN,
        "mtu": 1450, "members": MEMBERS, "peers": [SECOND], "exact": True, "cloud_id": CLOUD_ID,
    }  # fmt: skip
    return vxlan.run({**given, **changes}, check)


def have_vlan(**changes: Any) -> dict[str, Any]:
    given = {
        "network_id": NETWORK_ID, "state": "present", "interface": "eth1", "segmentation_id": 100,
        "mtu": 1500, "cloud_id": CLOUD_ID,
    }  # fmt: skip
    return vlan.run({**given, **changes}, False)


TO_ALL, TO_SECOND = (vxlan.TO_ALL, SECOND), ("fa:16:3e:00:00:02", SECOND)


def test_a_device_learns_nothing_and_is_told_of_other_hosts_alone(kernel: Kernel) -> None:
    assert have()["changed"]
    assert (
        f"link add name {DEVICE} type vxlan id 1001 local {OWN} dstport 4789 nolearning"
        in kernel.done
    )
    assert kernel.done[-2:] == [
        f"fdb append {vxlan.TO_ALL} dev {DEVICE} dst {SECOND} self",
        f"fdb replace fa:16:3e:00:00:02 dev {DEVICE} dst {SECOND} self",
    ]


def test_a_second_run_changes_nothing(kernel: Kernel) -> None:
    kernel.have(TO_ALL, TO_SECOND)
    assert have()["changed"] is False
    assert kernel.done == []


def test_whom_only_a_device_that_is_gone_sent_to_is_let_in_no_more(kernel: Kernel) -> None:
    kernel.have(TO_ALL, TO_SECOND)
    kernel.lets_in = (OWN, {SECOND, THIRD})
    vxlan.gone()
    assert kernel.lets_in == (OWN, {SECOND})


def test_check_mode_shows_the_entries_and_changes_nothing(kernel: Kernel) -> None:
    kernel.have(TO_ALL)
    result = have(check=True, peers=[THIRD])
    [diff] = result["diff"]
    assert f"to all by {SECOND}\n" in diff["before"]
    assert f"to all by {THIRD}\n" in diff["after"]
    assert f"to fa:16:3e:00:00:02 by {SECOND}\n" in diff["after"]
    assert kernel.done == []


def test_what_is_not_named_goes_and_a_mac_that_moved_is_replaced(kernel: Kernel) -> None:
    kernel.have(TO_ALL, ("fa:16:3e:00:00:02", THIRD), ("fa:16:3e:00:00:03", THIRD))
    assert have()["changed"]
    assert kernel.done == [
        f"fdb delete fa:16:3e:00:00:03 dev {DEVICE} dst {THIRD} self",
        f"fdb replace fa:16:3e:00:00:02 dev {DEVICE} dst {SECOND} self",
    ]


def test_packets_are_taken_from_the_hosts_of_all_networks(kernel: Kernel) -> None:
    kernel.have(TO_ALL, TO_SECOND)
    kernel.table.append({"ifname": "nvx9999999999a", "mac": vxlan.TO_ALL, "dst": THIRD})
    kernel.table.append({"ifname": "flannel.1", "mac": vxlan.TO_ALL, "dst": "192.0.2.1"})
    have()
    assert kernel.lets_in == (OWN, {SECOND, THIRD})


def test_a_run_that_may_be_late_only_adds(kernel: Kernel) -> None:
    """A create that was told of the members before a port moved."""
    kernel.have(("fa:16:3e:00:00:02", THIRD), (vxlan.TO_ALL, THIRD))
    assert have(exact=False)["changed"]
    assert kernel.done == [f"fdb append {vxlan.TO_ALL} dev {DEVICE} dst {SECOND} self"]


def test_a_device_of_another_address_is_made_anew_with_its_entries(kernel: Kernel) -> None:
    kernel.have(TO_ALL, TO_SECOND)
    kernel.links["eth0"]["addr_info"].append({"local": THIRD, "prefixlen": 24})
    assert have(local=THIRD)["changed"]
    assert kernel.done[0] == f"link delete dev {DEVICE}"
    assert f"fdb append {vxlan.TO_ALL} dev {DEVICE} dst {SECOND} self" in kernel.done


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segmentation_id": 0}, "not between 1 and"),
        ({"segmentation_id": 1 << 24}, "not between 1 and"),
        ({"local": "h1.example"}, "compute_tunnel_ip"),
        ({"local": THIRD}, "no interface of this host has"),
        ({"peers": ["10.90.0.2 dev eth0"]}, "no IP address"),
        ({"members": [{"mac_address": "x\ny", "tunnel_ip": SECOND}]}, "MAC address"),
        ({"mtu": 1451}, "need 1501"),
        ({"mtu": 10}, "not between"),
    ],
)
def test_what_no_tunnel_can_carry_is_refused(
    kernel: Kernel, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(work.WorkError, match=said):
        have(**changes)
    assert kernel.done == []


@pytest.mark.parametrize(
    ("refusal", "said"),
    [(UNSUPPORTED, "modprobe vxlan"), ("RTNETLINK answers: File exists", "id 1001 already")],
)
def test_a_kernel_that_refuses_the_device_is_explained(
    kernel: Kernel, refusal: str, said: str
) -> None:
    kernel.refuses = refusal
    with pytest.raises(work.WorkError, match=said):
        have()


def test_a_vlan_is_a_sub_interface_in_the_bridge(kernel: Kernel) -> None:
    assert have_vlan()["changed"]
    assert kernel.done == [
        "link set dev eth1 up",
        f"link add link eth1 name {SUB} type vlan protocol 802.1Q id 100",
        f"link set dev {SUB} mtu 1500 addrgenmode none alias novella:{CLOUD_ID}",
        f"link set dev {SUB} master {BRIDGE}",
        f"link set dev {SUB} up",
    ]


def test_a_vlan_that_is_there_is_left(kernel: Kernel) -> None:
    kind = {"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 100}}
    mark = bridge_uplinks.alias(CLOUD_ID)
    kernel.links[SUB] = link(SUB, link="eth1", master=BRIDGE, linkinfo=kind, ifalias=mark)
    assert have_vlan()["changed"] is False
    assert have_vlan(segmentation_id=101)["changed"]
    assert kernel.done[0] == f"link delete dev {SUB}"


def test_a_kernel_without_vlans_is_explained(kernel: Kernel) -> None:
    kernel.refuses = UNSUPPORTED
    with pytest.raises(work.WorkError, match="modprobe 8021q"):
        have_vlan()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segmentation_id": 4095}, "1 to 4094"),
        ({"interface": "eth9"}, "compute_vlan_interfaces"),
        ({"interface": "eth1; reboot"}, "no name of an interface"),
        ({"mtu": 9000}, "MTU is 1500"),
    ],
)
def test_a_vlan_that_the_host_cannot_have_is_refused(
    kernel: Kernel, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(work.WorkError, match=said):
        have_vlan(**changes)
