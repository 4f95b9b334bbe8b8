"""A network's VXLAN device on a host: which hosts frames are sent to is told by plays alone.

The device learns nothing. Each other host that takes part has an entry for what goes to all, and
each member's MAC address on another host has one of its own, so nobody who can send to the host's
UDP port can draw frames to himself, and no frame goes to a host that has nobody to read it.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

from . import bridge_uplinks, names, network_links, port_rules, underlay, work

MAX_ID = (1 << 24) - 1
TO_ALL = "00:00:00:00:00:00"
# What VXLAN adds to a frame: inner Ethernet, VXLAN, UDP, and IPv4 or IPv6.
OVERHEAD = {4: 14 + 8 + 8 + 20, 6: 14 + 8 + 8 + 40}

ARGUMENT_SPEC: dict[str, Any] = {
    "network_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "segmentation_id": {"type": "int"},
    "local": {"type": "str"},
    "mtu": {"type": "int", "default": 1450},
    "members": {"type": "list", "elements": "dict", "default": []},
    "peers": {"type": "list", "elements": "str", "default": []},
    "exact": {"type": "bool", "default": True},
    "cloud_id": {"type": "str", "default": "00000000-0000-0000-0000-000000000000"},
}
SPEC_RULES: dict[str, Any] = {
    "required_if": [("state", "present", ["segmentation_id", "local"])],
}

# MAC address and tunnel address of the host that frames to it go to.
Entry = tuple[str, str]


@dataclass(frozen=True)
class _Device:
    """What of a device can't be changed while it is there."""

    segmentation_id: int
    local: str
    port: int = underlay.PORT
    learning: bool = False

    def lines(self) -> list[str]:
        learning = "on" if self.learning else "off"
        return [f"vxlan {self.segmentation_id} from {self.local}:{self.port}, learning {learning}"]


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the device of `params` (see ARGUMENT_SPEC) into its state; the module's work."""
    work.check_uuid(params["network_id"], "Network id")
    if check_mode:
        return _run(params, check_mode)
    with work.locked(network_links.NETWORKS_LOCK):
        return _run(params, check_mode)


def _run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    name = names.vxlan_name(params["network_id"])
    if params["state"] == "absent":
        result = bridge_uplinks.absent(name, "vxlan", check_mode)
        if result["changed"] and not check_mode:
            gone()
        return result
    device = _Device(_segmentation_id(params), address(params["local"], "The local address"))
    named = entries(params["members"], params["peers"], device.local)
    bridge_uplinks.check_mtu(f"the VXLAN device {name}", params["mtu"])
    found = network_links.links()
    bridge_uplinks.check_kind(found, name, "vxlan")
    _check_underlay(found, device.local, params["mtu"])
    bridge = names.bridge_name(params["network_id"])
    if not check_mode:
        bridge_uplinks.check_bridge(found, name, bridge)
    link = found.get(name)
    tables = forwarding()
    present = tables.pop(name, [])
    is_same_device = link is not None and _device(link) == device
    after = _after(named, present if is_same_device else [], params["exact"])
    texts = (
        [*_device(link).lines(), *bridge_uplinks.describe(link)] if link else [],
        [*device.lines(), *bridge_uplinks.wanted(bridge, params["mtu"], params["cloud_id"])],
    )
    diff = work.text_diff(f"vxlan {name}", _text(texts[0], present), _text(texts[1], after))
    if texts[0] != texts[1] and not check_mode:
        if not is_same_device:
            _make(name, device, found)
            present = []
        bridge_uplinks.plug(name, bridge, params["mtu"], params["cloud_id"])
    if not check_mode:
        forward(name, present, after)
    diffs = [diff] if diff["before"] != diff["after"] else []
    peers = {host for table in (*tables.values(), after) for _, host in table}
    diffs += underlay.have(device.local, peers, check_mode)
    return {"changed": bool(diffs), "diff": diffs, "device": name}


def gone() -> None:
    """A device of ours is gone: take packets from those alone that the ones left send to."""
    found = network_links.links()
    left = [_device(link) for name, link in found.items() if name.startswith(names.VXLAN_PREFIX)]
    if not left:
        underlay.end()
        return
    peers = {host for table in forwarding().values() for _, host in table}
    for local in sorted({device.local for device in left}):
        underlay.have(local, peers, check_mode=False)


def _segmentation_id(params: dict[str, Any]) -> int:
    number = params["segmentation_id"]
    if not 1 <= number <= MAX_ID:
        raise work.WorkError(
            f"Refused the VXLAN network {params['network_id']}: its segmentation_id {number} is "
            f"not between 1 and {MAX_ID}. Correct the network's segment."
        )
    return int(number)


def address(value: Any, what: str) -> str:
    """Return an IP address as the kernel writes it. Raises WorkError naming `what`."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise work.WorkError(
            f"{what} of a VXLAN network's tunnel is {value!r}, which is no IP address. Give the "
            "host one that the other hosts reach it at (compute_tunnel_ip)."
        ) from error


def entries(members: list[dict[str, Any]], peers: list[str], local: str) -> list[Entry]:
    """Return the entries that lead from this host to the others, sorted."""
    found = {(TO_ALL, address(peer, "A peer")) for peer in peers}
    by_mac: dict[str, str] = {}
    for member in members:
        mac = str(member.get("mac_address")).lower()
        if not port_rules.MAC_RE.fullmatch(mac):
            raise work.WorkError(
                f"Refused the member {member.get('mac_address')!r} of a VXLAN network: write its "
                "MAC address as fa:16:3e:00:00:01."
            )
        if member.get("tunnel_ip"):
            by_mac[mac] = address(member["tunnel_ip"], f"The host of {mac}")
    found |= set(by_mac.items())
    return sorted((mac, host) for mac, host in found if host != local)


def _after(named: list[Entry], present: list[Entry], exact: bool) -> list[Entry]:
    """Return the entries that there will be. Unless `exact`, those that are there stay."""
    if exact:
        return named
    # A MAC that has a host already keeps it: what says so may be newer than what we were told.
    known = {mac for mac, _ in present} - {TO_ALL}
    return sorted({*present, *(entry for entry in named if entry[0] not in known)})


def _check_underlay(found: network_links.Links, local: str, mtu: int) -> None:
    for name, link in found.items():
        if local not in {each["local"] for each in link.get("addr_info", [])}:
            continue
        needed = mtu + OVERHEAD[ipaddress.ip_address(local).version]
        if link["mtu"] < needed:
            raise work.WorkError(
                f"Refused a VXLAN network with an MTU of {mtu}: its packets between hosts need "
                f"{needed}, and {name}, which has the tunnel's address {local}, has an MTU of "
                f"{link['mtu']}. Raise it (`ip link set dev {name} mtu {needed}`) or lower the "
                "network's mtu."
            )
        return
    raise work.WorkError(
        f"Refused a VXLAN network: no interface of this host has the tunnel's address {local}. "
        "Set the host's compute_tunnel_ip to an address that it has and other hosts reach."
    )


def _device(link: dict[str, Any]) -> _Device:
    data = link.get("linkinfo", {}).get("info_data", {})
    return _Device(
        data.get("id", 0),
        str(data.get("local") or data.get("local6") or "nowhere"),
        data.get("port", 0),
        bool(data.get("learning", True)),
    )


def _make(name: str, device: _Device, found: network_links.Links) -> None:
    lines = [f"link delete dev {name}"] if name in found else []
    lines.append(
        f"link add name {name} type vxlan id {device.segmentation_id} local {device.local} "
        f"dstport {device.port} nolearning"
    )
    try:
        network_links.batch(lines)
    except work.WorkError as error:
        said = str(error.details.get("stderr", ""))
        if "Unknown device type" in said or "not supported" in said:
            why = "its kernel has no VXLAN. Load the module (`modprobe vxlan`)"
        elif "File exists" in said:
            why = (
                f"another device has the VXLAN id {device.segmentation_id} already. Find it "
                "(`ip -d link show type vxlan`) and remove it"
            )
        else:
            raise
        raise work.WorkError(
            f"Cannot make the VXLAN device {name} on this host: {why}.", **error.details
        ) from error


def forwarding() -> dict[str, list[Entry]]:
    """Return the entries of each of our devices, sorted; those of bridges are left out."""
    found: dict[str, list[Entry]] = {}
    for each in json.loads(work.run_command(["bridge", "-j", "fdb", "show"]) or "[]"):
        if each.get("dst") and str(each.get("ifname")).startswith(names.VXLAN_PREFIX):
            found.setdefault(each["ifname"], []).append((each["mac"], each["dst"]))
    return {name: sorted(table) for name, table in found.items()}


def forward(name: str, present: list[Entry], wanted: list[Entry]) -> None:
    """Change the entries of a device from `present` to `wanted`, in one process."""
    gone, new = sorted(set(present) - set(wanted)), sorted(set(wanted) - set(present))
    moved = {mac for mac, _ in new} - {TO_ALL}
    lines = [
        # Of a MAC that moved the new entry takes the old one's place: no frame is lost between.
        *(f"fdb delete {mac} dev {name} dst {host} self" for mac, host in gone if mac not in moved),
        *(f"fdb append {mac} dev {name} dst {host} self" for mac, host in new if mac == TO_ALL),
        *(f"fdb replace {mac} dev {name} dst {host} self" for mac, host in new if mac != TO_ALL),
    ]
    if lines:
        work.run_command(["bridge", "-batch", "-"], input="\n".join(lines) + "\n")


def _text(lines: list[str], of_table: list[Entry]) -> str:
    shown = [f"to {'all' if mac == TO_ALL else mac} by {host}" for mac, host in of_table]
    return "".join(f"{line}\n" for line in [*lines, *shown])
