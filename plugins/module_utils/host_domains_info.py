"""The domains of a host with all that taking one over needs: the module `host_domains_info`.

Read only, without a lock. Secrets are not in it: of user data there is a digest.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from typing import Any

from . import (
    fence,
    host_audit_files,
    image_inspection,
    libvirt_connection,
    libvirt_domain_info,
    names,
    network_files,
    work,
)
from .instance_paths import STATE_PATH

ARGUMENT_SPEC: dict[str, Any] = {
    "state_path": {"type": "path", "default": STATE_PATH},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}

META_DATA = "openstack/latest/meta_data.json"
GUEST_KEYS = (
    "name", "hostname", "availability_zone", "launch_index", "public_keys", "meta", "project_id",
)  # fmt: skip


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:  # noqa: ARG001 - reads only
    """Return `found` {"state_path", "domains"}; see the module host_domains_info."""
    state_path = params["state_path"]
    domains = libvirt_domain_info.run({"uri": params["uri"]}, check_mode=True)["domains"]
    by_tap = {
        names.tap_name(each["port_id"]): each for each in host_audit_files.dhcp_hosts(state_path)
    }
    return {
        "changed": False,
        "found": {
            "state_path": state_path,
            "domains": [_described(domain, by_tap, state_path) for domain in domains],
        },
    }


def _described(
    domain: dict[str, Any], by_tap: dict[str, dict[str, Any]], state_path: str
) -> dict[str, Any]:
    ports = [by_tap.get(str(card["tap"])) for card in domain["interfaces"]]
    return {
        **domain,
        "disks": [{**disk, **_disk_file(disk["source"])} for disk in domain["disks"]],
        "interfaces": [
            {**card, "port": port} for card, port in zip(domain["interfaces"], ports, strict=True)
        ],
        "guest": _guest([port for port in ports if port], state_path),
        "fence": _fence(state_path, domain["id"]),
    }


def _disk_file(source: str | None) -> dict[str, Any]:
    """Return what the file says of itself, if it is a qcow2 file."""
    if source and os.path.isfile(source):
        with contextlib.suppress(OSError, work.WorkError):
            if image_inspection.detect_format(source) == "qcow2":
                header = image_inspection.read_qcow2_header(source)
                return {
                    "virtual_size_bytes": header.virtual_size_bytes,
                    "backing_file": header.backing_file,
                }
    return {"virtual_size_bytes": None, "backing_file": None}


def _guest(ports: list[dict[str, Any]], state_path: str) -> dict[str, Any] | None:
    """Return what the guest is told by the metadata server; None when that is nothing."""
    for port in ports:
        files = network_files.NetworkFiles(port["network_id"], state_path)
        for line in port["lines"]:
            address = os.path.basename(f"{line},,".split(",")[1])
            text = work.read_file(os.path.join(files.metadata, f"{address}.json"))
            if text is not None:
                with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
                    return _told(json.loads(text))
    return None


def _told(packed: dict[str, Any]) -> dict[str, Any]:
    def body(path: str) -> bytes | None:
        index = packed["paths"].get(path)
        return None if index is None else base64.b64decode(packed["bodies"][index])

    meta = json.loads(body(META_DATA) or b"{}")
    user_data = body("openstack/latest/user_data")
    groups = body("latest/meta-data/security-groups") or b""
    serial = str(packed.get("password") or "").rpartition(".")[2]
    return {
        **{key: meta.get(key) for key in GUEST_KEYS},
        "security_groups": groups.decode(errors="replace"),
        "user_data_sha256": None if user_data is None else hashlib.sha256(user_data).hexdigest(),
        "password_serial": int(serial) if serial.isdecimal() else 0,
    }


def _fence(state_path: str, domain_id: str) -> dict[str, Any] | None:
    try:
        record = fence.read(state_path, domain_id)
    except work.WorkError:
        record = None
    return None if record is None else {"owner": record.owner, "generation": record.generation}
