"""The names that plays give to what they make on hosts, as the controller reads them there.

The same as plugins/module_utils/names.py, which hosts use and the controller cannot import; a test
holds the two together.
"""

import hashlib

TAP, BRIDGE, VETH = "nvt", "nvb", "nvv"
_SHORT = 11


def short(identifier: str) -> str:
    """Return the part of a UUID that stands in the names of interfaces and chains."""
    return identifier.replace("-", "")[:_SHORT]


def tap(port_id: str) -> str:
    return TAP + short(port_id)


def bridge(network_id: str) -> str:
    return BRIDGE + short(network_id)


def veth(network_id: str) -> str:
    return VETH + short(network_id)


def group_set(group_id: str, version: int = 4) -> str:
    """Return the ipset of a security group that a rule of an IP version names as remote."""
    return f"nvs{version}-{group_id.replace('-', '')[:20]}"


def dhcp_service(network_id: str) -> str:
    return f"dhcp-{network_id}"


def metadata_service(network_id: str) -> str:
    return f"metadata-{network_id}"


def domain(server_id: str) -> str:
    return f"novella-{server_id}"


def base_image(image_id: str) -> str:
    """Return the file of an image in a host's `_base`."""
    return hashlib.sha1(image_id.encode(), usedforsecurity=False).hexdigest()
