"""The packet filter of ports on a host: compared with what is there, then one restore a program."""

from __future__ import annotations

import os
from typing import Any

from . import address_sets, filter_base, filter_tables, linux_bridge, names, port_rules, work

ARGUMENT_SPEC: dict[str, Any] = {
    "ports": {"type": "list", "elements": "dict", "default": []},
    "security_groups": {"type": "list", "elements": "dict", "default": []},
    "remote_group_members": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "base": {"type": "bool", "default": False},
}
SPEC_RULES: dict[str, Any] = {}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the rules of the ports of `params` (see ARGUMENT_SPEC) into their state.

    A tap that is not there yet is normal: a port's rules exist before its domain starts. The base
    chains are always made sure of, but for a removal where nothing of ours is; with `base` and no
    ports that is all.
    """
    ports = params["ports"]
    if not ports and not params["base"]:
        return {"changed": False, "diff": [], "ports": []}
    modprobe = _needs_netfilter(check_mode)
    with filter_tables.lock(check_mode):
        result = _run(params, check_mode)
    result["changed"] = result["changed"] or modprobe
    return result


def _run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    present = filter_tables.read()
    own_chains, entries, sets = _wanted(params)
    if params["state"] == "absent" and not filter_tables.has_ours(present):
        return {"changed": False, "diff": [], "ports": [port["id"] for port in params["ports"]]}
    wanted = filter_base.wanted(present, entries)
    for key, chains in own_chains.items():
        wanted[key].update(chains)
    changed = filter_tables.changes(present, wanted)
    extra = filter_tables.hooks(filter_base.JUMPS, present)
    present_sets = address_sets.read()
    set_lines = address_sets.restore_lines(present_sets, sets)
    unused = address_sets.unused({**present_sets, **sets}, present, changed)
    gone = [name for name in unused if name in present_sets or name in sets]
    if not check_mode:
        address_sets.restore(set_lines)
        taps = [names.tap_name(port["id"]) for port in params["ports"]]
        is_new = not any(os.path.exists(f"/sys/class/net/{tap}") for tap in taps)
        # With a hook that is missing, others' frames are concerned too.
        side_by_side = is_new and not extra
        filter_tables.restore(changed, present, extra, side_by_side=side_by_side)
        for name in gone:
            address_sets.destroy(name)
    new_ports = [port["id"] for port in params["ports"] if not _is_known(port["id"], present)]
    before, after = filter_tables.diff_texts(present, changed, extra)
    after += "".join(f"ipset: {line}\n" for line in set_lines)
    before += "".join(f"ipset: {name}\n" for name in gone)
    result = {
        "changed": bool(changed or extra or set_lines or gone),
        "diff": work.text_diff("packet filter", before, after),
        "ports": [port["id"] for port in params["ports"]],
    }
    if params["state"] == "present" and new_ports and not check_mode:
        undone = [{"id": port_id} for port_id in new_ports]
        result["undo_args"] = {"ports": undone, "state": "absent"}
    return result


def _is_known(port_id: str, present: filter_tables.Tables) -> bool:
    """Whether the port has rules from before; an open one has no chain of its own."""
    tap = names.tap_name(port_id)
    return any(tap in rule for rule in present[filter_tables.IP4].get("nv-ingress", []))


def _wanted(
    params: dict[str, Any],
) -> tuple[filter_tables.Wanted, filter_base.Entries, address_sets.Sets]:
    """Return the ports' own chains, their entries in the base chains, and the sets they need."""
    groups = {group["id"]: group for group in params["security_groups"]}
    chains: filter_tables.Wanted = {}
    entries: filter_base.Entries = {}
    for port in params["ports"]:
        _check_port(port, params["state"])
        if params["state"] == "present":
            own_chains, own_entries = port_rules.port_tables(port, groups)
        else:
            own_chains, own_entries = port_rules.absent_tables(port["id"])
        for key, of_table in own_chains.items():
            chains.setdefault(key, {}).update(of_table)
        for place, of_chain in own_entries.items():
            entries.setdefault(place, {}).update(of_chain)
    if params["state"] == "absent":
        return chains, entries, {}
    sets: address_sets.Sets = {}
    for version in (4, 6):
        group_ids = port_rules.remote_groups(params["ports"], groups, version)
        sets |= address_sets.wanted(group_ids, params["remote_group_members"], version)
    return chains, entries, sets


def _check_port(port: dict[str, Any], state: str) -> None:
    needed = ["id"] if state == "absent" else ["id", "network_id", "mac_address"]
    missing = [key for key in needed if not port.get(key)]
    if missing:
        raise work.WorkError(
            f"Refused the port {port.get('id', port)}: {missing[0]} is missing. Give id, "
            "network_id, mac_address and fixed_ips."
        )
    work.check_uuid(port["id"], "Port id")
    tap = port.get("tap")
    if tap and tap != names.tap_name(port["id"]):
        raise work.WorkError(
            f"Refused the port {port['id']}: its tap {tap!r} is not the one that its id gives, "
            f"{names.tap_name(port['id'])}. Leave tap out."
        )


def _needs_netfilter(check_mode: bool) -> bool:
    """Load br_netfilter where it is missing, without which no bridged frame meets these rules."""
    if os.path.exists(linux_bridge.NETFILTER_MARK):
        return False
    if not check_mode:
        work.run_command(["modprobe", "br_netfilter"])
    return True
