"""How a router stands on a host, and how it must, in the lines of a diff. It changes nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from . import names, namespace_parts, network_links, router_plan, work
from .namespace_parts import End, State
from .router_plan import Leg, Plan

_TRANSLATED_RE = re.compile(r"-d (\S+)/32 -j DNAT --to-destination (\S+)")


@dataclass(frozen=True)
class Look:
    """The host's interfaces, the router's namespace and the external one, and bridges' entries."""

    outside: network_links.Links
    inside: State | None
    far: State | None
    # (bridge's member, MAC) of static, sticky entries
    sticky: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Link:
    """The cable to the external namespace: its ends there and here."""

    netns: str
    near: End
    far: End


def look_at(plan: Plan) -> Look:
    far = namespace_parts.read(plan.uplink.netns) if plan.uplink else None
    sticky = {
        (entry["ifname"], entry["mac"])
        for entry in json.loads(work.run_command(["bridge", "-j", "fdb", "show"]) or "[]")
        if "sticky" in entry.get("flags", []) and entry.get("state") == "static"
    }
    links = network_links.links()
    return Look(links, namespace_parts.read(plan.netns), far, frozenset(sticky))


def merged(plan: Plan, look: Look) -> Plan:
    """Return the plan; one that only adds has what is there in it, too."""
    if plan.exact or look.inside is None:
        return plan
    floating_ips = translated(look)
    answered = {ip for _, ip in look.far.proxies} if look.far else set()
    return router_plan.joined(
        plan, look.inside.neighbours, floating_ips, set(floating_ips) - answered
    )


def translated(look: Look) -> dict[str, str]:
    """Return the floating IPs that the router has, each with the address that it stands for."""
    rules = look.inside.rules if look.inside else {}
    arriving = rules.get("iptables", {}).get("nat", {}).get("PREROUTING", [])
    found = [match.groups() for rule in arriving if (match := _TRANSLATED_RE.search(rule))]
    return {str(floating): str(fixed) for floating, fixed in found}


def link_of(plan: Plan, look: Look) -> Link | None:
    """Return the cable as it must be; the pair of addresses that it has stays."""
    uplink = plan.uplink
    if uplink is None:
        return None
    own_name, taken, own = names.router_link(plan.router_id), set(), None
    for name, link in (look.far.links if look.far else {}).items():
        for address in namespace_parts.addresses(link, ()):
            number = router_plan.number_of(address)
            if number is not None and name == own_name:
                own = number
            elif number is not None:
                taken.add(number)
    if own is None or own in taken:
        own = router_plan.link_number(plan.router_id, taken)
    return Link(uplink.netns, *router_plan.link_ends(plan, uplink, own))


def leg_chains(look: Look) -> list[str]:
    """Return the chains of the legs that the namespace has."""
    inside = look.inside.links if look.inside else {}
    return [f"{names.CHAIN_PREFIX}r-{name[3:]}" for name in inside if name.startswith("leg")]


def texts(plan: Plan, link: Link | None, look: Look) -> tuple[str, str]:
    """Return the router in the lines of a diff, as it is and as it must be."""
    before: list[str] = []
    rules = router_plan.rules(plan, link.near if link else None)
    after = [f"{name} = {value}" for name, value in router_plan.SETTINGS.items()]
    for leg in plan.legs:
        after += namespace_parts.wanted_plug(leg.outside, leg.bridge, leg.end.mtu)
        after += [*namespace_parts.wanted_end(leg.end), _sticky_line(leg)]
    ends = [leg.end for leg in plan.legs] + ([link.near] if link else [])
    after += namespace_parts.wanted_end(link.near) if link else []
    after += _inside_lines(
        routes(plan, link, look.inside or State({})), neighbours(plan, look.inside or State({}))
    )
    state = look.inside or State({})
    rules_before, rules_after = namespace_parts.describe_rules(state.rules, rules)
    if look.inside is not None:
        settings = namespace_parts.settings(plan.netns, router_plan.SETTINGS)
        # What the kernel does not have can't differ.
        settings = {**router_plan.SETTINGS, **settings}
        before += [f"{name} = {value}" for name, value in settings.items()]
        for leg in plan.legs:
            before += namespace_parts.describe_plug(look.outside, leg.outside)
            if (leg.outside, leg.end.mac) in look.sticky:
                before.append(_sticky_line(leg))
        for end in ends:
            before += namespace_parts.describe_end(state, end)
        before += [f"{name} of another network" for name in foreign(plan, state, ends)]
        before += _inside_lines(set(state.routes), state.neighbours)
    far_before, far_after = _far_texts(plan, link, look)
    return (
        namespace_parts.text([*before, *far_before], rules_before),
        namespace_parts.text([*after, *far_after], rules_after),
    )


def _sticky_line(leg: Leg) -> str:
    return f"{leg.end.mac} stays at {leg.outside}"


def foreign(plan: Plan, state: State, ends: list[End]) -> list[str]:
    """Return the cables that the router has and must not have."""
    if not plan.exact:
        return []
    ours = {"lo", *(end.name for end in ends)}
    return sorted(
        name
        for name in state.links
        if name not in ours and (name.startswith("leg") or name == router_plan.UPLINK)
    )


def _inside_lines(
    routes: set[namespace_parts.Route], neighbours: dict[tuple[str, str], str]
) -> list[str]:
    lines = [namespace_parts.describe_route(route) for route in routes]
    lines += [f"neighbour {ip} {mac} dev {device}" for (device, ip), mac in neighbours.items()]
    return lines


def routes(plan: Plan, link: Link | None, state: State) -> set[namespace_parts.Route]:
    """Return the routes that the router must have; `state` is what it has."""
    told = router_plan.near_routes(plan, link.far if link else None)
    destinations = {route[0] for route in told}
    kept = () if plan.exact else state.routes
    return told | {route for route in kept if route[0] not in destinations}


def neighbours(plan: Plan, state: State) -> dict[tuple[str, str], str]:
    """Return the neighbours that the router must have; those of a leg beside the plan's stay."""
    kept = {} if plan.exact else state.neighbours
    return {
        **kept,
        **{(leg.end.name, ip): mac for leg in plan.legs for ip, mac in leg.members.items()},
    }


def _far_texts(plan: Plan, link: Link | None, look: Look) -> tuple[list[str], list[str]]:
    if link is None or plan.uplink is None:
        return [], []
    after = [
        *namespace_parts.wanted_end(link.far),
        *map(
            namespace_parts.describe_route,
            router_plan.far_routes(plan, plan.uplink, link.near, link.far),
        ),
        *(f"answers for {ip}" for ip in router_plan.answered_for(plan.uplink)),
    ]
    before: list[str] = []
    if look.far is not None:
        before += namespace_parts.describe_end(look.far, link.far)
        before += map(namespace_parts.describe_route, far_routes(look.far, link.far.name))
        before += [f"answers for {ip}" for ip in far_proxies(look.far, link, plan)]
    return [f"outside {line}" for line in before], [f"outside {line}" for line in after]


def far_routes(far: State, device: str) -> set[namespace_parts.Route]:
    return {route for route in far.routes if route[2] == device}


def far_proxies(far: State, link: Link, plan: Plan) -> set[str]:
    """Return which addresses are answered for because of this router: those routed to it."""
    mine = {route[0].partition("/")[0] for route in far_routes(far, link.far.name)}
    mine |= set(router_plan.answered_for(plan.uplink)) if plan.uplink else set()
    return {ip for _, ip in far.proxies if ip in mine}
