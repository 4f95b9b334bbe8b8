"""Floating IPs: list, show, create, update, delete."""

from collections.abc import Sequence
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.network import bodies, lists, router_views
from controller.api.network.policies import authorize_attributes
from controller.core import floating_ips
from controller.db.models import FloatingIP

LISTING = lists.Listing(
    FloatingIP,
    {
        "id": FloatingIP.id,
        "description": FloatingIP.description,
        "project_id": FloatingIP.project_id,
        "tenant_id": FloatingIP.project_id,
        "floating_ip_address": FloatingIP.floating_ip_address,
        "floating_network_id": FloatingIP.floating_network_id,
        "fixed_ip_address": FloatingIP.fixed_ip_address,
        "port_id": FloatingIP.fixed_port_id,
        "router_id": FloatingIP.router_id,
        "status": FloatingIP.status,
        "revision_number": FloatingIP.revision_number,
    },
)


def _views(call: Call, rows: Sequence[FloatingIP]) -> list[dict[str, Any]]:
    """Return the floating IPs with their ports, in two more statements."""
    ports = floating_ips.ports_of(call.session, rows)
    shown = (router_views.floating_ip(row, ports.get(row.fixed_port_id or "")) for row in rows)
    return lists.with_tags(call, rows, shown)


def list_floating_ips(call: Call) -> Reply:
    page = lists.fetch(call, LISTING, floating_ips.visible(call.context))
    return Reply(page.body("floatingips", _views(call, page.rows)))


def show_floating_ip(call: Call, floating_ip_id: str) -> Reply:
    floating_ip = floating_ips.get(call.session, call.context, floating_ip_id)
    return Reply({"floatingip": _views(call, [floating_ip])[0]})


def create_floating_ips(call: Call) -> Reply:
    def create(item: bodies.Item) -> dict[str, Any]:
        project_id = bodies.owner(call, item)
        target = {"project_id": project_id}
        call.authorize("create_floatingip", target)
        named = {name: value for name, value in item.items() if value is not None}
        authorize_attributes(call, "create_floatingip", named, target)
        floating_ip = floating_ips.create(
            call.session, call.settings, call.context, project_id, named
        )
        return _views(call, [floating_ip])[0]

    return bodies.create_each(call, "floatingip", create)


def _own(call: Call, action: str, floating_ip_id: str) -> FloatingIP:
    floating_ip = floating_ips.get(call.session, call.context, floating_ip_id, lock=True)
    call.authorize(action, {"project_id": floating_ip.project_id})
    return floating_ip


def update_floating_ip(call: Call, floating_ip_id: str) -> Reply:
    floating_ip = _own(call, "update_floatingip", floating_ip_id)
    floating_ips.update(call.session, call.context, floating_ip, call.body["floatingip"])
    return Reply({"floatingip": _views(call, [floating_ip])[0]})


def delete_floating_ip(call: Call, floating_ip_id: str) -> Reply:
    floating_ip = _own(call, "delete_floatingip", floating_ip_id)
    floating_ips.remove(call.session, call.context, floating_ip)
    return Reply(status=204)
