"""The lab's wires: a fabric namespace with two bridges, with legs of hosts and machine."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab import naming
from lab.command import run_command
from lab.errors import LabError
from lab.naming import LabNames, fabric_ports
from lab.processes import NETNS_DIR, netns_exists


def choose_index(preferred: int | None) -> int:
    """Return an index whose two networks nobody on this machine has an address in.

    `preferred` (that of an earlier `up`) is taken when it is free. Call it under machine_lock, and
    bring the fabric up before leaving it: the machine's legs are what claims the index.
    """
    taken = set()
    for address in _addresses():
        first, second, third, _ = address.split(".")
        if (first, second) in (("10", "90"), ("10", "91")):
            taken.add(int(third))
    if preferred is not None and preferred not in taken:
        return preferred
    for index in range(naming.MAX_INDEX + 1):
        if index not in taken:
            return index
    raise LabError("Every network 10.90.N.0/24 of this machine is taken. Take a lab down first.")


def owner_of(lab: str) -> str | None:
    """Return the folder of the lab called `lab` that is up on this machine, or None."""
    for link in _links():
        if link["ifname"] == LabNames(lab, 0).mgmt_leg:
            return str(link.get("ifalias", ""))
    return None


def lab_of(lab_dir: Path) -> str | None:
    """Return the name of the lab on this machine whose folder is `lab_dir`, or None."""
    for link in _links():
        name = str(link["ifname"])
        if name.startswith(naming.ROOT_LEG_PREFIX) and link.get("ifalias") == str(lab_dir):
            return name.removeprefix(naming.ROOT_LEG_PREFIX).rpartition("-")[0]
    return None


def fabric_up(names: LabNames, lab_dir: Path) -> None:
    """Make the fabric and the machine's legs into it; what is there already stays."""
    fabric = names.fabric_netns
    if not netns_exists(fabric):
        _ip("netns", "add", fabric)
        _ip("-n", fabric, "link", "set", "lo", "up")
    bridges = (
        (naming.MGMT_BRIDGE, names.mgmt_gateway, names.mgmt_leg, names.mgmt_root_ip),
        (
            naming.EXTERNAL_BRIDGE,
            names.external_gateway,
            names.external_leg,
            names.external_root_ip,
        ),
    )
    for bridge, gateway, leg, root_ip in bridges:
        _bridge_up(fabric, bridge, gateway)
        _root_leg_up(fabric, bridge, leg, root_ip, lab_dir)
    _set_sysctl_in(fabric, "net/bridge/bridge-nf-call-iptables", "0")
    _set_sysctl_in(fabric, "net/bridge/bridge-nf-call-ip6tables", "0")
    _set_sysctl_in(fabric, "net/bridge/bridge-nf-call-arptables", "0")


def host_up(names: LabNames, host: str, number: int) -> None:
    """Make a host's namespace anew, with eth0 and eth1 plugged into the fabric."""
    host_down(names, host)
    netns, fabric = names.host_netns(host), names.fabric_netns
    mgmt_port, external_port = fabric_ports(host)
    _ip("netns", "add", netns)
    _ip("-n", netns, "link", "set", "lo", "up")
    mgmt, external = naming.MGMT_BRIDGE, naming.EXTERNAL_BRIDGE
    _plug((netns, "eth0"), (fabric, mgmt_port), mac=names.mgmt_mac(number), bridge=mgmt)
    _plug((netns, "eth1"), (fabric, external_port), mac=names.external_mac(number), bridge=external)
    _ip("-n", netns, "addr", "add", f"{names.mgmt_ip(number)}/24", "dev", "eth0")
    _ip("-n", netns, "route", "add", "default", "via", names.mgmt_gateway)


def host_down(names: LabNames, host: str) -> None:
    """Remove a host's namespace and its wires; nothing happens when they are gone."""
    for port in fabric_ports(host):
        # Deleted by name first: the kernel takes a namespace's interfaces away some time after
        # `netns del`, and a host that starts again at once would find the names in use.
        _ip_quiet("-n", names.fabric_netns, "link", "del", port)
    _ip_quiet("netns", "del", names.host_netns(host))


def fabric_down(lab: str) -> None:
    """Remove the fabric, the machine's legs and what namespaces of the lab are left."""
    names = LabNames(lab, 0)
    for leg in (names.mgmt_leg, names.external_leg):
        _ip_quiet("link", "del", leg)
    for netns in (*host_namespaces(lab), names.fabric_netns):
        _ip_quiet("netns", "del", netns)


def host_namespaces(lab: str) -> list[str]:
    """Return the namespaces of the lab's hosts that exist, by name, whatever its record says."""
    if not NETNS_DIR.is_dir():
        return []
    prefix = f"{naming.fabric_netns(lab)}."
    return sorted(entry.name for entry in NETNS_DIR.iterdir() if entry.name.startswith(prefix))


def _bridge_up(fabric: str, bridge: str, gateway: str) -> None:
    if not _link_exists(bridge, fabric):
        _ip("-n", fabric, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
    _ip("-n", fabric, "addr", "replace", f"{gateway}/24", "dev", bridge)
    _ip("-n", fabric, "link", "set", bridge, "up")


def _root_leg_up(fabric: str, bridge: str, leg: str, address: str, lab_dir: Path) -> None:
    port = f"root-{bridge.removeprefix('br')}"
    if not _link_exists(leg):
        # The alias says whose it is, so a lab can be found and taken down without its record.
        _ip("link", "add", leg, "type", "veth", "peer", "name", port, "netns", fabric)
        _ip("link", "set", leg, "alias", str(lab_dir))
    _ip("addr", "replace", f"{address}/24", "dev", leg)
    _ip("link", "set", leg, "up")
    _ip("-n", fabric, "link", "set", port, "master", bridge, "up")


def _plug(end: tuple[str, str], far_end: tuple[str, str], *, mac: str, bridge: str) -> None:
    """Lay a wire between two (namespace, interface) and put its far end into a bridge there."""
    (netns, device), (fabric, port) = end, far_end
    # `address` stands before `type`: after it, it would be read as an option of the type.
    _ip(
        *("link", "add", device, "address", mac, "netns", netns),
        *("type", "veth", "peer", "name", port, "netns", fabric),
    )
    _ip("-n", fabric, "link", "set", port, "master", bridge, "up")
    _ip("-n", netns, "link", "set", device, "up")


def _set_sysctl_in(netns: str, key: str, value: str) -> None:
    # Written in a child that is in the namespace: these settings are per namespace and start at 1.
    # Without br_netfilter there is no such file, and nothing filters.
    script = f"if [ -e /proc/sys/{key} ]; then echo {value} > /proc/sys/{key}; fi"
    run_command(["ip", "netns", "exec", netns, "sh", "-c", script])


def _link_exists(name: str, netns: str | None = None) -> bool:
    return any(link["ifname"] == name for link in _links(netns))


def _links(netns: str | None = None) -> list[dict[str, Any]]:
    where = ("-n", netns) if netns else ()
    links: list[dict[str, Any]] = json.loads(_ip(*where, "-j", "link", "show") or "[]")
    return [link for link in links if "ifname" in link]


def _addresses() -> Iterator[str]:
    for link in json.loads(_ip("-j", "-4", "addr", "show") or "[]"):
        for address in link.get("addr_info", ()):
            if "local" in address:
                yield address["local"]


def _ip(*words: str) -> str:
    return run_command(["ip", *words])


def _ip_quiet(*words: str) -> None:
    with suppress(LabError):
        _ip(*words)
