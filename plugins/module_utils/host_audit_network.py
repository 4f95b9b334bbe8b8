"""What the kernel and the supervisor of a host have of ours: interfaces, namespaces, rules, units.

Ours is what bears our prefixes (names.py); all else is the operator's and not looked at.
"""

from __future__ import annotations

import os
import re
from typing import Any

from . import (
    address_sets,
    filter_base,
    filter_tables,
    names,
    network_files,
    network_links,
    service_units,
    work,
)

NETNS_FOLDER = "/run/netns"
KINDS = {
    names.BRIDGE_PREFIX: "bridge",
    names.VETH_PREFIX: "veth",
    names.TAP_PREFIX: "tap",
    names.LEG_PREFIX: "leg",
    names.EXTERNAL_PREFIX: "external",
}
_TAP_RE = re.compile(rf"\b{names.TAP_PREFIX}[0-9a-f]{{11}}\b")


def our_links() -> list[dict[str, Any]]:
    """Return our interfaces in the root namespace: name, kind (see KINDS), bridge."""
    found = network_links.links()
    return [
        {"name": name, "kind": KINDS[name[:3]], "bridge": link.get("master")}
        for name, link in sorted(found.items())
        if name[:3] in KINDS
    ]


def namespaces() -> list[str]:
    """Return the ids of the networks that have a namespace."""
    return _ids(names.NAMESPACE_PREFIX)


def _ids(prefix: str) -> list[str]:
    """Return the ids in the names of the namespaces that start with `prefix`."""
    found = [name[len(prefix) :] for name in _listing(NETNS_FOLDER) if name.startswith(prefix)]
    return [name for name in found if work.UUID_RE.fullmatch(name)]


def routers() -> list[dict[str, Any]]:
    """Return the routers that have a namespace: id, legs (in the root namespace) and external.

    `external` are the ids of the networks to whose namespace it has a cable.
    """
    inside = {router: _inside(names.router_namespace_name(router)) for router in router_ids()}
    ways = {
        network: _inside(names.external_namespace_name(network)) for network in external_networks()
    }
    return [
        {
            "id": router,
            "legs": [names.LEG_PREFIX + name[3:] for name in links if name.startswith("leg")],
            "external": [each for each in ways if names.router_link(router) in ways[each]],
        }
        for router, links in inside.items()
    ]


def router_ids() -> list[str]:
    """Return the ids of the routers that have a namespace."""
    return _ids(names.ROUTER_PREFIX)


def external_networks() -> list[str]:
    """Return the ids of the networks that this host has a way out to."""
    return _ids(names.EXTERNAL_NAMESPACE_PREFIX)


def _inside(netns: str) -> list[str]:
    try:
        return sorted(network_links.links(netns))
    except work.WorkError:
        # Its file is all that is left of it.
        return []


def claims() -> list[dict[str, Any]]:
    """Return who is recorded as needing a bridge: bridge, port_id."""
    return [
        {"bridge": bridge, "port_id": port_id}
        for bridge in _listing(network_files.CLAIMS)
        for port_id in sorted(network_files.claimants(bridge))
    ]


def chains() -> list[dict[str, Any]]:
    """Return our chains: table and name; of those that hand out by tap also `taps`.

    And a built-in chain whose jump into ours is missing, as {"table", "name", "missing_jump"}.
    """
    present = filter_tables.read()
    found: list[dict[str, Any]] = []
    for table, of_table in sorted(present.items()):
        for chain, rules in sorted(of_table.items()):
            if not chain.startswith(names.CHAIN_PREFIX):
                continue
            described: dict[str, Any] = {"table": table, "name": chain}
            if (table, chain) in filter_base.DISPATCH:
                described["taps"] = sorted(set(_TAP_RE.findall("\n".join(rules))))
            found.append(described)
    missing = filter_tables.hooks(filter_base.JUMPS, present)
    return found + [
        {"table": table, "name": line.split()[1], "missing_jump": line}
        for table, lines in sorted(missing.items())
        for line in lines
    ]


def sets() -> list[dict[str, Any]]:
    """Return our ipsets: name and number of members."""
    return [
        {"name": name, "members": len(members)}
        for name, members in sorted(address_sets.read().items())
        # The other hosts are no group of a tenant's.
        if name not in (names.underlay_set(4), names.underlay_set(6))
    ]


def services(backend: str) -> list[dict[str, Any]]:
    """Return our supervised services: name (without `novella-`) and state, up or down."""
    return [
        {"name": name, "state": service_units.status(name, backend)["state"]}
        for name in service_units.listed(backend)
    ]


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
