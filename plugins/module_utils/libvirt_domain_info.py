"""The domains of a host, read only: the work of the module `libvirt_domain_info`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import domain_power, domain_xml, libvirt_connection, work

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "aliases": ["id"]},
    "cloud_id": {"type": "str"},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:  # noqa: ARG001 - reads only
    """Return `domains`: one of `server_id`, those with the mark of `cloud_id`, or all.

    See the module libvirt_domain_info for what a domain has. A server without a domain is no error.
    """
    with libvirt_connection.connected(params.get("uri")) as connection:
        if params.get("server_id"):
            server_id = work.check_uuid(params["server_id"], "server id")
            domain = libvirt_connection.lookup(connection, server_id)
            found = [domain] if domain is not None else []
        else:
            with libvirt_connection.explained("list the domains of this host"):
                found = connection.listAllDomains()
        domains = [_described(domain) for domain in found]
    cloud_id = params.get("cloud_id")
    wanted = [one for one in domains if not cloud_id or one["cloud_id"] == cloud_id]
    return {"changed": False, "domains": sorted(wanted, key=lambda one: str(one["name"]))}


def _described(domain: Any) -> dict[str, Any]:
    root = libvirt_connection.definition(domain, live=True)
    state = domain_power.state_of(domain)
    return {
        "id": domain.UUIDString(),
        "name": domain.name(),
        "cloud_id": domain_xml.marked_cloud(root),
        "mark": domain_xml.mark_texts(root),
        "state": state,
        "persistent": bool(domain.isPersistent()),
        "virt_type": root.get("type"),
        "machine": domain_xml.machine_of(root),
        "vcpus": int(root.findtext("vcpu", "0")),
        "memory_mb": int(root.findtext("memory", "0")) // 1024,
        "disks": [_disk(disk) for disk in root.iterfind("devices/disk")],
        "interfaces": [_interface(one) for one in root.iterfind("devices/interface")],
        **domain_xml.console_ports(root),
    }


def _attribute(parent: ET.Element, child: str, *names: str) -> str | None:
    element = parent.find(child)
    if element is None:
        return None
    return next((element.get(name) for name in names if element.get(name)), None)


def _disk(disk: ET.Element) -> dict[str, Any]:
    return {
        "device": _attribute(disk, "target", "dev"),
        "source": _attribute(disk, "source", "file", "dev", "name"),
        "format": _attribute(disk, "driver", "type"),
        "serial": disk.findtext("serial"),
    }


def _interface(interface: ET.Element) -> dict[str, Any]:
    return {
        "tap": _attribute(interface, "target", "dev"),
        "mac_address": _attribute(interface, "mac", "address"),
        "bridge": _attribute(interface, "source", "bridge", "network", "dev"),
    }
