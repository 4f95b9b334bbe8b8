"""Networks: list, show, create, update, delete."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from controller.api.common.calls import Call, Reply
from controller.api.network import bodies, lists, views
from controller.api.network.policies import PROVIDER, authorize_attributes
from controller.core import network_shares, networks
from controller.core.network_faults import InvalidInput
from controller.db.models import Network, Subnet, SubnetPool

COLUMNS = {
    "router:external": "external",
    "provider:network_type": "network_type",
    "provider:physical_network": "physical_network",
    "provider:segmentation_id": "segmentation_id",
    "network_driver": "network_driver",
}
UNCOLUMNED = ("availability_zone_hints",)


def _listing(call: Call) -> lists.Listing:
    columns = {
        "id": Network.id,
        "name": Network.name,
        "description": Network.description,
        "project_id": Network.project_id,
        "tenant_id": Network.project_id,
        "admin_state_up": Network.admin_state_up,
        "router:external": Network.external,
        "is_default": Network.is_default,
        "mtu": Network.mtu,
        "port_security_enabled": Network.port_security_enabled,
        "revision_number": Network.revision_number,
    }
    if call.allows("get_network:provider:network_type"):
        columns |= {name: getattr(Network, COLUMNS[name]) for name in PROVIDER}
    return lists.Listing(
        Network,
        columns,
        constants={"status": "ACTIVE"},
        conditions={"shared": partial(_shared, call)},
    )


def _shared(call: Call, values: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that a network is shared with the caller, or is not."""
    wanted = {lists.word(value, "shared") for value in values}
    shared = Network.id.in_(
        network_shares.network_ids(call.context.project_id, network_shares.SHARED)
    )
    return or_(*(shared if each else ~shared for each in wanted))


def _views(call: Call, rows: Sequence[Network]) -> list[dict[str, Any]]:
    """Return the networks as the caller may see them, in three more statements."""
    subnet_ids: dict[str, list[str]] = {row.id: [] for row in rows}
    scopes: dict[tuple[str, int], str] = {}
    for subnet_id, network_id, version, scope_id in call.session.execute(
        select(Subnet.id, Subnet.network_id, Subnet.ip_version, SubnetPool.address_scope_id)
        .outerjoin(SubnetPool, SubnetPool.id == Subnet.subnetpool_id)
        .where(Subnet.network_id.in_(subnet_ids))
        .order_by(Subnet.created_at, Subnet.id)
    ):
        subnet_ids[network_id].append(subnet_id)
        if scope_id:
            scopes[network_id, version] = scope_id
    provider = call.allows("get_network:provider:network_type")
    shared = network_shares.shared_among(call.session, call.context.project_id, list(subnet_ids))
    shown = (
        views.network(row, subnet_ids[row.id], shared=row.id in shared, provider=provider)
        | {f"ipv{version}_address_scope": scopes.get((row.id, version)) for version in (4, 6)}
        for row in rows
    )
    return lists.with_tags(call, rows, shown)


def list_networks(call: Call) -> Reply:
    page = lists.fetch(call, _listing(call), networks.visible(call.context))
    return Reply(page.body("networks", _views(call, page.rows)))


def show_network(call: Call, network_id: str) -> Reply:
    network = networks.get(call.session, call.context, network_id)
    return Reply({"network": _views(call, [network])[0]})


def create_networks(call: Call) -> Reply:
    def create(wanted: bodies.Item) -> dict[str, Any]:
        item = bodies.with_numbers(wanted, "mtu")
        project_id = bodies.owner(call, item)
        target = {"project_id": project_id}
        call.authorize("create_network", target)
        authorize_attributes(call, "create_network", item, target)
        values = bodies.columns(item, COLUMNS, UNCOLUMNED)
        if "segmentation_id" in values:
            values["segmentation_id"] = _number(values["segmentation_id"])
        network = networks.create(call.session, call.settings, project_id, values)
        return _views(call, [network])[0]

    return bodies.create_each(call, "network", create)


def _number(wanted: int | str | None) -> int | None:
    """Return a segmentation id; the openstack client sends it as text."""
    if not isinstance(wanted, str):
        return wanted
    if not (wanted.isascii() and wanted.isdigit()):
        raise InvalidInput(f"provider:segmentation_id is '{wanted}'; expected a number.")
    return int(wanted)


def update_network(call: Call, network_id: str) -> Reply:
    network = networks.get(call.session, call.context, network_id)
    wanted = bodies.with_numbers(call.body["network"], "mtu")
    target = {"project_id": network.project_id}
    call.authorize("update_network", target)
    authorize_attributes(call, "update_network", wanted, target)
    values = bodies.columns(wanted, COLUMNS)
    networks.update(call.session, call.settings, call.context, network, values)
    return Reply({"network": _views(call, [network])[0]})


def delete_network(call: Call, network_id: str) -> Reply:
    network = networks.get(call.session, call.context, network_id)
    call.authorize("delete_network", {"project_id": network.project_id})
    networks.remove(call.session, network)
    return Reply(status=204)
