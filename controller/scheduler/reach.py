"""Reach: what of the wires a host gets to, by its variables and facts."""

from typing import Any

from controller.db.models import Host
from controller.scheduler.spec import Segments


def missing(host: Host, wanted: Segments) -> list[str]:
    """Return what the host lacks to carry networks on these segments, in operators' words."""
    flat = _interfaces(host, "compute_flat_interfaces")
    vlan = _interfaces(host, "compute_vlan_interfaces") or flat
    found = [
        f"no interface into physical network {name} (compute_flat_interfaces)"
        for name in sorted(wanted.flat - flat)
    ]
    found += [
        f"no interface for VLANs of physical network {name} (compute_vlan_interfaces)"
        for name in sorted(wanted.vlan - vlan)
    ]
    # Hosts that were asked before this was read say nothing of it.
    if wanted.vlan and host.facts.get("vlan") is False:
        found.append("its kernel has no VLANs (module 8021q)")
    if wanted.overlay and not host.tunnel_ip:
        found.append("no address for the overlay (compute_tunnel_ip)")
    return found


def _interfaces(host: Host, variable: str) -> frozenset[str]:
    value: Any = host.variables.get(variable)
    return frozenset(value) if isinstance(value, dict) else frozenset()
