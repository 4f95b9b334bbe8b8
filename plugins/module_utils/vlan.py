"""A VLAN of a physical network in a network's bridge: a sub-interface of the host's interface."""

from __future__ import annotations

from typing import Any

from . import bridge_uplinks, names, network_links, work

ARGUMENT_SPEC: dict[str, Any] = {
    "network_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "interface": {"type": "str"},
    "segmentation_id": {"type": "int"},
    "mtu": {"type": "int", "default": 1500},
    "cloud_id": {"type": "str", "default": "00000000-0000-0000-0000-000000000000"},
}
SPEC_RULES: dict[str, Any] = {
    "required_if": [("state", "present", ["interface", "segmentation_id"])],
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the VLAN of `params` (see ARGUMENT_SPEC) into its state; the module's work."""
    work.check_uuid(params["network_id"], "Network id")
    if check_mode:
        return _run(params, check_mode)
    with work.locked(network_links.NETWORKS_LOCK):
        return _run(params, check_mode)


def _run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    name = names.vlan_name(params["network_id"])
    if params["state"] == "absent":
        return bridge_uplinks.absent(name, "vlan", check_mode)
    bridge_uplinks.check_mtu(f"the VLAN {name}", params["mtu"])
    found = network_links.links()
    bridge_uplinks.check_kind(found, name, "vlan")
    _check(name, params, found)
    bridge = names.bridge_name(params["network_id"])
    if not check_mode:
        bridge_uplinks.check_bridge(found, name, bridge)
    link = found.get(name)
    device = _line(params["segmentation_id"], params["interface"])
    before = [_device(link), *bridge_uplinks.describe(link)] if link else []
    after = [device, *bridge_uplinks.wanted(bridge, params["mtu"], params["cloud_id"])]
    if before != after and not check_mode:
        if link is None or _device(link) != device:
            _make(name, params, found)
        bridge_uplinks.plug(name, bridge, params["mtu"], params["cloud_id"])
    texts = ("".join(f"{line}\n" for line in lines) for lines in (before, after))
    return {"changed": before != after, "diff": work.text_diff(f"vlan {name}", *texts)}


def _check(name: str, params: dict[str, Any], found: network_links.Links) -> None:
    interface = network_links.check_interface(params["interface"], "Interface")
    number = params["segmentation_id"]
    if not 1 <= number <= 4094:
        raise work.WorkError(
            f"Refused the VLAN {number} of network {params['network_id']}: VLANs are numbered from "
            "1 to 4094. Correct the network's segmentation_id."
        )
    if interface not in found:
        raise work.WorkError(
            f"Cannot make the VLAN {name} on {interface}: the host has no such interface. Correct "
            "the host's compute_vlan_interfaces."
        )
    if found[interface]["mtu"] < params["mtu"]:
        raise work.WorkError(
            f"Refused the VLAN {name} on {interface}: its MTU is {found[interface]['mtu']}, the "
            f"network's {params['mtu']}, and longer frames would be lost. Raise it (`ip link set "
            f"dev {interface} mtu {params['mtu']}`) or lower the network's mtu."
        )


def _line(number: int, interface: str | None) -> str:
    return f"vlan {number} of {interface}"


def _device(link: dict[str, Any]) -> str:
    number = link.get("linkinfo", {}).get("info_data", {}).get("id", 0)
    return _line(number, link.get("link"))


def _make(name: str, params: dict[str, Any], found: network_links.Links) -> None:
    interface, number = params["interface"], params["segmentation_id"]
    lines = [f"link delete dev {name}"] if name in found else []
    # A VLAN is down for as long as what is below it is.
    lines.append(f"link set dev {interface} up")
    lines.append(f"link add link {interface} name {name} type vlan protocol 802.1Q id {number}")
    try:
        network_links.batch(lines)
    except work.WorkError as error:
        said = str(error.details.get("stderr", ""))
        if "Unknown device type" in said or "not supported" in said:
            why = "its kernel has no VLANs. Load the module (`modprobe 8021q`)"
        elif "File exists" in said:
            why = (
                f"{interface} has a VLAN {number} of another name already. Find it (`ip -d link "
                "show type vlan`) and remove it"
            )
        else:
            raise
        raise work.WorkError(
            f"Cannot make the VLAN {name} on {interface} of this host: {why}.", **error.details
        ) from error
