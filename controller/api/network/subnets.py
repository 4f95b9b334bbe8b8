"""Subnets: list, show, create, update, delete."""

from collections.abc import Sequence
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.network import bodies, lists, views
from controller.core import networks, subnet_pools, subnets
from controller.db.models import Network, Subnet, SubnetPool

UNCOLUMNED = ("network_id", "subnetpool_id", "use_default_subnetpool")
LISTING = lists.Listing(
    Subnet,
    {
        "id": Subnet.id,
        "name": Subnet.name,
        "description": Subnet.description,
        "project_id": Subnet.project_id,
        "tenant_id": Subnet.project_id,
        "network_id": Subnet.network_id,
        "ip_version": Subnet.ip_version,
        "cidr": Subnet.cidr,
        "gateway_ip": Subnet.gateway_ip,
        "subnetpool_id": Subnet.subnetpool_id,
        "enable_dhcp": Subnet.enable_dhcp,
        "ipv6_address_mode": Subnet.ipv6_address_mode,
        "ipv6_ra_mode": Subnet.ipv6_ra_mode,
        "revision_number": Subnet.revision_number,
    },
    constants={"segment_id": None},
)


def _views(call: Call, rows: Sequence[Subnet]) -> list[dict[str, Any]]:
    return lists.with_tags(call, rows, map(views.subnet, rows))


def list_subnets(call: Call) -> Reply:
    page = lists.fetch(call, LISTING, subnets.visible(call.context))
    return Reply(page.body("subnets", _views(call, page.rows)))


def show_subnet(call: Call, subnet_id: str) -> Reply:
    subnet = subnets.get(call.session, call.context, subnet_id)
    return Reply({"subnet": _views(call, [subnet])[0]})


def create_subnets(call: Call) -> Reply:
    def create(wanted: bodies.Item) -> dict[str, Any]:
        item = bodies.with_numbers(wanted, "prefixlen")
        network = networks.get(call.session, call.context, item["network_id"])
        project_id = bodies.owner(call, item)
        call.authorize(
            "create_subnet",
            {"project_id": project_id, "network:project_id": network.project_id},
        )
        subnet = subnets.create(
            call.session,
            call.settings,
            network,
            project_id,
            bodies.columns(item, {}, UNCOLUMNED),
            _pool(call, item),
        )
        return _views(call, [subnet])[0]

    return bodies.create_each(call, "subnet", create)


def _pool(call: Call, item: bodies.Item) -> SubnetPool | None:
    """Return the pool that the subnet is to be cut from, None for none."""
    if item.get("subnetpool_id"):
        return subnet_pools.get(call.session, call.context, item["subnetpool_id"])
    if item.get("use_default_subnetpool"):
        return subnet_pools.default(call.session, call.context, item.get("ip_version", 4))
    return None


def _network_of(call: Call, subnet: Subnet) -> Network:
    return call.session.get_one(Network, subnet.network_id)


def update_subnet(call: Call, subnet_id: str) -> Reply:
    subnet = subnets.get(call.session, call.context, subnet_id, lock=True)
    network = _network_of(call, subnet)
    call.authorize("update_subnet", _target(subnet, network))
    subnets.update(call.session, network, subnet, call.body["subnet"])
    return Reply({"subnet": _views(call, [subnet])[0]})


def delete_subnet(call: Call, subnet_id: str) -> Reply:
    subnet = subnets.get(call.session, call.context, subnet_id, lock=True)
    call.authorize("delete_subnet", _target(subnet, _network_of(call, subnet)))
    subnets.remove(call.session, subnet)
    return Reply(status=204)


def _target(subnet: Subnet, network: Network) -> dict[str, Any]:
    return {"project_id": subnet.project_id, "network:project_id": network.project_id}
