"""The names of what Novella makes on a host, each derived from an id in this one place.

Kernel interface names hold 15 characters, iptables chains 28 and ipsets 31, so most names carry the
first hex digits of the id: 11 of them (44 bits) make a clash on one host a matter of a million
interfaces. Every function raises ValueError for what is no UUID, so that no name can leave its
folder or become an option of a command.
"""

from __future__ import annotations

import hashlib
import re

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHORT = 11

BRIDGE_PREFIX = "nvb"
VETH_PREFIX = "nvv"
TAP_PREFIX = "nvt"
LEG_PREFIX = "nvr"
EXTERNAL_PREFIX = "nve"
VXLAN_PREFIX = "nvx"
VLAN_PREFIX = "nvl"
NAMESPACE_PREFIX = "nvn-"
ROUTER_PREFIX = "nvr-"
EXTERNAL_NAMESPACE_PREFIX = "nve-"
NAMESPACE_INTERFACE = "eth0"
CHAIN_PREFIX = "nv-"
IPSET_PREFIX = "nvs"
ADVERTISEMENT_PREFIX = "ra-"


def _checked(identifier: str) -> str:
    if not isinstance(identifier, str) or not _UUID.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is no UUID in lower case with dashes")
    return identifier


def _short(identifier: str) -> str:
    return _checked(identifier).replace("-", "")[:_SHORT]


def bridge_name(network_id: str) -> str:
    """The bridge of a network, the same on every host: `nvb` and 11 hex digits."""
    return BRIDGE_PREFIX + _short(network_id)


def veth_name(network_id: str) -> str:
    """The end, in the host's root namespace, of the cable into the network's namespace."""
    return VETH_PREFIX + _short(network_id)


def vxlan_name(network_id: str) -> str:
    """The device in the network's bridge that leads to the other hosts of a VXLAN network."""
    return VXLAN_PREFIX + _short(network_id)


def vlan_name(network_id: str) -> str:
    """The device in the network's bridge that leads to a VLAN of a physical network."""
    return VLAN_PREFIX + _short(network_id)


def namespace_name(network_id: str) -> str:
    """The network's namespace as `ip netns` lists it."""
    return NAMESPACE_PREFIX + _checked(network_id)


def leg_name(port_id: str) -> str:
    """The end, in a network's bridge, of a router's cable: named by the interface's port."""
    return LEG_PREFIX + _short(port_id)


def leg_inside(port_id: str) -> str:
    """The same cable's end in the router's namespace."""
    return "leg" + _short(port_id)


def router_namespace_name(router_id: str) -> str:
    """The router's namespace as `ip netns` lists it."""
    return ROUTER_PREFIX + _checked(router_id)


def router_link(router_id: str) -> str:
    """The end, in the external namespace, of the cable to a router."""
    return "rt" + _short(router_id)


def external_name(network_id: str) -> str:
    """The end, in an external network's bridge, of the cable into its external namespace."""
    return EXTERNAL_PREFIX + _short(network_id)


def external_namespace_name(network_id: str) -> str:
    """The namespace through which this host's routers reach an external network."""
    return EXTERNAL_NAMESPACE_PREFIX + _checked(network_id)


def tap_name(port_id: str) -> str:
    """The tap that libvirt makes for a port's domain."""
    return TAP_PREFIX + _short(port_id)


def port_ingress_chain(port_id: str) -> str:
    """The iptables chain of traffic towards the guest."""
    return f"{CHAIN_PREFIX}i-{_short(port_id)}"


def port_egress_chain(port_id: str) -> str:
    """The iptables chain of traffic from the guest; ebtables uses the same name."""
    return f"{CHAIN_PREFIX}o-{_short(port_id)}"


def port_source_chain(port_id: str) -> str:
    """The iptables chain with the source addresses that a port may use."""
    return f"{CHAIN_PREFIX}s-{_short(port_id)}"


def network_chain(network_id: str) -> str:
    """The ebtables chain that keeps a network's own services on this host."""
    return f"{CHAIN_PREFIX}n-{_short(network_id)}"


def leg_chain(port_id: str) -> str:
    """The ebtables chain that keeps a gateway's ARP and neighbour discovery on this host."""
    return f"{CHAIN_PREFIX}r-{_short(port_id)}"


def group_set(group_id: str, version: int = 4) -> str:
    """The ipset with a security group's members, of one IP version, that a rule names as remote."""
    return f"{IPSET_PREFIX}{version}-{_checked(group_id).replace('-', '')[:20]}"


def underlay_set(version: int) -> str:
    """The ipset with the other hosts that may send VXLAN packets to this one."""
    return f"{IPSET_PREFIX}{version}-underlay"


def dhcp_service(network_id: str) -> str:
    """The supervised dnsmasq of a network."""
    return f"dhcp-{_checked(network_id)}"


def advertisement_service(router_id: str, port_id: str) -> str:
    """The supervised dnsmasq that tells a network's guests of a router, by one of its legs."""
    return f"{advertisement_services(router_id)}{_short(port_id)}"


def advertisement_services(router_id: str) -> str:
    """What the names of all these of one router start with."""
    return f"{ADVERTISEMENT_PREFIX}{_checked(router_id)}."


def metadata_service(network_id: str) -> str:
    """The supervised metadata server of a network."""
    return f"metadata-{_checked(network_id)}"


def base_image_name(image_id: str) -> str:
    """The file of an image in `_base`: the SHA-1 of its id, as Nova names it."""
    return hashlib.sha1(_checked(image_id).encode(), usedforsecurity=False).hexdigest()
