"""What a router has on one host, out of what a play is told of it. Nothing here touches a host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from . import filter_base, filter_tables, names, plain_addresses, port_rules, subnets, work
from .namespace_parts import End, Route, Rules

UPLINK = "uplink"
EXTERNAL = "external"
# The cables between routers and external namespaces are numbered in pairs from here: the first
# address of a pair is the external namespace's. Neutron uses the same range for the same.
LINKS = ipaddress.IPv4Network("169.254.64.0/18")
LINK_PAIRS = LINKS.num_addresses // 2
ALL_DHCP_SERVERS = "ff02::1:2"
FAR_IPV6, NEAR_IPV6 = "fe80::1", "fe80::2"
# Of packets that a floating IP was reached by from within: their answers must come back here.
HAIRPIN_MARK = "0x1"

# rp_filter: what comes by a leg must be of its subnets. Routers say nothing of each other's way.
SETTINGS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.default.rp_filter": "1",
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.conf.all.arp_announce": "2",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.all.accept_redirects": "0",
}

PLACE = (filter_tables.EB_FILTER, "nv-networks")


@dataclass(frozen=True)
class Leg:
    """A cable of the router into a network's bridge."""

    port_id: str
    network_id: str
    end: End
    # MAC by address, of all members of the network.
    members: dict[str, str]
    # Whose guests learn from here that this is their way out.
    advertised: tuple[subnets.Subnet, ...] = ()

    @property
    def outside(self) -> str:
        return names.leg_name(self.port_id)

    @property
    def bridge(self) -> str:
        return names.bridge_name(self.network_id)

    def networks(self, version: int) -> list[str]:
        found = {ipaddress.ip_interface(address).network for address in self.end.addresses}
        return sorted(str(network) for network in found if network.version == version)


@dataclass(frozen=True)
class Uplink:
    """The router's way to an external network, and what is there for its sake."""

    network_id: str
    mtu: int
    enable_snat: bool
    versions: tuple[int, ...]
    # The router's own addresses in the external network.
    addresses: tuple[str, ...]
    # Floating IP to fixed address, of servers on this host and of those that come to it.
    floating_ips: dict[str, str]
    # Those that another host answers for yet.
    arriving: frozenset[str] = frozenset()
    # The IPv6 networks behind it that are seen outside; None is all.
    seen_outside: frozenset[str] | None = None

    @property
    def netns(self) -> str:
        return names.external_namespace_name(self.network_id)


@dataclass(frozen=True)
class Plan:
    router_id: str
    legs: tuple[Leg, ...] = ()
    uplink: Uplink | None = None
    routes: tuple[tuple[str, str], ...] = field(default=())
    # Whether what the router has besides goes. A run that was told less than another beside it, as
    # those of servers are, only adds.
    exact: bool = True

    @property
    def netns(self) -> str:
        return names.router_namespace_name(self.router_id)


def plan(params: dict[str, Any]) -> Plan:
    """Return the plan of the module's parameters. Raises WorkError naming what is wrong."""
    router_id = work.check_uuid(params["router_id"], "Router id")
    try:
        return Plan(
            router_id=router_id,
            legs=tuple(sorted(map(_leg, params["interfaces"]), key=lambda leg: leg.port_id)),
            uplink=_uplink(params),
            exact=params.get("exact", True),
            routes=tuple(
                sorted(
                    (str(plain_addresses.network(each["destination"])), _address(each["nexthop"]))
                    for each in params["routes"]
                )
            ),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise work.WorkError(
            f"Refused the router {router_id}: {type(error).__name__} {error}. Give interfaces with "
            "port_id, mac_address, ip_addresses and network; routes with destination and nexthop; "
            "a gateway with network and host_port."
        ) from error


def _leg(given: dict[str, Any]) -> Leg:
    port_id = work.check_uuid(given["port_id"], "Port id")
    network = given["network"]
    own = tuple(sorted(with_prefix(each) for each in given["ip_addresses"]))
    end = End(names.leg_inside(port_id), mtu_of(network), own, mac(given["mac_address"]))
    network_id = work.check_uuid(network["id"], "Network id")
    return Leg(port_id, network_id, end, _members(network, end), _advertised(network, end))


def _advertised(network: dict[str, Any], end: End) -> tuple[subnets.Subnet, ...]:
    """Return the subnets whose gateway the leg is: another router's guests have another way out."""
    own = {address.partition("/")[0] for address in end.addresses}
    told = [each for each in network.get("subnets") or [] if each.get("ipv6_ra_mode")]
    return tuple(each for each in subnets.parse(told) if each.ra_mode and each.gateway_ip in own)


def _members(network: dict[str, Any], end: End) -> dict[str, str]:
    within = [ipaddress.ip_interface(address) for address in end.addresses]
    found = {}
    for member in network.get("members") or []:
        for text in member["ip_addresses"]:
            address = plain_addresses.address(text)
            is_own = any(address == one.ip for one in within)
            if not is_own and any(address in one.network for one in within):
                found[str(address)] = mac(member["mac_address"])
    return found


def _uplink(params: dict[str, Any]) -> Uplink | None:
    gateway = params["gateway"]
    if not gateway or not gateway.get("host_port"):
        return None
    hosts = [ipaddress.ip_interface(with_prefix(a)) for a in gateway["host_port"]["ip_addresses"]]
    versions = tuple(sorted({host.version for host in hosts}))
    # Of another host's servers that host takes care.
    own = [
        each
        for each in params["floating_ips"]
        if each.get("fixed_ip_address") and each.get("tunnel_ip") == params["tunnel_ip"]
    ]
    floating = {
        _address(each["floating_ip_address"]): _address(each["fixed_ip_address"]) for each in own
    }
    return Uplink(
        network_id=work.check_uuid(gateway["network"]["id"], "Network id"),
        mtu=mtu_of(gateway["network"]),
        enable_snat=bool(gateway.get("enable_snat", True)),
        versions=versions,
        addresses=tuple(sorted(_address(a["ip_address"]) for a in gateway["ip_addresses"])),
        floating_ips=dict(sorted(floating.items())),
        arriving=frozenset(
            _address(each["floating_ip_address"]) for each in own if each.get("arriving")
        ),
        seen_outside=_networks(gateway.get("seen_outside")),
    )


def _networks(given: list[str] | None) -> frozenset[str] | None:
    if given is None:
        return None
    return frozenset(str(plain_addresses.network(each)) for each in given)


def joined(
    plan_: Plan,
    neighbours: dict[tuple[str, str], str],
    floating_ips: dict[str, str],
    arriving: Iterable[str],
) -> Plan:
    """Return the plan with what the router has besides: members of its legs, and floating IPs.

    Those of the latter that are `arriving` are so still, unless the plan knows better.
    """
    legs = []
    for leg in plan_.legs:
        there = {ip: at for (device, ip), at in neighbours.items() if device == leg.end.name}
        legs.append(replace(leg, members={**there, **leg.members}))
    uplink = plan_.uplink
    if uplink is not None:
        both = {**floating_ips, **uplink.floating_ips}
        still = uplink.arriving | (frozenset(arriving) - set(uplink.floating_ips))
        uplink = replace(uplink, floating_ips=dict(sorted(both.items())), arriving=still)
    return replace(plan_, legs=tuple(legs), uplink=uplink)


def with_prefix(given: dict[str, Any]) -> str:
    """Return an address of a play, {ip_address, cidr}, with the prefix of its subnet."""
    prefix = ipaddress.ip_network(given["cidr"]).prefixlen
    return f"{_address(given['ip_address'])}/{prefix}"


def mtu_of(network: dict[str, Any]) -> int:
    return int(network.get("mtu") or 1500)


def mac(value: Any) -> str:
    text = str(value).lower()
    if not port_rules.MAC_RE.fullmatch(text):
        raise ValueError(f"{value!r} is no MAC address")
    return text


def _address(value: Any) -> str:
    return str(plain_addresses.address(value))


def link_number(router_id: str, taken: Iterable[int]) -> int:
    """Return which pair of addresses a router's cable gets: the same each time, if it is free."""
    used = set(taken)
    first = int(router_id[:8], 16) % LINK_PAIRS
    for step in range(LINK_PAIRS):
        if (first + step) % LINK_PAIRS not in used:
            return (first + step) % LINK_PAIRS
    raise work.WorkError(
        f"Cannot connect router {router_id}: all {LINK_PAIRS} pairs of addresses of {LINKS} are in "
        "use on this host. Move servers to another host."
    )


def number_of(address: str) -> int | None:
    """Return which pair an address (with prefix) is of, None for one that is of no cable."""
    one = ipaddress.ip_interface(address)
    if one.version != 4 or one.ip not in LINKS:
        return None
    return (int(one.ip) - int(LINKS.network_address)) // 2


def link_ends(plan_: Plan, uplink: Uplink, number: int) -> tuple[End, End]:
    """Return both ends of the cable, the router's first."""
    first = LINKS.network_address + 2 * number
    near, far = [f"{first + 1}/31"], [f"{first}/31"]
    own = set(answered_for(uplink)) - set(uplink.floating_ips)
    near += [f"{ip}/{128 if ':' in ip else 32}" for ip in sorted(own)]
    if 6 in uplink.versions:
        near.append(f"{NEAR_IPV6}/64")
        far.append(f"{FAR_IPV6}/64")
    return (
        End(UPLINK, uplink.mtu, tuple(near)),
        End(names.router_link(plan_.router_id), uplink.mtu, tuple(far)),
    )


def near_routes(plan_: Plan, far: End | None) -> set[Route]:
    """Return the routes in the router's namespace; those whose next hop is nowhere are left out."""
    routes: set[Route] = set()
    uplink = plan_.uplink
    if uplink is not None and far is not None:
        if 4 in uplink.versions:
            routes.add(("0.0.0.0/0", _far_ipv4(far), UPLINK))
        if 6 in uplink.versions:
            routes.add(("::/0", FAR_IPV6, UPLINK))
    for destination, nexthop in plan_.routes:
        device = _device_to(plan_, nexthop)
        if device is not None:
            # Of two to one destination the kernel would keep what was written last, each time the
            # other one. A way out of the tenant's own goes before ours.
            routes = {route for route in routes if route[0] != destination}
            routes.add((destination, nexthop, device))
    return routes


def _far_ipv4(far: End) -> str:
    return far.addresses[0].partition("/")[0]


def _device_to(plan_: Plan, nexthop: str) -> str | None:
    address = ipaddress.ip_address(nexthop)
    for leg in plan_.legs:
        if any(address in ipaddress.ip_interface(own).network for own in leg.end.addresses):
            return leg.end.name
    return None


def far_routes(plan_: Plan, uplink: Uplink, near: End, far: End) -> set[Route]:
    """Return what the external namespace sends to this router."""
    via = near.addresses[0].partition("/")[0]
    routes: set[Route] = {(f"{ip}/32", via, far.name) for ip in uplink.floating_ips}
    # Without translation tenants' own addresses are seen outside; IPv6 knows none.
    if not uplink.enable_snat:
        routes |= {(net, via, far.name) for leg in plan_.legs for net in leg.networks(4)}
    if 6 in uplink.versions:
        behind = {net for leg in plan_.legs for net in leg.networks(6)}
        shown = behind if uplink.seen_outside is None else behind & uplink.seen_outside
        routes |= {(net, NEAR_IPV6, far.name) for net in shown}
    routes |= {
        (str(ipaddress.ip_network(ip)), via if ":" not in ip else NEAR_IPV6, far.name)
        for ip in answered_for(uplink)
        if ip not in uplink.floating_ips
    }
    return routes


def answered_for(uplink: Uplink) -> list[str]:
    """Return the addresses that the external namespace answers for: those reached through here.

    The router's own only where others route to it, each host that has the router for itself.
    """
    own = [ip for ip in uplink.addresses if ":" in ip or not uplink.enable_snat]
    reachable = [ip for ip in own if (6 if ":" in ip else 4) in uplink.versions]
    return sorted({*uplink.floating_ips, *reachable} - uplink.arriving)


def rules(plan_: Plan, near: End | None) -> Rules:
    """Return the router's table of address translation."""
    uplink = plan_.uplink
    if uplink is None and not plan_.exact:
        return {}
    arriving: list[str] = []
    leaving: list[str] = []
    if uplink is not None and near is not None:
        for floating, fixed in uplink.floating_ips.items():
            arriving += [
                f"-d {floating}/32 ! -i {UPLINK} -j MARK --set-xmark {HAIRPIN_MARK}/0xffffffff",
                f"-d {floating}/32 -j DNAT --to-destination {fixed}",
            ]
            leaving.append(f"-s {fixed}/32 -o {UPLINK} -j SNAT --to-source {floating}")
        if uplink.enable_snat and 4 in uplink.versions:
            own = near.addresses[0].partition("/")[0]
            leaving.append(f"-o {UPLINK} -j SNAT --to-source {own}")
        if uplink.floating_ips:
            leaving.append(f"-o leg+ -m mark --mark {HAIRPIN_MARK} -j MASQUERADE")
    empty: dict[str, list[str]] = {"INPUT": [], "OUTPUT": []}
    nat = {"PREROUTING": arriving, **empty, "POSTROUTING": leaving}
    return {"iptables": {"nat": nat}}


def leg_tables(leg: Leg, uplinks: list[str]) -> tuple[filter_tables.Wanted, filter_base.Entries]:
    """Return the ebtables chain of a leg: the gateway speaks with this host's taps alone."""
    chain, name = names.leg_chain(leg.port_id), leg.outside
    gateways = [a.partition("/")[0] for a in leg.end.addresses if ":" not in a]
    # Of neighbour discovery ebtables sees no target, so it is told apart by the cable.
    discovery = "-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type 133:137/0:255 -j DROP"
    chain_rules = [
        # dnsmasq, which sends the advertisements, hears DHCP too; the network's own one answers.
        f"-p IPv6 -o {name} --ip6-dst {ALL_DHCP_SERVERS} -j DROP",
        *(f"-i {local}+ -o {name} -j RETURN" for local in (names.TAP_PREFIX, names.LEG_PREFIX)),
        *(f"-i {name} -o {local}+ -j RETURN" for local in (names.TAP_PREFIX, names.LEG_PREFIX)),
        *(
            f"-p ARP {option} {gateway} -j DROP"
            for gateway in gateways
            for option in ("--arp-ip-src", "--arp-ip-dst")
        ),
        *(
            f"{side} {name} {what}"
            for side in ("-i", "-o")
            for what in ("-p ARP -j DROP", discovery)
        ),
        "-j RETURN",
    ]
    entry = [f"{s} {each} -j {chain}" for each in [name, *sorted(uplinks)] for s in ("-i", "-o")]
    return {filter_tables.EB_FILTER: {chain: chain_rules}}, {PLACE: {chain: entry}}


def absent_leg(chain: str) -> tuple[filter_tables.Wanted, filter_base.Entries]:
    return {filter_tables.EB_FILTER: {chain: None}}, {PLACE: {chain: None}}
