"""The namespace of a router on a host: a leg into each of its networks, and a way out.

Every host that has a router has its legs with the same addresses and MACs. What keeps them apart
is here: a sticky entry in each bridge, ebtables about ARP and neighbour discovery, and neighbours
that are known rather than asked for. The way out is a cable to the external namespace of this host
(external_namespace), whose end there, routes and proxies belong to the router and go with it.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from . import (
    conntrack_entries,
    external_namespace,
    filter_base,
    names,
    namespace_parts,
    network_files,
    network_links,
    network_standing,
    router_advertisements,
    router_look,
    router_plan,
    work,
)
from .namespace_parts import End, State
from .router_plan import Plan

ARGUMENT_SPEC: dict[str, Any] = {
    "router_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "interfaces": {"type": "list", "elements": "dict", "default": []},
    "routes": {"type": "list", "elements": "dict", "default": []},
    "gateway": {"type": "dict"},
    "floating_ips": {"type": "list", "elements": "dict", "default": []},
    "tunnel_ip": {"type": "str"},
    "exact": {"type": "bool", "default": True},
    "only_if_unused": {"type": "bool", "default": False},
    "port_ids": {"type": "list", "elements": "str", "default": []},
    "service_backend": {
        "type": "str",
        "choices": ["auto", "systemd", "s6"],
        "default": "auto",
    },
    "ra_user": {"type": "str", "default": "dnsmasq"},
}
SPEC_RULES: dict[str, Any] = {}

# What this process made sure of: of each router, with which parameters, by which processes, and how
# it stood then. Used under the networks' lock.
_made_sure: dict[str, tuple[dict[str, Any], tuple[int, ...], list[Any]]] = {}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the namespace of `params` (see ARGUMENT_SPEC) into its state; the module's work."""
    plan = router_plan.plan(params)
    work_of_state = _present if params["state"] == "present" else _absent
    if check_mode:
        return work_of_state(plan, params, check_mode)
    with work.locked(network_links.NETWORKS_LOCK):
        return work_of_state(plan, params, check_mode)


def _present(plan: Plan, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    made = _made_sure.pop(plan.router_id, None)
    if not check_mode and made is not None and made == (params, made[1], _standing(plan, made[1])):
        _made_sure[plan.router_id] = made
        return _result(plan, [])
    look = router_look.look_at(plan)
    plan = router_look.merged(plan, look)
    link = router_look.link_of(plan, look)
    if not check_mode:
        _check(plan, look)
    diff = work.text_diff(f"router {plan.router_id}", *router_look.texts(plan, link, look))
    is_new = look.inside is None
    try:
        diffs = [diff] if diff["before"] != diff["after"] else []
        # Before anything speaks: an answer of the gateway must not leave the host.
        diffs += _have_chains(plan, look, check_mode)
        if diff["before"] != diff["after"] and not check_mode:
            _make(plan, link, look)
        said = router_advertisements.have(plan, params, _new_legs(plan, look), check_mode)
        backend = params["service_backend"]
        pids = () if check_mode else router_advertisements.wait(plan, backend, said)
    except BaseException:
        if is_new and not check_mode:
            with contextlib.suppress(work.WorkError):
                _absent(plan, {**params, "only_if_unused": False}, check_mode)
        raise
    if not check_mode:
        _made_sure[plan.router_id] = (params, pids, _standing(plan, pids))
    result = _result(plan, diffs + said.diffs)
    result["changed"] = result["changed"] or said.changed
    if is_new and not check_mode:
        kept = {name: params[name] for name in ("port_ids", "service_backend")}
        undo = {"state": "absent", "only_if_unused": True, **kept}
        result["undo_args"] = {"router_id": plan.router_id, **undo}
    return result


def _result(plan: Plan, diffs: list[dict[str, str]]) -> dict[str, Any]:
    return {"changed": bool(diffs), "diff": diffs, "namespace": plan.netns}


def _new_legs(plan: Plan, look: router_look.Look) -> set[str]:
    """Return the legs that were not there as a whole."""
    inside = look.inside.links if look.inside else {}
    return {
        leg.end.name
        for leg in plan.legs
        if leg.outside not in look.outside or leg.end.name not in inside
    }


def _standing(plan: Plan, pids: tuple[int, ...]) -> list[Any]:
    """Return what shows, from few files, that nobody took the router's parts away."""
    found: list[Any] = []
    for pid in pids:
        try:
            found.append(network_standing.started_at(pid))
        except OSError:
            found.append(None)
    netns = [plan.netns, *([plan.uplink.netns] if plan.uplink else [])]
    for path in (os.path.join(network_links.NETNS_FOLDER, each) for each in netns):
        try:
            found.append((os.stat(path).st_dev, os.stat(path).st_ino))
        except OSError:
            found.append(None)
    for leg in plan.legs:
        found.append(work.read_file(f"/sys/class/net/{leg.outside}/ifindex"))
        brif = f"/sys/class/net/{leg.bridge}/brif"
        found.append(sorted(os.listdir(brif)) if os.path.isdir(brif) else None)
    return found


def _check(plan: Plan, look: router_look.Look) -> None:
    for leg in plan.legs:
        if leg.bridge not in look.outside:
            raise work.WorkError(
                f"Cannot make router {plan.router_id}: the bridge {leg.bridge} of its network "
                f"{leg.network_id} is not there. Make it first (linux_bridge)."
            )
    if plan.uplink and look.far is None:
        raise work.WorkError(
            f"Cannot connect router {plan.router_id}: this host has no namespace of the external "
            f"network {plan.uplink.network_id}. Make it first (external_namespace)."
        )


# --- making it so --------------------------------------------------------------------------------


def _have_chains(plan: Plan, look: router_look.Look, check_mode: bool) -> list[dict[str, str]]:
    chains, entries = {}, {}
    own = {names.leg_chain(leg.port_id) for leg in plan.legs}
    stale = set(router_look.leg_chains(look)) - own if plan.exact else set()
    parts = [router_plan.absent_leg(chain) for chain in stale]
    for leg in plan.legs:
        parts.append(router_plan.leg_tables(leg, network_links.uplinks(look.outside, leg.bridge)))
    for of_tables, of_places in parts:
        for key, of_table in of_tables.items():
            chains.setdefault(key, {}).update(of_table)
        for place, of_chain in of_places.items():
            entries.setdefault(place, {}).update(of_chain)
    if not parts:
        return []
    diff = filter_base.write(chains, entries, check_mode)
    return [diff] if diff["before"] != diff["after"] else []


def _make(plan: Plan, link: router_look.Link | None, look: router_look.Look) -> None:
    if look.inside is None:
        namespace_parts.make(plan.netns, router_plan.SETTINGS)
    else:
        namespace_parts.have_settings(plan.netns, router_plan.SETTINGS)
    state = look.inside or State({})
    rules = router_plan.rules(plan, link.near if link else None)
    before, after = namespace_parts.describe_rules(state.rules, rules)
    if before != after or look.inside is None:
        namespace_parts.have_rules(plan.netns, rules)
        _forget(plan, look)
    is_linked = link is not None and look.far is not None and link.far.name in look.far.links
    leads_elsewhere = router_plan.UPLINK in state.links and not is_linked
    if leads_elsewhere and (plan.uplink or plan.exact):
        # It led elsewhere.
        _disconnect(plan.router_id)
        state.links.pop(router_plan.UPLINK)
    lines = [
        f"link delete dev {name}" for name in router_look.foreign(plan, state, _ends(plan, link))
    ]
    network_links.batch(lines, plan.netns)
    for leg in plan.legs:
        is_whole = leg.outside in look.outside and leg.end.name in state.links
        cable = (leg.outside, leg.end.name)
        namespace_parts.plug(cable, leg.bridge, leg.end.mtu, plan.netns, is_whole)
    # Neither static alone nor learned: another host's frames come with this MAC.
    fdb = [f"fdb replace {leg.end.mac} dev {leg.outside} master static sticky" for leg in plan.legs]
    if fdb:
        work.run_command(["bridge", "-batch", "-"], input="\n".join(fdb) + "\n")
    if link:
        _connect(plan, link, look)
    _fill(plan, link, state)
    if link and plan.uplink:
        _fill_far(plan, plan.uplink, link)


def _ends(plan: Plan, link: router_look.Link | None) -> list[End]:
    return [leg.end for leg in plan.legs] + ([link.near] if link else [])


def _connect(plan: Plan, link: router_look.Link, look: router_look.Look) -> None:
    """Have a whole cable to the external namespace; half a one is made anew."""
    far = look.far.links if look.far else {}
    near = look.inside.links if look.inside else {}
    if link.near.name in near and link.far.name in far:
        return
    for name, there, netns in (
        (link.far.name, far, link.netns),
        (link.near.name, near, plan.netns),
    ):
        if name in there:
            with contextlib.suppress(work.WorkError):
                network_links.batch([f"link delete dev {name}"], netns)
    peer = f"peer name {link.far.name} netns {link.netns}"
    network_links.batch([f"link add name {link.near.name} netns {plan.netns} type veth {peer}"])
    for end, netns in ((link.near, plan.netns), (link.far, link.netns)):
        network_links.batch([f"link set dev {end.name} addrgenmode none"], netns)


def _fill(plan: Plan, link: router_look.Link | None, state: State) -> None:
    lines: list[str] = []
    for end in _ends(plan, link):
        lines += namespace_parts.end_lines(_now(state, plan.netns, end), end)
    network_links.batch(lines, plan.netns)
    # The kernel takes routes out with the address or the interface that they need.
    now = namespace_parts.read(plan.netns) or State({})
    lines = namespace_parts.route_lines(now.routes, router_look.routes(plan, link, now))
    lines += namespace_parts.neighbour_lines(now.neighbours, router_look.neighbours(plan, now))
    network_links.batch(lines, plan.netns)


def _now(state: State, netns: str, end: End) -> State:
    """Return the state with the end as it is: a cable made just now has none of the old one's."""
    return State(network_links.links(netns)) if end.name in state.links else State({})


def _fill_far(plan: Plan, uplink: router_plan.Uplink, link: router_look.Link) -> None:
    now = namespace_parts.read(link.netns) or State({})
    network_links.batch(namespace_parts.end_lines(now, link.far), link.netns)
    now = namespace_parts.read(link.netns) or State({})
    device = router_plan.EXTERNAL
    have = {(device, ip) for ip in router_look.far_proxies(now, link, plan)}
    want = {(device, ip) for ip in router_plan.answered_for(uplink)}
    routes = router_plan.far_routes(plan, uplink, link.near, link.far)
    lines = namespace_parts.proxy_lines(have, want)
    lines += namespace_parts.route_lines(router_look.far_routes(now, link.far.name), routes)
    network_links.batch(lines, link.netns)
    new = sorted(ip for _, ip in want - have)
    if new:
        external_namespace.announce(link.netns, new)


def _forget(plan: Plan, look: router_look.Look) -> None:
    """End the connections of floating IPs that are not here, or not for that server, any more.

    A translation that stands goes on by itself, to whoever had the address before.
    """
    now = plan.uplink.floating_ips if plan.uplink else {}
    before = router_look.translated(look)
    gone = [floating for floating, fixed in before.items() if now.get(floating) != fixed]
    if gone:
        network_links.inside(plan.netns, lambda: conntrack_entries.delete(gone))


# --- taking it away ------------------------------------------------------------------------------


def _absent(plan: Plan, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    _made_sure.pop(plan.router_id, None)
    inside = namespace_parts.read(plan.netns)
    is_there = namespace_parts.is_there(plan.netns)
    outside = network_links.links()
    shorts = [name[3:] for name in (inside.links if inside else {}) if name.startswith("leg")]
    legs = [f"{names.LEG_PREFIX}{short}" for short in shorts]
    users = _users(legs, outside, set(params["port_ids"]))
    if params["only_if_unused"] and users:
        return {**_result(plan, []), "used_by": users}
    diffs = router_advertisements.remove(plan.router_id, params["service_backend"], check_mode)
    if not is_there:
        return _result(plan, diffs)
    diffs.append(work.text_diff(f"router {plan.router_id}", "there\n", ""))
    if not check_mode:
        _disconnect(plan.router_id)
        network_links.batch(f"link delete dev {leg}" for leg in legs if leg in outside)
        work.run_command(["ip", "netns", "delete", plan.netns])
    parts = [router_plan.absent_leg(f"{names.CHAIN_PREFIX}r-{short}") for short in shorts]
    for chains, entries in parts:
        diff = filter_base.write(chains, entries, check_mode)
        diffs += [diff] if diff["before"] != diff["after"] else []
    return _result(plan, diffs)


def _users(legs: list[str], outside: network_links.Links, gone: set[str]) -> list[str]:
    users: set[str] = set()
    for bridge in {outside[leg].get("master") for leg in legs if leg in outside} - {None}:
        members = network_links.members(outside, bridge)
        users |= {name for name in members if name.startswith(names.TAP_PREFIX)}
        users |= network_files.claimants(bridge) - gone
    return sorted(users - {names.tap_name(port_id) for port_id in gone})


def _disconnect(router_id: str) -> None:
    """Remove the router's part of the external namespaces; the rest goes with its cable."""
    own = names.router_link(router_id)
    for netns in os.listdir(network_links.NETNS_FOLDER):
        if not netns.startswith(names.EXTERNAL_NAMESPACE_PREFIX):
            continue
        far = namespace_parts.read(netns)
        if far is None or own not in far.links:
            continue
        mine = {route[0].partition("/")[0] for route in router_look.far_routes(far, own)}
        have = {(device, ip) for device, ip in far.proxies if ip in mine}
        lines = [*namespace_parts.proxy_lines(have, ()), f"link delete dev {own}"]
        network_links.batch(lines, netns)
