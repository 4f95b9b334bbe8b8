"""Networks that a host still has, and that nothing on it uses: what was named stays."""

from __future__ import annotations

import os
from typing import Any

from . import linux_bridge, names, network_files, network_links, network_namespace, work

ARGUMENT_SPEC: dict[str, Any] = {
    "keep": {"type": "list", "elements": "str", "default": []},
    "keep_bridges": {"type": "list", "elements": "str", "default": []},
    "state_path": {"type": "path", "default": network_files.STATE_PATH},
    "service_backend": {
        "type": "str",
        "choices": ["auto", "systemd", "s6"],
        "default": "auto",
    },
}
SPEC_RULES: dict[str, Any] = {}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Remove the namespaces and bridges that are neither named nor used; the module's work.

    Used is what a tap, a router, a port with an address here or a recorded port needs.
    """
    keep = {work.check_uuid(each, "Network id") for each in params["keep"]}
    keep |= {work.check_uuid(each, "Network id") for each in params["keep_bridges"]}
    namespaces = {
        network_id: network_namespace.run(_of_namespace(network_id, params), check_mode)
        for network_id in sorted(served(params["state_path"]) - set(params["keep"]))
    }
    # In check mode they are still there, and keep their bridge from being unused.
    leaving = [names.veth_name(each) for each, done in namespaces.items() if done["changed"]]
    bridges = {name for name in network_links.links() if name.startswith(names.BRIDGE_PREFIX)}
    results = [
        *namespaces.values(),
        *(
            linux_bridge.run(_of_bridge(name, leaving), check_mode)
            for name in sorted(bridges - {names.bridge_name(each) for each in keep})
        ),
    ]
    diffs = [each["diff"] for each in results if each["changed"]]
    flat = [one for diff in diffs for one in (diff if isinstance(diff, list) else [diff])]
    return {"changed": bool(flat), "diff": flat}


def served(state_path: str) -> set[str]:
    """Return the ids of the networks that have a namespace or a folder on this host."""
    prefix = names.NAMESPACE_PREFIX
    in_kernel = [each[len(prefix) :] for each in _entries(network_links.NETNS_FOLDER)
                 if each.startswith(prefix)]  # fmt: skip
    in_files = _entries(os.path.join(state_path, "networks"))
    return {each for each in (*in_kernel, *in_files) if work.UUID_RE.fullmatch(each)}


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _of_namespace(network_id: str, params: dict[str, Any]) -> dict[str, Any]:
    own = {name: params[name] for name in ("state_path", "service_backend")}
    absent = {"state": "absent", "only_if_unused": True, "port_ids": []}
    return {"network_id": network_id, "bridge": None, **own, **absent}


def _of_bridge(name: str, leaving: list[str]) -> dict[str, Any]:
    absent = {"state": "absent", "only_if_unused": True, "port_ids": []}
    return {"name": name, "leaving": leaving, **absent}
