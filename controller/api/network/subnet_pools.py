"""Subnet pools and address scopes: list, show, create, update, delete."""

from collections.abc import Sequence
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.network import bodies, lists, views
from controller.api.network.policies import authorize_attributes
from controller.core import address_scopes, subnet_pools
from controller.db.models import AddressScope, SubnetPool

POOLS = lists.Listing(
    SubnetPool,
    {
        "id": SubnetPool.id,
        "name": SubnetPool.name,
        "description": SubnetPool.description,
        "project_id": SubnetPool.project_id,
        "tenant_id": SubnetPool.project_id,
        "ip_version": SubnetPool.ip_version,
        "default_prefixlen": SubnetPool.default_prefixlen,
        "min_prefixlen": SubnetPool.min_prefixlen,
        "max_prefixlen": SubnetPool.max_prefixlen,
        "default_quota": SubnetPool.default_quota,
        "address_scope_id": SubnetPool.address_scope_id,
        "shared": SubnetPool.shared,
        "is_default": SubnetPool.is_default,
        "revision_number": SubnetPool.revision_number,
    },
)
SCOPES = lists.Listing(
    AddressScope,
    {
        "id": AddressScope.id,
        "name": AddressScope.name,
        "project_id": AddressScope.project_id,
        "tenant_id": AddressScope.project_id,
        "ip_version": AddressScope.ip_version,
        "shared": AddressScope.shared,
    },
)


def _views(call: Call, rows: Sequence[SubnetPool]) -> list[dict[str, Any]]:
    return lists.with_tags(call, rows, map(views.subnet_pool, rows))


def list_pools(call: Call) -> Reply:
    page = lists.fetch(call, POOLS, subnet_pools.visible(call.context))
    return Reply(page.body("subnetpools", _views(call, page.rows)))


def show_pool(call: Call, pool_id: str) -> Reply:
    pool = subnet_pools.get(call.session, call.context, pool_id)
    return Reply({"subnetpool": _views(call, [pool])[0]})


def create_pools(call: Call) -> Reply:
    def create(wanted: bodies.Item) -> dict[str, Any]:
        item = bodies.with_numbers(wanted, *subnet_pools.PREFIXLENS)
        project_id = bodies.owner(call, item)
        target = {"project_id": project_id}
        call.authorize("create_subnetpool", target)
        authorize_attributes(call, "create_subnetpool", item, target)
        pool = subnet_pools.create(
            call.session, call.settings, call.context, project_id, bodies.columns(item, {})
        )
        return _views(call, [pool])[0]

    return bodies.create_each(call, "subnetpool", create)


def update_pool(call: Call, pool_id: str) -> Reply:
    pool = subnet_pools.get(call.session, call.context, pool_id)
    wanted = bodies.with_numbers(call.body["subnetpool"], *subnet_pools.PREFIXLENS)
    target = {"project_id": pool.project_id}
    call.authorize("update_subnetpool", target)
    authorize_attributes(call, "update_subnetpool", wanted, target)
    subnet_pools.update(call.session, call.context, pool, wanted)
    return Reply({"subnetpool": _views(call, [pool])[0]})


def delete_pool(call: Call, pool_id: str) -> Reply:
    pool = subnet_pools.get(call.session, call.context, pool_id)
    call.authorize("delete_subnetpool", {"project_id": pool.project_id})
    subnet_pools.remove(call.session, pool)
    return Reply(status=204)


def _scope_view(call: Call, row: AddressScope) -> dict[str, Any]:
    return lists.chosen(call, views.address_scope(row))


def list_scopes(call: Call) -> Reply:
    page = lists.fetch(call, SCOPES, address_scopes.visible(call.context))
    return Reply(page.body("address_scopes", (_scope_view(call, row) for row in page.rows)))


def show_scope(call: Call, scope_id: str) -> Reply:
    scope = address_scopes.get(call.session, call.context, scope_id)
    return Reply({"address_scope": _scope_view(call, scope)})


def create_scopes(call: Call) -> Reply:
    def create(item: bodies.Item) -> dict[str, Any]:
        project_id = bodies.owner(call, item)
        target = {"project_id": project_id}
        call.authorize("create_address_scope", target)
        authorize_attributes(call, "create_address_scope", item, target)
        scope = address_scopes.create(call.session, project_id, bodies.columns(item, {}))
        return _scope_view(call, scope)

    return bodies.create_each(call, "address_scope", create)


def update_scope(call: Call, scope_id: str) -> Reply:
    scope = address_scopes.get(call.session, call.context, scope_id)
    wanted, target = call.body["address_scope"], {"project_id": scope.project_id}
    call.authorize("update_address_scope", target)
    authorize_attributes(call, "update_address_scope", wanted, target)
    address_scopes.update(call.session, scope, wanted)
    return Reply({"address_scope": _scope_view(call, scope)})


def delete_scope(call: Call, scope_id: str) -> Reply:
    scope = address_scopes.get(call.session, call.context, scope_id)
    call.authorize("delete_address_scope", {"project_id": scope.project_id})
    address_scopes.remove(call.session, scope)
    return Reply(status=204)
