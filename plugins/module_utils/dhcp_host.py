"""A port's addresses in the DHCP server of its network on this host."""

from __future__ import annotations

import os
import re
from typing import Any

from . import (
    dhcp_options,
    dhcp_release,
    names,
    network_files,
    plain_addresses,
    port_rules,
    service_units,
    work,
)

# A host name as RFC 1123 has it; it goes into dnsmasq's file as it is.
HOSTNAME_RE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

ARGUMENT_SPEC: dict[str, Any] = {
    "network_id": {"type": "str", "required": True},
    "port_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mac_address": {"type": "str"},
    "ip_addresses": {"type": "list", "elements": "str", "default": []},
    "hostname": {"type": "str"},
    "extra_dhcp_opts": {"type": "list", "elements": "dict", "default": []},
    "state_path": {"type": "path", "default": network_files.STATE_PATH},
    "service_backend": {
        "type": "str",
        "choices": ["auto", "systemd", "s6"],
        "default": "auto",
    },
}
SPEC_RULES: dict[str, Any] = {"required_if": [("state", "present", ["mac_address"])]}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the port's reservation into its state; dnsmasq reads it again only when it changed."""
    files = network_files.NetworkFiles(params["network_id"], params["state_path"])
    path = files.dhcp_host(params["port_id"])
    is_new = not os.path.lexists(path)
    before = work.read_file(path) or ""
    is_present = params["state"] == "present"
    after = host_lines(params) if is_present else ""
    if is_present and not check_mode and not os.path.isdir(files.dhcp_hosts):
        raise work.WorkError(
            f"Cannot reserve the address of port {params['port_id']}: network {files.network_id} "
            "is not on this host. Make it first (network_namespace)."
        )
    options_path = files.dhcp_opt(params["port_id"])
    options_before = work.read_file(options_path) or ""
    given = params.get("extra_dhcp_opts") or []
    options = dhcp_options.lines(given, params["port_id"]) if is_present else ""
    changed = before != after or options_before != options
    if changed and not check_mode:
        _write(options_path, options)
        _write(path, after, is_kept=is_present)
        service_units.reload(names.dhcp_service(files.network_id), params["service_backend"])
    if not check_mode:
        _release(files, params, before)
    diffs = [work.text_diff(path, before, after)]
    if options_before != options:
        diffs.append(work.text_diff(options_path, options_before, options))
    result = {"changed": changed, "diff": diffs if len(diffs) > 1 else diffs[0]}
    if is_present and is_new and not check_mode:
        kept = ("network_id", "port_id", "state_path", "service_backend")
        result["undo_args"] = {**{name: params[name] for name in kept}, "state": "absent"}
    return result


def _write(path: str, text: str, is_kept: bool = False) -> None:
    if text or is_kept:
        work.write_file(path, text, 0o644)
    else:
        work.remove_file(path)


def _release(files: network_files.NetworkFiles, params: dict[str, Any], before: str) -> None:
    """Give back leases in the way: dnsmasq keeps an address for a MAC for a day, deleted or not."""
    if params["state"] == "absent":
        stale = [
            lease
            for lease in dhcp_release.leases(files.leases)
            if f"{lease.mac},{lease.address}" in before
        ]
    else:
        mac = params["mac_address"].lower()
        stale = [
            lease
            for lease in dhcp_release.leases(files.leases)
            if (lease.address in params["ip_addresses"]) != (lease.mac == mac)
        ]
    if stale:
        dhcp_release.release(stale, names.namespace_name(files.network_id), files.dnsmasq_conf)


def host_lines(params: dict[str, Any]) -> str:
    """Return the file of the port: a line for each address.

    Raises WorkError for what could not stand in it.
    """
    port_id, mac = params["port_id"], str(params["mac_address"]).lower()
    hostname = params.get("hostname") or ""
    if not port_rules.MAC_RE.fullmatch(mac):
        raise work.WorkError(
            f"Refused the MAC address {params['mac_address']!r} of port {port_id}: write it as "
            "fa:16:3e:00:00:01."
        )
    if hostname and not HOSTNAME_RE.fullmatch(hostname):
        raise work.WorkError(
            f"Refused the host name {hostname!r} of port {port_id}: use letters, digits and "
            "hyphens, 63 at most (RFC 1123)."
        )
    tag = f",set:{port_id}" if params.get("extra_dhcp_opts") else ""
    lines = [
        f"{mac}{tag},{_written(address, port_id)}{',' + hostname if hostname else ''}"
        for address in params["ip_addresses"]
    ]
    return "".join(line + "\n" for line in lines)


def _written(address: str, port_id: str) -> str:
    try:
        plain = plain_addresses.address(address)
        return f"[{plain}]" if plain.version == 6 else str(plain)
    except ValueError as error:
        raise work.WorkError(
            f"Refused the address {address!r} of port {port_id}: it is no IP address. Correct it."
        ) from error
