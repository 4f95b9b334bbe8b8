"""A bridge of a network on a host: without an address, and with a physical interface if it is flat.

What else leads out of it, a VXLAN device or a VLAN, is put in by modules of their own, and goes
with it.

The host itself has no part in a tenant's network: no IPv4 or IPv6 address, no link-local one, no
multicast queries of its own. Frames pass the host's iptables by the bridge's own switch, so that
the operator's other bridges are left as they are.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from . import (
    bridge_uplinks,
    names,
    network_files,
    network_links,
    network_standing,
    vxlan,
    work,
)

# What `ip -d` shows of a bridge, and what we want there. Frames go through iptables and ip6tables
# here whatever net.bridge.bridge-nf-call-iptables says for the other bridges. Multicast snooping
# without a querier drops groups; STP would hold each new tap back for 30 s.
# And ARP is off on the bridge itself, or the host would tell tenants its other addresses.
OPTIONS = {
    "stp_state": 0,
    "forward_delay": 0,
    "mcast_snooping": 0,
    "nf_call_iptables": 1,
    "nf_call_ip6tables": 1,
}
NETFILTER_MARK = "/proc/sys/net/bridge/bridge-nf-call-iptables"

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mtu": {"type": "int", "default": 1500},
    "interface": {"type": "str"},
    "port_ids": {"type": "list", "elements": "str", "default": []},
    "only_if_unused": {"type": "bool", "default": False},
}
SPEC_RULES: dict[str, Any] = {}

# What this process made sure of: of each bridge, with which parameters, and how it stood then.
# Used under the networks' lock.
_made_sure: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the bridge of `params` (see ARGUMENT_SPEC) into its state; the module's work."""
    name = network_links.check_interface(params["name"], "Bridge")
    if not name.startswith(names.BRIDGE_PREFIX):
        raise work.WorkError(
            f"Refused the bridge {name}: the bridges of networks start with "
            f"'{names.BRIDGE_PREFIX}', and others are the operator's. Name it after its network "
            "(names.bridge_name)."
        )
    if check_mode:
        return _run(name, params, check_mode)
    with work.locked(network_links.NETWORKS_LOCK):
        return _run(name, params, check_mode)


def _run(name: str, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    if not check_mode and params["state"] == "present" and _is_as_made(name, params):
        return _claimed(name, params, work.text_diff(f"bridge {name}", "", ""), is_there=True)
    found = network_links.links()
    before = describe(found, name)
    if params["state"] == "absent":
        return _absent(name, params, found, before, check_mode)
    _check(name, params, found)
    after = _wanted_description(name, params, found)
    diff = work.text_diff(f"bridge {name}", before, after)
    if check_mode:
        return _result(name, params, diff)
    result = _claimed(name, params, diff, is_there=bool(before))
    try:
        if before != after:
            _make(name, params, found)
    except BaseException:
        if "undo_args" in result:
            _take_back(name, {**params, **result["undo_args"]})
        raise
    seen = network_standing.bridge_seen(name, params.get("interface"))
    if seen is not None:
        _made_sure[name] = (_of_bridge(params), seen)
    return result


def _is_as_made(name: str, params: dict[str, Any]) -> bool:
    """Whether this process made sure of this very bridge, and nobody has touched it since."""
    made = _made_sure.get(name)
    now = network_standing.bridge_seen(name, params.get("interface"))
    return made is not None and made == (_of_bridge(params), now)


def _of_bridge(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "port_ids"}


def _result(name: str, params: dict[str, Any], diff: dict[str, str]) -> dict[str, Any]:
    bridge = {"name": name, "mtu": params["mtu"], "interface": params.get("interface")}
    return {"changed": diff["before"] != diff["after"], "diff": diff, "bridge": bridge}


def _claimed(
    name: str, params: dict[str, Any], diff: dict[str, str], is_there: bool
) -> dict[str, Any]:
    """Record the ports; return the result, with what takes this run's part back."""
    new_ports = network_files.claim(name, params["port_ids"])
    result = _result(name, params, diff)
    # A bridge that was there, unused, may be one that a delete has left for these ports.
    if new_ports or not is_there:
        undo_args = {"name": name, "state": "absent", "only_if_unused": True, "port_ids": new_ports}
        result["undo_args"] = undo_args
    return result


def _take_back(name: str, params: dict[str, Any]) -> None:
    with contextlib.suppress(work.WorkError):
        found = network_links.links()
        _absent(name, params, found, describe(found, name), check_mode=False)


def _absent(
    name: str,
    params: dict[str, Any],
    found: network_links.Links,
    before: str,
    check_mode: bool,
) -> dict[str, Any]:
    if not check_mode:
        network_files.give_up(name, params["port_ids"])
    # Our own devices that lead out of it are of no use without it.
    devices = bridge_uplinks.of_bridge(found, name)
    if name not in found and not devices:
        return {"changed": False, "diff": work.text_diff(f"bridge {name}", "", "")}
    if name in found:
        _check_is_bridge(name, found)
    users = set(network_links.members(found, name)) - set(network_links.uplinks(found, name))
    users |= network_files.claimants(name) - set(params["port_ids"])
    # Of whoever takes the bridge away together with what is plugged into it.
    users -= set(params.get("leaving", ()))
    if params["only_if_unused"] and users:
        diff = work.text_diff(f"bridge {name}", before, before)
        return {"changed": False, "diff": diff, "used_by": sorted(users)}
    gone = [*([name] if name in found else []), *devices]
    if not check_mode:
        network_links.batch(f"link delete dev {each}" for each in gone)
        if any(each.startswith(names.VXLAN_PREFIX) for each in devices):
            vxlan.gone()
    before += "".join(f"device {each}\n" for each in devices)
    return {"changed": True, "diff": work.text_diff(f"bridge {name}", before, "")}


def _check(name: str, params: dict[str, Any], found: network_links.Links) -> None:
    bridge_uplinks.check_mtu(f"the bridge {name}", params["mtu"])
    if not os.path.exists(NETFILTER_MARK):
        raise work.WorkError(
            f"Refused the bridge {name}: the kernel of this host does not pass bridged frames to "
            "iptables, so nothing would filter its guests. Load br_netfilter (`modprobe "
            "br_netfilter`; playbooks/host_enroll.yml does so for good)."
        )
    if name in found:
        _check_is_bridge(name, found)
        addresses = _addresses(found[name])
        if addresses:
            raise work.WorkError(
                f"Refused the bridge {name}: the host has the address {addresses[0]} on it, and "
                "tenants could reach the host by it. Remove it: `ip addr del "
                f"{addresses[0]} dev {name}`."
            )
    if params.get("interface"):
        _check_interface(name, params, found)


def _check_is_bridge(name: str, found: network_links.Links) -> None:
    kind = found[name].get("linkinfo", {}).get("info_kind")
    if kind != "bridge":
        raise work.WorkError(
            f"Refused the bridge {name}: the host has an interface of this name that is no bridge "
            f"({kind or 'physical'}). Rename or remove that."
        )


def _check_interface(name: str, params: dict[str, Any], found: network_links.Links) -> None:
    interface = network_links.check_interface(params["interface"], "Interface")
    refused = f"Refused to put {interface} into the bridge {name}: "
    link = found.get(interface)
    if link is None:
        raise work.WorkError(
            refused + "the host has no such interface. Correct the host's compute_flat_interfaces."
        )
    if link.get("master") not in (None, name):
        raise work.WorkError(
            refused + f"it belongs to {link['master']} already. Give the network an interface of "
            f"its own, or release this one: `ip link set dev {interface} nomaster`."
        )
    addresses = _addresses(link)
    if addresses:
        raise work.WorkError(
            refused + f"the host has the address {addresses[0]} on it and would no longer be "
            "reachable there. Give the network an interface without an address "
            "(compute_flat_interfaces), or move the address to another one first."
        )
    if link["mtu"] < params["mtu"]:
        raise work.WorkError(
            refused + f"its MTU is {link['mtu']}, the network's {params['mtu']}, and longer frames "
            f"would be lost. Raise it (`ip link set dev {interface} mtu {params['mtu']}`) or lower "
            "the network's mtu."
        )


def _addresses(link: dict[str, Any]) -> list[str]:
    """The addresses that somebody gave the link; the kernel's own link-local one does not count."""
    return [
        f"{address['local']}/{address['prefixlen']}"
        for address in link.get("addr_info", [])
        if address.get("scope") != "link"
    ]


def describe(found: network_links.Links, name: str) -> str:
    """Return the bridge as it is, in the lines of the diff; empty when it is not there."""
    link = found.get(name)
    if link is None:
        return ""
    data = link.get("linkinfo", {}).get("info_data", {})
    options = {option: data.get(option) for option in OPTIONS}
    ipv6_off = network_links.is_ipv6_off(name)
    members = network_links.members(found, name)
    arp_off = "NOARP" in link["flags"]
    return _text(link["mtu"], "UP" in link["flags"], arp_off, options, ipv6_off, members)


def _wanted_description(name: str, params: dict[str, Any], found: network_links.Links) -> str:
    members = set(network_links.members(found, name))
    if params.get("interface"):
        members.add(params["interface"])
    return _text(params["mtu"], True, True, OPTIONS, True, sorted(members))


def _text(
    mtu: int,
    is_up: bool,
    arp_off: bool,
    options: dict[str, Any],
    ipv6_off: bool,
    members: list[str],
) -> str:
    lines = [f"mtu {mtu}", "up" if is_up else "down", f"arp {'off' if arp_off else 'on'}"]
    lines += [f"{option} {value}" for option, value in options.items()]
    lines.append(f"ipv6 {'off' if ipv6_off else 'on'}")
    lines += [f"member {member}" for member in members]
    return "\n".join(lines) + "\n"


def _make(name: str, params: dict[str, Any], found: network_links.Links) -> None:
    options = " ".join(f"{option} {value}" for option, value in OPTIONS.items())
    verb = f"link set dev {name}" if name in found else f"link add name {name}"
    # Before it is up: no link-local address is ever made.
    mtu = f"link set dev {name} mtu {params['mtu']} addrgenmode none arp off"
    network_links.batch([f"{verb} type bridge {options}", mtu])
    network_links.switch_off_ipv6(name)
    lines = [f"link set dev {name} up"]
    interface = params.get("interface")
    if interface:
        lines += [f"link set dev {interface} master {name}", f"link set dev {interface} up"]
    network_links.batch(lines)
