"""The namespace of an external network on a host: this host's own way out for its routers.

It has the host's own port there (an address and a MAC), a cable into the network's bridge and, made
by router_namespace, one to each router. What comes from a router's cable is translated to the
host's address; floating IPs and, without translation, tenants' own addresses pass as they are.
"""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Any

from . import announcements, names, namespace_parts, network_links, router_plan, work
from .namespace_parts import End, Route, Rules, State

EXTERNAL = router_plan.EXTERNAL

ARGUMENT_SPEC: dict[str, Any] = {
    "network_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mtu": {"type": "int", "default": 1500},
    "host_port": {"type": "dict"},
    "gateway_ips": {"type": "list", "elements": "str", "default": []},
    "management_networks": {"type": "list", "elements": "str", "default": []},
    "only_if_unused": {"type": "bool", "default": False},
}
SPEC_RULES: dict[str, Any] = {"required_if": [("state", "present", ["host_port"])]}

SETTINGS = {**router_plan.SETTINGS, "net.ipv6.conf.all.proxy_ndp": "1"}
# Else an answer for a floating IP waits for most of a second.
LEG_SETTINGS = {
    f"net.ipv4.neigh.{EXTERNAL}.proxy_delay": "0",
    f"net.ipv6.neigh.{EXTERNAL}.proxy_delay": "0",
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the namespace of `params` (see ARGUMENT_SPEC) into its state; the module's work."""
    work.check_uuid(params["network_id"], "Network id")
    work_of_state = _present if params["state"] == "present" else _absent
    if check_mode:
        return work_of_state(params, check_mode)
    with work.locked(network_links.NETWORKS_LOCK):
        return work_of_state(params, check_mode)


def _present(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    network_id = params["network_id"]
    netns, bridge = names.external_namespace_name(network_id), names.bridge_name(network_id)
    outside = network_links.links()
    end, routes = _end(params), _routes(params)
    rules = _rules(end, management_networks(params, end, outside))
    if bridge not in outside and not check_mode:
        raise work.WorkError(
            f"Cannot make the external namespace of network {network_id}: its bridge {bridge} is "
            "not there. Make it first (linux_bridge)."
        )
    state = namespace_parts.read(netns)
    before = _before(netns, state, outside, end, rules) if state else ""
    after = _after(netns, end, bridge, routes, rules)
    diff = work.text_diff(f"external namespace {network_id}", before, after)
    result = _result(netns, [diff] if before != after else [])
    if before == after or check_mode:
        return result
    undo = {"network_id": network_id, "state": "absent", "only_if_unused": True}
    try:
        _make(netns, bridge, end, routes, rules, state, outside)
    except BaseException:
        if state is None:
            with contextlib.suppress(work.WorkError):
                _absent({**params, **undo}, check_mode)
        raise
    return {**result, "undo_args": undo} if state is None else result


def _result(netns: str, diffs: list[dict[str, str]]) -> dict[str, Any]:
    return {"changed": bool(diffs), "diff": diffs, "namespace": netns}


def _end(params: dict[str, Any]) -> End:
    port = params["host_port"]
    try:
        own = tuple(sorted(map(router_plan.with_prefix, port["ip_addresses"])))
        return End(EXTERNAL, params["mtu"], own, router_plan.mac(port["mac_address"]))
    except (ValueError, TypeError, KeyError) as error:
        raise work.WorkError(
            f"Refused the host's port in network {params['network_id']}: {type(error).__name__} "
            f"{error}. Give mac_address, and ip_addresses each with ip_address and cidr."
        ) from error


def _routes(params: dict[str, Any]) -> set[Route]:
    routes = set()
    for text in params["gateway_ips"]:
        address = ipaddress.ip_address(text)
        routes.add(("0.0.0.0/0" if address.version == 4 else "::/0", str(address), EXTERNAL))
    return routes


def management_networks(
    params: dict[str, Any], end: End, outside: network_links.Links
) -> list[str]:
    """Return what tenants may not reach from here: as told, else the networks the host is in.

    Of one that the external network is part of, the host's own addresses alone: tenants' gateway
    may be in it.
    """
    if params["management_networks"]:
        return sorted(str(ipaddress.ip_network(each)) for each in params["management_networks"])
    external = [ipaddress.ip_interface(address).network for address in end.addresses]
    found = set()
    for name, link in outside.items():
        for each in link.get("addr_info", []) if name != "lo" else []:
            if each.get("scope") != "global":
                continue
            own = ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}")
            is_external = any(
                own.version == other.version and own.network.overlaps(other) for other in external
            )
            found.add(str(ipaddress.ip_network(own.ip) if is_external else own.network))
    return sorted(found)


def _rules(end: End, blocked: list[str]) -> Rules:
    links = str(router_plan.LINKS)
    # Answers to those who came from there by a floating IP may go back.
    new = "-m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP"

    def table(version: int, icmp: str, more: list[str]) -> dict[str, list[str]]:
        of_version = [net for net in blocked if ipaddress.ip_network(net).version == version]
        return {
            "INPUT": [f"-i rt+ -p {icmp} -j ACCEPT", "-i rt+ -j DROP"],
            "FORWARD": [
                # We route for our own tenants, not for whoever is outside.
                f"-i {EXTERNAL} -o {EXTERNAL} -j DROP",
                *(f"-d {net} -i rt+ {new}" for net in of_version),
                *more,
            ],
            "OUTPUT": [],
        }

    own = [a.partition("/")[0] for a in end.addresses if ":" not in a]
    leaving = [f"-s {links} -j SNAT --to-source {address}" for address in own[:1]]
    nat: dict[str, list[str]] = {"PREROUTING": [], "INPUT": [], "OUTPUT": []}
    return {
        "iptables": {
            "filter": table(4, "icmp", [f"-d {links} -i rt+ {new}"]),
            "nat": {**nat, "POSTROUTING": leaving},
        },
        "ip6tables": {"filter": table(6, "ipv6-icmp", [])},
    }


def _before(netns: str, state: State, outside: network_links.Links, end: End, rules: Rules) -> str:
    wanted = {**SETTINGS, **LEG_SETTINGS}
    # What the kernel does not have can't differ; the leg's own are there with the leg.
    found = {**SETTINGS, **namespace_parts.settings(netns, wanted)}
    lines = [f"{name} = {value}" for name, value in found.items()]
    lines += namespace_parts.describe_plug(outside, _outside_name(netns))
    lines += namespace_parts.describe_end(state, end)
    lines += [namespace_parts.describe_route(r) for r in state.routes if r[2] == EXTERNAL]
    return namespace_parts.text(lines, namespace_parts.describe_rules(state.rules, rules)[0])


def _after(netns: str, end: End, bridge: str, routes: set[Route], rules: Rules) -> str:
    lines = [f"{name} = {value}" for name, value in {**SETTINGS, **LEG_SETTINGS}.items()]
    lines += namespace_parts.wanted_plug(_outside_name(netns), bridge, end.mtu)
    lines += namespace_parts.wanted_end(end)
    lines += [namespace_parts.describe_route(route) for route in routes]
    return namespace_parts.text(lines, namespace_parts.describe_rules({}, rules)[1])


def _outside_name(netns: str) -> str:
    return names.external_name(netns[len(names.EXTERNAL_NAMESPACE_PREFIX) :])


def _make(
    netns: str,
    bridge: str,
    end: End,
    routes: set[Route],
    rules: Rules,
    state: State | None,
    outside: network_links.Links,
) -> None:
    if state is None:
        namespace_parts.make(netns, SETTINGS)
    else:
        namespace_parts.have_settings(netns, SETTINGS)
    present, wanted = namespace_parts.describe_rules(state.rules if state else {}, rules)
    if state is None or present != wanted:
        namespace_parts.have_rules(netns, rules)
    name = _outside_name(netns)
    is_whole = name in outside and state is not None and EXTERNAL in state.links
    namespace_parts.plug((name, EXTERNAL), bridge, end.mtu, netns, is_whole)
    namespace_parts.have_settings(netns, LEG_SETTINGS)
    now = State(network_links.links(netns))
    network_links.batch(namespace_parts.end_lines(now, end), netns)
    now = namespace_parts.read(netns) or State({})
    own = {route for route in now.routes if route[2] == EXTERNAL}
    network_links.batch(namespace_parts.route_lines(own, routes), netns)
    announce(netns, [address.partition("/")[0] for address in end.addresses])


def announce(netns: str, addresses: list[str]) -> None:
    """Tell the external network that `addresses` are at this host now."""

    def say() -> None:
        # Nothing depends on it but how soon others notice.
        with contextlib.suppress(OSError):
            announcements.announce(EXTERNAL, addresses)

    network_links.inside(netns, say)


def _absent(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    network_id = params["network_id"]
    netns, name = names.external_namespace_name(network_id), names.external_name(network_id)
    state, outside = namespace_parts.read(netns), network_links.links()
    routers = sorted(link for link in (state.links if state else {}) if link.startswith("rt"))
    if params["only_if_unused"] and routers:
        return {**_result(netns, []), "used_by": routers}
    is_there = namespace_parts.is_there(netns)
    if not is_there and name not in outside:
        return _result(netns, [])
    if not check_mode:
        if name in outside:
            network_links.batch([f"link delete dev {name}"])
        # A namespace itself goes a moment later, and the routers' cables with it.
        lines = [f"link delete dev {router}" for router in routers]
        network_links.batch(lines, netns)
        if is_there:
            work.run_command(["ip", "netns", "delete", netns])
    return _result(netns, [work.text_diff(f"external namespace {network_id}", "there\n", "")])
