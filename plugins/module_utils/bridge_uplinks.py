"""Our own devices that lead from a network's bridge out of the host: VXLAN devices and VLANs.

One belongs to its bridge: linux_bridge removes it with the bridge, so nothing else must take it
back. It bears the mark of the cloud that it was made for in its alias.
"""

from __future__ import annotations

from typing import Any

from . import names, network_links, work

OWN_PREFIXES = (names.VXLAN_PREFIX, names.VLAN_PREFIX)
MIN_MTU, MAX_MTU = 576, 65535
_ALIAS = "novella:"


def check_mtu(what: str, mtu: int) -> None:
    if not MIN_MTU <= mtu <= MAX_MTU:
        raise work.WorkError(
            f"Refused {what}: its MTU {mtu} is not between {MIN_MTU} and {MAX_MTU}. Correct the "
            "network's mtu."
        )


def check_kind(found: network_links.Links, name: str, kind: str) -> None:
    """Raise WorkError when the host has an interface of this name that is of another kind."""
    link = found.get(name)
    is_kind = link.get("linkinfo", {}).get("info_kind") if link else kind
    if is_kind != kind:
        raise work.WorkError(
            f"Refused to make {name}: the host has an interface of this name that is no {kind} "
            f"device ({is_kind or 'physical'}). Rename or remove that."
        )


def check_bridge(found: network_links.Links, name: str, bridge: str) -> None:
    if bridge not in found:
        raise work.WorkError(
            f"Cannot make {name}: its bridge {bridge} is not there. Make it first (linux_bridge)."
        )


def describe(link: dict[str, Any]) -> list[str]:
    """Return how the device stands, but for what its kind alone has, in the lines of a diff."""
    name = link["ifname"]
    is_off = network_links.is_ipv6_off(name)
    return _lines(
        link.get("master"), link["mtu"], "UP" in link["flags"], is_off, link.get("ifalias")
    )


def wanted(bridge: str, mtu: int, cloud_id: str) -> list[str]:
    """Return the lines of a device that stands as it must."""
    return _lines(bridge, mtu, True, True, alias(cloud_id))


def alias(cloud_id: str) -> str:
    return _ALIAS + work.check_uuid(cloud_id, "Cloud id")


def _lines(
    master: str | None, mtu: int, is_up: bool, is_ipv6_off: bool, mark: str | None
) -> list[str]:
    return [
        f"in {master or 'no bridge'}",
        f"mtu {mtu}",
        "up" if is_up else "down",
        f"ipv6 {'off' if is_ipv6_off else 'on'}",
        f"mark {mark or 'none'}",
    ]


def plug(name: str, bridge: str, mtu: int, cloud_id: str) -> None:
    """Bring the device, which is there, into `bridge`, without an address of its own."""
    network_links.batch(
        [
            # Before it is up: no link-local address is ever made.
            f"link set dev {name} mtu {mtu} addrgenmode none alias {alias(cloud_id)}",
            f"link set dev {name} master {bridge}",
        ]
    )
    network_links.switch_off_ipv6(name)
    network_links.batch([f"link set dev {name} up"])


def absent(name: str, kind: str, check_mode: bool) -> dict[str, Any]:
    """Remove the device; the result of a module whose state is absent."""
    found = network_links.links()
    check_kind(found, name, kind)
    link = found.get(name)
    before = "\n".join(describe(link)) + "\n" if link else ""
    if link and not check_mode:
        work.run_command(["ip", "link", "delete", "dev", name])
    return {"changed": bool(link), "diff": work.text_diff(f"{kind} {name}", before, "")}


def of_bridge(found: network_links.Links, bridge: str) -> list[str]:
    """Return our own devices that lead out of `bridge`, whether they are in it or not."""
    short = bridge[len(names.BRIDGE_PREFIX) :]
    return [prefix + short for prefix in OWN_PREFIXES if prefix + short in found]
