"""Routers: list, show, create, update, delete, and their interfaces and extra routes."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from controller.api.common.calls import Call, Reply
from controller.api.network import bodies, lists, router_views
from controller.api.network.policies import authorize_attributes
from controller.core import router_interfaces, router_routes, routers
from controller.core.network_faults import BadNetworkRequest
from controller.db.models import Port, Router

KIND = ("distributed", "ha")


def _listing(call: Call) -> lists.Listing:
    constants: dict[str, Any] = {"status": "ACTIVE", "flavor_id": None}
    if call.allows("get_router:distributed"):
        constants |= {"distributed": True, "ha": False}
    return lists.Listing(
        Router,
        {
            "id": Router.id,
            "name": Router.name,
            "description": Router.description,
            "project_id": Router.project_id,
            "tenant_id": Router.project_id,
            "admin_state_up": Router.admin_state_up,
            "enable_snat": Router.enable_snat,
            "revision_number": Router.revision_number,
        },
        constants=constants,
        conditions={
            # Of its gateway: what leads to an external network.
            "network_id": lambda values: Router.gateway_port_id.in_(
                select(Port.id).where(Port.network_id.in_(values))
            )
        },
    )


def _views(call: Call, rows: Sequence[Router]) -> list[dict[str, Any]]:
    """Return the routers as the caller may see them, in three more statements."""
    gateways = routers.gateways_of(call.session, rows)
    addresses = routers.addresses_of(call.session, gateways.values())
    kind = call.allows("get_router:distributed")
    shown = (
        router_views.router(
            row,
            gateways.get(row.gateway_port_id or ""),
            addresses.get(row.gateway_port_id or "", []),
            kind=kind,
        )
        for row in rows
    )
    return lists.with_tags(call, rows, shown)


def list_routers(call: Call) -> Reply:
    page = lists.fetch(call, _listing(call), routers.visible(call.context))
    return Reply(page.body("routers", _views(call, page.rows)))


def show_router(call: Call, router_id: str) -> Reply:
    router = routers.get(call.session, call.context, router_id)
    return Reply({"router": _views(call, [router])[0]})


def _authorize(call: Call, action: str, wanted: Mapping[str, Any], project_id: str) -> None:
    target = {"project_id": project_id}
    call.authorize(action, target)
    asked = {name: value for name, value in wanted.items() if value is not None}
    for name, value in (wanted.get("external_gateway_info") or {}).items():
        asked[f"external_gateway_info:{name}"] = value
    authorize_attributes(call, action, asked, target)


def create_routers(call: Call) -> Reply:
    def create(item: bodies.Item) -> dict[str, Any]:
        project_id = bodies.owner(call, item)
        _authorize(call, "create_router", item, project_id)
        router = routers.create(call.session, call.settings, call.context, project_id, item)
        return _views(call, [router])[0]

    return bodies.create_each(call, "router", create)


def _own(call: Call, action: str, router_id: str, wanted: Mapping[str, Any]) -> Router:
    """Return a router that the caller may change so, kept from others' changes."""
    router = routers.get(call.session, call.context, router_id, lock=True)
    _authorize(call, action, wanted, router.project_id)
    return router


def update_router(call: Call, router_id: str) -> Reply:
    wanted = call.body["router"]
    router = _own(call, "update_router", router_id, wanted)
    routers.update(call.session, call.settings, call.context, router, wanted)
    return Reply({"router": _views(call, [router])[0]})


def delete_router(call: Call, router_id: str) -> Reply:
    router = _own(call, "delete_router", router_id, {})
    routers.remove(call.session, call.context, router)
    return Reply(status=204)


def add_interface(call: Call, router_id: str) -> Reply:
    router = _own(call, "add_router_interface", router_id, {})
    port_id, subnet_id = call.body.get("port_id"), call.body.get("subnet_id")
    if port_id and subnet_id:
        raise BadNetworkRequest("Bad router request: Cannot specify both subnet-id and port-id.")
    if port_id:
        added = router_interfaces.add_port(call.session, call.context, router, port_id)
    elif subnet_id:
        added = router_interfaces.add_subnet(
            call.session, call.settings, call.context, router, subnet_id
        )
    else:
        raise _neither()
    return Reply(router_views.interface(router, added))


def remove_interface(call: Call, router_id: str) -> Reply:
    router = _own(call, "remove_router_interface", router_id, {})
    port_id, subnet_id = call.body.get("port_id"), call.body.get("subnet_id")
    if not port_id and not subnet_id:
        raise _neither()
    removed = router_interfaces.remove(
        call.session, call.context, router, port_id=port_id, subnet_id=subnet_id
    )
    return Reply(router_views.interface(router, removed))


def _neither() -> BadNetworkRequest:
    return BadNetworkRequest("Bad router request: Either subnet_id or port_id must be specified.")


def add_routes(call: Call, router_id: str) -> Reply:
    """Answer with the router, which has these routes beside those that it had."""
    router = _own(call, "add_extraroutes", router_id, {})
    added = router_routes.plain(call.body["router"]["routes"])
    return _with_routes(call, router, [*router.routes, *added])


def remove_routes(call: Call, router_id: str) -> Reply:
    """Answer with the router, which has none of these routes any more."""
    router = _own(call, "remove_extraroutes", router_id, {})
    gone = router_routes.plain(call.body["router"]["routes"])
    return _with_routes(call, router, [each for each in router.routes if each not in gone])


def _with_routes(call: Call, router: Router, routes: list[dict[str, str]]) -> Reply:
    routers.update(call.session, call.settings, call.context, router, {"routes": routes})
    return Reply({"router": _views(call, [router])[0]})
