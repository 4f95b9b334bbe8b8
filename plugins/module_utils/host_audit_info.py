"""All that Novella has on a host, read only: the work of the module `host_audit_info`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import host_audit_files, host_audit_network, libvirt_connection, libvirt_domain_info, work
from .instance_paths import STATE_PATH

# A list longer than this is cut, and named in `truncated`: what is read goes through one result.
LIST_MAX = 20000

ARGUMENT_SPEC: dict[str, Any] = {
    "state_path": {"type": "path", "default": STATE_PATH},
    "service_backend": {
        "type": "str",
        "choices": ["auto", "systemd", "s6"],
        "default": "auto",
    },
    "uri": {"type": "str", "default": libvirt_connection.URI},
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:  # noqa: ARG001 - reads only
    """Return `audit`; see the module host_audit_info for what is in it.

    A part that can't be read (libvirt is away, say) is None, with the reason in `unread`: the
    others are of use all the same.
    """
    state_path = params["state_path"]
    parts: dict[str, Callable[[], Any]] = {
        "domains": lambda: _domains(params["uri"]),
        "folders": lambda: host_audit_files.folders(state_path),
        "quarantine": lambda: host_audit_files.quarantine(state_path),
        "bases": lambda: host_audit_files.bases(state_path),
        "networks": lambda: host_audit_files.networks(state_path),
        "dhcp_hosts": lambda: host_audit_files.dhcp_hosts(state_path),
        "metadata": lambda: host_audit_files.metadata(state_path),
        "fences": lambda: host_audit_files.fences(state_path),
        "journal": lambda: host_audit_files.journal_entries(state_path),
        "links": host_audit_network.our_links,
        "namespaces": host_audit_network.namespaces,
        "routers": host_audit_network.routers,
        "external_networks": host_audit_network.external_networks,
        "claims": host_audit_network.claims,
        "chains": host_audit_network.chains,
        "sets": host_audit_network.sets,
        "services": lambda: host_audit_network.services(params["service_backend"]),
    }
    audit: dict[str, Any] = {"unread": {}, "truncated": []}
    for name, read in parts.items():
        try:
            audit[name] = read()
        except (work.WorkError, OSError) as error:
            audit[name] = None
            audit["unread"][name] = str(getattr(error, "msg", error))
        if isinstance(audit[name], list) and len(audit[name]) > LIST_MAX:
            audit["truncated"].append(name)
            audit[name] = audit[name][:LIST_MAX]
    return {"changed": False, "audit": audit}


def _domains(uri: str) -> list[dict[str, Any]]:
    """Return the domains that may be ours: by their mark, by their name or by their taps."""
    found = libvirt_domain_info.run({"uri": uri}, check_mode=True)["domains"]
    return [_domain(one) for one in found if _may_be_ours(one)]


def _may_be_ours(domain: dict[str, Any]) -> bool:
    taps = [str(one["tap"] or "") for one in domain["interfaces"]]
    return bool(
        domain["cloud_id"]
        or str(domain["name"]).startswith("novella-")
        or any(tap.startswith("nvt") for tap in taps)
    )


def _domain(domain: dict[str, Any]) -> dict[str, Any]:
    kept = {name: domain[name] for name in ("id", "name", "cloud_id", "state", "persistent")}
    return {
        **kept,
        "disks": [one["source"] for one in domain["disks"] if one["source"]],
        "taps": [one["tap"] for one in domain["interfaces"] if one["tap"]],
        "autostart": os.path.lexists(f"/etc/libvirt/qemu/autostart/{domain['name']}.xml"),
    }
