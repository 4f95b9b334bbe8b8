"""Router advertisements: what tells a network's IPv6 guests that a router is their way out.

A dnsmasq for each leg that is the gateway of such a subnet, in the router's namespace. It says the
same on every host, from the same link-local address, which the leg's MAC makes, and is heard by
this host's guests alone (router_plan.leg_tables). Its words are all in its command line: what
changes in them restarts it, and there is no file to be left behind. DHCP stays with the network's
own dnsmasq.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from . import names, service_readiness, service_units, subnets, work
from .router_plan import Leg, Plan

DNSMASQ = "/usr/sbin/dnsmasq"
INTERVAL_S = 60
# A guest goes on for so long when nobody advertises any more, as when the router left its network.
LIFETIME_S = 300
ICMPV6 = 58


@dataclass
class Outcome:
    """What having the services came to, and what is to be waited for."""

    changed: bool = False
    diffs: list[dict[str, str]] = field(default_factory=list)
    listeners: list[service_readiness.Listener] = field(default_factory=list)

    def add(self, result: dict[str, Any]) -> None:
        self.changed = self.changed or result["changed"]
        self.diffs += [diff for diff in result["diff"] if diff["before"] != diff["after"]]


def have(plan: Plan, params: dict[str, Any], fresh: Collection[str], check_mode: bool) -> Outcome:
    """Have the services of the router's legs, and no others of a router that was told whole.

    `fresh` are the legs (names inside) that were made just now: what ran there before is started
    again.
    """
    outcome, backend = Outcome(), params["service_backend"]
    wanted = {service.name: (leg, service) for leg, service in _services(plan, params["ra_user"])}
    told = {names.advertisement_service(plan.router_id, leg.port_id) for leg in plan.legs}
    for name in sorted(present(plan.router_id, backend) - set(wanted)):
        if plan.exact or name in told:
            outcome.add(service_units.absent(name, backend, check_mode))
    for leg, service in wanted.values():
        state = "restarted" if leg.end.name in fresh else "started"
        result = service_units.present(service, backend, check_mode, state)
        outcome.add(result)
        pid = result["service"]["pid"]
        outcome.listeners.append(
            service_readiness.Listener(service, "raw6", ICMPV6, params["ra_user"], pid)
        )
    return outcome


def wait(plan: Plan, backend: str, outcome: Outcome) -> tuple[int, ...]:
    """Wait until guests are told; return the processes that do it."""
    where = f"the guests of router {plan.router_id}"
    return tuple(service_readiness.wait(each, backend, where) for each in outcome.listeners)


def remove(router_id: str, backend: str, check_mode: bool) -> list[dict[str, str]]:
    """Have none of the router's services; return the diffs."""
    outcome = Outcome()
    for name in sorted(present(router_id, backend)):
        outcome.add(service_units.absent(name, backend, check_mode))
    return outcome.diffs


def present(router_id: str, backend: str) -> set[str]:
    """Return the names of the services that the router has on this host, up or not."""
    prefix = names.advertisement_services(router_id)
    return {name for name in service_units.listed(backend) if name.startswith(prefix)}


def router_ids(backend: str) -> set[str]:
    """Return the routers that have any: a unit outlives a boot, unlike its namespace."""
    prefix = names.ADVERTISEMENT_PREFIX
    found = {
        name[len(prefix) :].partition(".")[0]
        for name in service_units.listed(backend)
        if name.startswith(prefix)
    }
    return {each for each in found if work.UUID_RE.fullmatch(each)}


def _services(plan: Plan, user: str) -> list[tuple[Leg, service_units.Service]]:
    return [
        (
            leg,
            # As root: dnsmasq opens its socket and then becomes the user.
            service_units.Service(
                name=names.advertisement_service(plan.router_id, leg.port_id),
                argv=command(leg, user),
                description=f"advertisements of Novella's router {plan.router_id} "
                f"in network {leg.network_id}",
                netns=plan.netns,
            ),
        )
        for leg in plan.legs
        if leg.advertised
    ]


def command(leg: Leg, user: str) -> list[str]:
    """Return dnsmasq's command line for a leg."""
    options = [
        "keep-in-foreground",
        "conf-file=/dev/null",
        # None: all instances on a host have one file by default.
        "pid-file",
        "port=0",
        "no-hosts",
        f"user={user}",
        f"interface={leg.end.name}",
        "except-interface=lo",
        # There is one for each leg.
        "bind-dynamic",
        # Each subnet's mode says what is in its prefix, and whether there is DHCP.
        "enable-ra",
        f"ra-param={leg.end.name},mtu:{leg.end.mtu},{INTERVAL_S},{LIFETIME_S}",
        # It is no DHCP server: it knows nobody.
        "dhcp-ignore=tag:!known",
        "leasefile-ro",
        "log-facility=-",
        "quiet-ra",
        "quiet-dhcp6",
    ]
    for subnet in leg.advertised:
        options += subnets.range6(subnet, subnet.ra_mode)
    return [DNSMASQ, *(f"--{option}" for option in options)]
