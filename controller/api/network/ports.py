"""Ports: list, show, create, update, delete."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select

from controller.api.common.calls import Call, Reply
from controller.api.network import bodies, lists, views
from controller.api.network.policies import authorize_attributes
from controller.core import dns_names, network_shares, networks, port_records, security_groups
from controller.core.network_faults import InvalidInput
from controller.db.models import Host, IPAllocation, Network, Port, PortSecurityGroup

UNCOLUMNED = ("network_id", "binding:vnic_type", "binding:profile", "binding:host_id")
OWNERS_OF_THE_CLOUD = (port_records.SERVER_OWNER, port_records.SERVICE_OWNER)
FIXED_IP_FILTERS: dict[str, Callable[[str], ColumnElement[bool]]] = {
    "ip_address": lambda value: IPAllocation.ip_address == value,
    "subnet_id": lambda value: IPAllocation.subnet_id == value,
    "ip_address_substr": lambda value: IPAllocation.ip_address.contains(value, autoescape=True),
}


def _with_fixed_ips(values: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition of `fixed_ips=ip_address=...`: one address has all that is named."""
    wanted = []
    for value in values:
        name, equals, text = value.partition("=")
        if name not in FIXED_IP_FILTERS or not equals:
            raise InvalidInput(
                f"Filter fixed_ips is '{value}'; expected one of "
                f"{', '.join(f'{each}=...' for each in FIXED_IP_FILTERS)}."
            )
        wanted.append(FIXED_IP_FILTERS[name](text))
    return Port.id.in_(select(IPAllocation.port_id).where(*wanted))


def _with_groups(values: Sequence[str]) -> ColumnElement[bool]:
    return Port.id.in_(
        select(PortSecurityGroup.port_id).where(PortSecurityGroup.security_group_id.in_(values))
    )


def _on_hosts(values: Sequence[str]) -> ColumnElement[bool]:
    return Port.host_id.in_(select(Host.id).where(Host.name.in_(values)))


def _listing(call: Call) -> lists.Listing:
    conditions: dict[str, lists.Condition] = {
        "fixed_ips": _with_fixed_ips,
        "ip_address": lambda values: Port.id.in_(
            select(IPAllocation.port_id).where(IPAllocation.ip_address.in_(values))
        ),
        "subnet_id": lambda values: Port.id.in_(
            select(IPAllocation.port_id).where(IPAllocation.subnet_id.in_(values))
        ),
        "security_groups": _with_groups,
    }
    if call.allows("get_port:binding:host_id"):
        conditions["binding:host_id"] = _on_hosts
    return lists.Listing(
        Port,
        {
            "id": Port.id,
            "name": Port.name,
            "description": Port.description,
            "project_id": Port.project_id,
            "tenant_id": Port.project_id,
            "network_id": Port.network_id,
            "mac_address": Port.mac_address,
            "admin_state_up": Port.admin_state_up,
            "status": Port.status,
            "device_id": Port.device_id,
            "device_owner": Port.device_owner,
            "port_security_enabled": Port.port_security_enabled,
            "dns_name": Port.dns_name,
            "revision_number": Port.revision_number,
        },
        constants={"binding:vnic_type": "normal"},
        conditions=conditions,
    )


def _views(call: Call, rows: Sequence[Port]) -> list[dict[str, Any]]:
    """Return the ports as the caller may see them, in three more statements, for admins four."""
    port_ids = [row.id for row in rows]
    fixed_ips = port_records.fixed_ips_of(call.session, port_ids)
    group_ids = security_groups.of_ports(call.session, port_ids)
    bindings = _bindings(call, rows) if call.allows("get_port:binding:host_id") else {}
    shown = (
        views.port(
            row,
            fixed_ips[row.id],
            group_ids[row.id],
            dns_names.assignment(call.settings, row, fixed_ips[row.id]),
            bindings.get(row.id),
        )
        for row in rows
    )
    return lists.with_tags(call, rows, shown)


def _bindings(call: Call, rows: Sequence[Port]) -> dict[str, dict[str, Any]]:
    found = call.session.execute(
        select(Port.id, Host.name, Network.network_driver)
        .join(Network, Network.id == Port.network_id)
        .outerjoin(Host, Host.id == Port.host_id)
        .where(Port.id.in_([row.id for row in rows]))
    )
    by_id = {port_id: (name, driver) for port_id, name, driver in found}
    return {row.id: views.port_binding(row, *by_id[row.id]) for row in rows}


def list_ports(call: Call) -> Reply:
    page = lists.fetch(call, _listing(call), port_records.visible(call.context))
    return Reply(page.body("ports", _views(call, page.rows)))


def show_port(call: Call, port_id: str) -> Reply:
    port = port_records.get(call.session, call.context, port_id)
    return Reply({"port": _views(call, [port])[0]})


def _authorize(
    call: Call, action: str, wanted: Mapping[str, Any], network: Network, project_id: str
) -> None:
    """Refuse what the caller may not do on this network, or set of this port."""
    target = {
        "project_id": project_id,
        "network:project_id": network.project_id,
        "network:shared": network_shares.is_shared(
            call.session, call.context.project_id, network.id
        ),
    }
    call.authorize(action, target)
    # In any case of letters: LIKE in SQL, by which a server's ports are found, knows none.
    ours = str(wanted.get("device_owner", "")).lower().startswith(OWNERS_OF_THE_CLOUD)
    asked = {name: value for name, value in wanted.items() if name != "device_owner" or ours}
    for fixed_ip in wanted.get("fixed_ips") or ():
        asked |= {f"fixed_ips:{name}": value for name, value in fixed_ip.items()}
    authorize_attributes(call, action, asked, target)


def create_ports(call: Call) -> Reply:
    def create(item: bodies.Item) -> dict[str, Any]:
        network = networks.get(call.session, call.context, item["network_id"])
        project_id = bodies.owner(call, item)
        _authorize(call, "create_port", item, network, project_id)
        port = port_records.create(
            call.session,
            call.settings,
            call.context,
            network,
            project_id,
            bodies.columns(item, {}, UNCOLUMNED),
        )
        return _views(call, [port])[0]

    return bodies.create_each(call, "port", create)


def update_port(call: Call, port_id: str) -> Reply:
    port = port_records.get(call.session, call.context, port_id, lock=True)
    network = call.session.get_one(Network, port.network_id)
    wanted = call.body["port"]
    _authorize(call, "update_port", wanted, network, port.project_id)
    port_records.update(
        call.session, call.context, network, port, bodies.columns(wanted, {}, UNCOLUMNED)
    )
    return Reply({"port": _views(call, [port])[0]})


def delete_port(call: Call, port_id: str) -> Reply:
    port = port_records.get(call.session, call.context, port_id, lock=True)
    network = call.session.get_one(Network, port.network_id)
    _authorize(call, "delete_port", {}, network, port.project_id)
    port_records.remove(call.session, port)
    return Reply(status=204)
