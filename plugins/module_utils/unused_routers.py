"""Routers, and ways out for them, that a host still has and was not told of."""

from __future__ import annotations

from typing import Any

from . import (
    external_namespace,
    host_audit_network,
    names,
    router_advertisements,
    router_namespace,
    work,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "keep": {"type": "list", "elements": "str", "default": []},
    "keep_external": {"type": "list", "elements": "str", "default": []},
    "service_backend": {
        "type": "str",
        "choices": ["auto", "systemd", "s6"],
        "default": "auto",
    },
}
SPEC_RULES: dict[str, Any] = {}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Remove the routers and external namespaces that are not named; the module's work.

    A router that is not named goes though ports use its networks: it has left them.
    """
    keep = {work.check_uuid(each, "Router id") for each in params["keep"]}
    keep_external = {work.check_uuid(each, "Network id") for each in params["keep_external"]}
    backend = params["service_backend"]
    present = set(host_audit_network.router_ids()) | router_advertisements.router_ids(backend)
    results = [
        router_namespace.run(
            _absent(router_namespace, router_id=each, service_backend=backend), check_mode
        )
        for each in sorted(present - keep)
    ]
    ways = set(host_audit_network.external_networks())
    # In check mode the routers that would go are still connected; a kept one keeps its way, too.
    results += [
        external_namespace.run(
            _absent(external_namespace, network_id=each, only_if_unused=not check_mode), check_mode
        )
        for each in sorted(ways - keep_external)
    ]
    diffs = [diff for result in results for diff in result["diff"]]
    return {
        "changed": any(result["changed"] for result in results),
        "diff": diffs,
        "removed": [names.router_namespace_name(each) for each in sorted(present - keep)],
    }


def _absent(module: Any, **more: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in module.ARGUMENT_SPEC.items()}
    return {**defaults, "state": "absent", **more}
