"""Routers: who sees which, their names, gateways and routes.

A router is on every host that has servers behind it, with the same addresses everywhere. What it
connects are ports that name it: its interfaces, and the port of its own addresses outside. Their
interfaces are in `core.router_interfaces`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, true
from sqlalchemy import update as sql_update
from sqlalchemy.orm import Session

from controller.core import (
    network_quotas,
    network_updates,
    port_records,
    resource_tags,
    router_gateways,
    router_routes,
)
from controller.core.context import Context
from controller.core.network_faults import BadNetworkRequest, RouterInUse, RouterNotFound
from controller.core.router_ports import INTERFACE
from controller.db.models import AutoTopology, Port, Router
from controller.settings import Settings


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on Router rows that this caller is told of."""
    return true() if context.is_admin else Router.project_id == context.project_id


def get(session: Session, context: Context, router_id: str, *, lock: bool = False) -> Router:
    """Return a router that the caller may see, or raise RouterNotFound.

    With `lock`, nobody else changes what it connects until we have committed.
    """
    query = select(Router).where(Router.id == router_id, visible(context))
    router = session.scalar(query.with_for_update() if lock else query)
    if router is None:
        raise RouterNotFound(
            f"Router {router_id} could not be found. Check the id and the project in use."
        )
    return router


def create(
    session: Session,
    settings: Settings,
    context: Context,
    project_id: str,
    values: Mapping[str, Any],
) -> Router:
    """Return a new router of `project_id`.

    `values` has columns of Router and, if wanted, `external_gateway_info` as the API has it. Raises
    OverQuota and what gateways raise.
    """
    _check_kind(values)
    network_quotas.check(session, settings, project_id, "router")
    router = Router(project_id=project_id, **_columns(values))
    session.add(router)
    session.flush()
    if values.get("external_gateway_info"):
        router_gateways.change(session, context, router, values["external_gateway_info"])
        session.flush()
    return router


def update(
    session: Session,
    settings: Settings,
    context: Context,
    router: Router,
    values: Mapping[str, Any],
) -> Router:
    """Change a router, and have its hosts follow. See `create`; `routes` replaces them all."""
    _check_kind(values)
    before = network_updates.concerned_by_router(session, router.id)
    for name, value in _columns(values).items():
        setattr(router, name, value)
    if "external_gateway_info" in values:
        router_gateways.change(session, context, router, values["external_gateway_info"])
    if "routes" in values:
        router.routes = router_routes.check(session, settings, router, values["routes"])
    changed(session, context, router, before)
    return router


def changed(
    session: Session, context: Context, router: Router, before: Collection[str] = ()
) -> None:
    """The router is another one than before: count it, and tell the hosts that it is on."""
    router.revision_number += 1
    session.flush()
    network_updates.router_changed(session, router.id, context, before)


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    known = ("name", "description", "admin_state_up")
    return {name: values[name] for name in known if name in values}


def _check_kind(values: Mapping[str, Any]) -> None:
    """Refuse what our routers can't be: every one is on the hosts of its servers, and no other."""
    if values.get("distributed") is False:
        raise BadNetworkRequest(
            "Bad router request: every router is distributed, on the hosts of its servers. Leave "
            "'distributed' out."
        )
    if values.get("ha"):
        raise BadNetworkRequest(
            "Bad router request: no router needs to be highly available, since each host routes "
            "for its own servers. Leave 'ha' out."
        )


def remove(session: Session, context: Context, router: Router) -> None:
    """Delete a router; raises RouterInUse while it has interfaces."""
    port_id = session.scalar(
        select(Port.id).where(Port.device_id == router.id, Port.device_owner == INTERFACE).limit(1)
    )
    if port_id:
        raise RouterInUse(
            f"Router {router.id} still has ports, such as {port_id}. Remove its interfaces first."
        )
    router_gateways.change(session, context, router, None)
    resource_tags.erase(session, [router.id])
    session.execute(
        sql_update(AutoTopology).where(AutoTopology.router_id == router.id).values(router_id=None)
    )
    session.delete(router)
    session.flush()


def interfaces_of(session: Session, router_ids: Sequence[str]) -> dict[str, list[Port]]:
    """Return each router's interfaces, in one statement and always in the same order."""
    found: dict[str, list[Port]] = {router_id: [] for router_id in router_ids}
    for port in session.scalars(
        select(Port)
        .where(Port.device_id.in_(router_ids), Port.device_owner == INTERFACE)
        .order_by(Port.id)
    ):
        found[port.device_id].append(port)
    return found


def gateways_of(session: Session, routers: Sequence[Router]) -> dict[str, Port]:
    """Return the gateway port of each router that has one, by the port's id."""
    ids = {router.gateway_port_id for router in routers if router.gateway_port_id}
    return {port.id: port for port in session.scalars(select(Port).where(Port.id.in_(ids)))}


def addresses_of(session: Session, ports: Collection[Port]) -> dict[str, list[dict[str, str]]]:
    """Return the addresses of ports as the API shows them, in one statement."""
    found = port_records.fixed_ips_of(session, [port.id for port in ports])
    return {
        port_id: [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in held]
        for port_id, held in found.items()
    }
