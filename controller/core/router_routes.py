"""A router's extra routes: where it sends what is for none of its own networks."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import router_ports, subnet_ranges
from controller.core.network_faults import (
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

    A next hop is in a network that the router is connected to, and not the router itself. A
    destination is none with another use, nor a network that the router is connected to. Hosts would
    not get past a route that the kernel doesn't take, with all else that they are told.
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
        if not any(subnet_ranges.holds(each, nexthop) for each in ranges):
            raise _invalid(route, "the nexthop is not connected with router")
        destination = subnet_ranges.plain_range(route["destination"])
        if destination in ranges:
            raise _invalid(route, "the destination is a network connected with router")
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


def _invalid(route: Mapping[str, Any], reason: str) -> InvalidRoutes:
    return InvalidRoutes(
        f"Invalid format for routes: {route.get('destination')} via {route.get('nexthop')}, "
        f"{reason}."
    )


def refuse_needed(session: Session, router: Router, port: Port, subnet_id: str = "") -> None:
    """Refuse to take the router's `port` (or one subnet of it) away while a route leads through."""
    query = (
        select(Subnet)
        .join(IPAllocation, IPAllocation.subnet_id == Subnet.id)
        .where(IPAllocation.port_id == port.id)
    )
    if subnet_id:
        query = query.where(Subnet.id == subnet_id)
    for subnet in session.scalars(query):
        cidr = subnet_ranges.range_of(subnet)
        for route in router.routes:
            if ipaddress.ip_address(route["nexthop"]) in cidr:
                raise RouterInterfaceInUseByRoute(
                    f"Router interface for subnet {subnet.id} on router {router.id} cannot be "
                    "deleted, as it is required by one or more routes, such as that to "
                    f"{route['destination']}. Remove them first."
                )
