"""Whether a network that this process made sure of still stands, told from a few files.

A batch puts many servers on one network, and a full look at it takes ten processes. Another run may
remove it between two servers, or one of its services may die: each shows here. What somebody
changes by hand inside a namespace that stays, or an address on a bridge, shows to the next run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import names, network_files, network_links

SYSFS = "/sys/class/net"
# Those that linux_bridge sets, by sysfs's names.
_BRIDGE_OPTIONS = (
    "stp_state", "forward_delay", "multicast_snooping", "nf_call_iptables", "nf_call_ip6tables",
)  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """What stays as it is for as long as nobody touches the network; two are compared."""

    namespace: tuple[int, int]
    # Interface numbers are not given out again, unlike inodes.
    cable: tuple[str, ...]
    uplinks: tuple[str, ...]
    is_ipv6_off: bool
    conf: tuple[int, int] | None
    metadata_folder: tuple[int, int, int]
    # Process and the time that it was started at.
    services: tuple[tuple[int, str], ...]


def seen(files: network_files.NetworkFiles, bridge: str, pids: tuple[int, ...]) -> Standing | None:
    """Return how the network stands now, None when any part of it isn't there."""
    veth = names.veth_name(files.network_id)
    try:
        namespace = os.stat(
            os.path.join(network_links.NETNS_FOLDER, names.namespace_name(files.network_id))
        )
        folder = os.stat(files.metadata)
        os.stat(files.dhcp_hosts)
        return Standing(
            namespace=(namespace.st_dev, namespace.st_ino),
            cable=(*_interface(veth), *_interface(bridge), _bridge_of(veth)),
            uplinks=uplinks(bridge),
            is_ipv6_off=network_links.is_ipv6_off(veth),
            conf=_file(files.dnsmasq_conf),
            metadata_folder=(folder.st_ino, folder.st_mode, folder.st_gid),
            services=tuple((pid, started_at(pid)) for pid in pids),
        )
    except (OSError, IndexError):
        return None


def bridge_seen(bridge: str, interface: str | None) -> tuple[str, ...] | None:
    """Return how `bridge`, and the `interface` in it, stand now; None when either isn't there."""
    folder = os.path.join(SYSFS, bridge, "bridge")
    try:
        options = [f"{option}={_line(os.path.join(folder, option))}" for option in _BRIDGE_OPTIONS]
        members = [*_interface(interface), _bridge_of(interface)] if interface else []
        ipv6 = f"ipv6 off: {network_links.is_ipv6_off(bridge)}"
        return (*_interface(bridge), *options, *members, ipv6, *uplinks(bridge))
    except OSError:
        return None


def uplinks(bridge: str) -> tuple[str, ...]:
    """Return the members of `bridge` that lead out of the host, sorted. Raises OSError."""
    members = os.listdir(os.path.join(SYSFS, bridge, "brif"))
    return tuple(sorted(m for m in members if not m.startswith(network_links.OWN_MEMBERS)))


def _interface(name: str) -> tuple[str, ...]:
    return tuple(
        _line(os.path.join(SYSFS, name, attribute)) for attribute in ("ifindex", "mtu", "flags")
    )


def _bridge_of(veth: str) -> str:
    return os.path.basename(os.readlink(os.path.join(SYSFS, veth, "master")))


def _file(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def started_at(pid: int) -> str:
    """Return when a process was started, in the kernel's ticks. Raises OSError without one."""
    # The program's name may have blanks in it; it is in brackets.
    fields = _line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if fields[0] == "Z":
        raise ProcessLookupError(pid)
    return fields[19]


def _line(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()
