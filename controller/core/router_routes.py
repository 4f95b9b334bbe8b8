"""A router's extra routes: where it sends what is for none of its own networks."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import router_ports, subnet_ranges
from controller.core.network_faults import (
    BadNetworkRequest,
    InvalidRoutes,
    RouterInterfaceInUseByRoute,
    RoutesExhausted,
)
from controller.db.models import IPAllocation, Port, Router, Subnet
from controller.settings import Settings

# Neutron's.
ROUTES_MAX = 30

Route = dict[str, str]


def check(
    session: Session, _settings: Settings, router: Router, wanted: Sequence[Mapping[str, Any]]
) -> list[Route]:
    """Return `wanted` in plain form, each once, or refuse them: InvalidRoutes, RoutesExhausted.

    A next hop is in a network that the router has an interface on, and not the router itself: to
    external networks each host leads by its own next hop. A destination is none with another use,
    nor a network that the router is connected to, nor that of two routes. Hosts would not get past
    a route that the kernel doesn't take, with all else that they are told.
    """
    routes = plain(wanted)
    if len(routes) > ROUTES_MAX:
        raise RoutesExhausted(
            f"Unable to complete operation for {router.id}. The number of routes exceeds the "
            f"maximum {ROUTES_MAX}. Put several into a wider one."
        )
    if not routes:
        return []
    ranges = [subnet_ranges.range_of(each) for each in router_ports.subnets_of(session, router.id)]
    inside = router_ports.subnets_of(session, router.id, (router_ports.INTERFACE,))
    near = [subnet_ranges.range_of(each) for each in inside]
    own = set(
        session.scalars(
            select(IPAllocation.ip_address)
            .join(Port, Port.id == IPAllocation.port_id)
            .where(
                Port.device_id == router.id,
                Port.device_owner.in_((router_ports.INTERFACE, router_ports.GATEWAY)),
            )
        )
    )
    for route in routes:
        nexthop = subnet_ranges.plain_address(route["nexthop"])
        if not any(subnet_ranges.holds(each, nexthop) for each in near):
            raise _invalid(route, "the nexthop is not connected with router by an interface")
        destination = subnet_ranges.plain_range(route["destination"])
        if destination in ranges:
            raise _invalid(route, "the destination is a network connected with router")
        if destination.version == 6 and any(_is_part(destination, each) for each in ranges):
            # The kernel takes no next hop of a network that it has a way to by another one.
            raise _invalid(route, "the destination is part of a network connected with router")
        if any(other != route and other["destination"] == str(destination) for other in routes):
            raise _invalid(route, "another route has the same destination")
        if subnet_ranges.is_reserved(destination):
            raise _invalid(route, "the destination has another use, such as multicast")
        if route["nexthop"] in own:
            raise _invalid(route, "the nexthop is used by router")
    return routes


def plain(wanted: Sequence[Mapping[str, Any]]) -> list[Route]:
    """Return routes in plain form, each once, or raise InvalidRoutes."""
    routes: list[Route] = []
    for route in wanted:
        try:
            destination = subnet_ranges.plain_range(route["destination"])
            nexthop = subnet_ranges.plain_address(route["nexthop"])
        except ValueError as error:
            raise _invalid(route, str(error)) from error
        if destination.version != nexthop.version:
            raise _invalid(route, "destination and nexthop are of different IP versions")
        entry = {"destination": str(destination), "nexthop": str(nexthop)}
        if entry not in routes:
            routes.append(entry)
    return routes


def _is_part(inner: subnet_ranges.Range, outer: subnet_ranges.Range) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and inner.network_address in outer
    )


def _invalid(route: Mapping[str, Any], reason: str) -> InvalidRoutes:
    return InvalidRoutes(
        f"Invalid format for routes: {route.get('destination')} via {route.get('nexthop')}, "
        f"{reason}."
    )


def refuse_needed(router: Router, subnet: Subnet) -> None:
    """Refuse to take the router's interface on `subnet` away while a route leads through it."""
    cidr = subnet_ranges.range_of(subnet)
    for route in router.routes:
        if ipaddress.ip_address(route["nexthop"]) in cidr:
            raise RouterInterfaceInUseByRoute(
                f"Router interface for subnet {subnet.id} on router {router.id} cannot be deleted, "
                "as it is required by one or more routes, such as that to "
                f"{route['destination']}. Remove them first."
            )


def refuse_led_to(router: Router, subnet: Subnet) -> None:
    """Refuse to connect the router to a network that one of its routes leads to elsewhere."""
    cidr = str(subnet_ranges.range_of(subnet))
    for route in router.routes:
        if route["destination"] == cidr:
            raise BadNetworkRequest(
                f"Bad router request: router {router.id} has a route to {cidr} via "
                f"{route['nexthop']}, which is the range of subnet {subnet.id}. Remove the route "
                "first."
            )
