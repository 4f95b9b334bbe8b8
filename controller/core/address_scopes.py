"""Address scopes: what the addresses of subnet pools are unique in."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from controller.core.context import Context
from controller.core.network_faults import (
    AddressScopeInUse,
    AddressScopeNotFound,
    AddressScopePrefixConflict,
    AddressScopeUpdateError,
)
from controller.db.models import AddressScope, SubnetPool


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on AddressScope rows that this caller is told of."""
    if context.is_admin:
        return true()
    return or_(AddressScope.project_id == context.project_id, AddressScope.shared)


def get(session: Session, context: Context, scope_id: str, *, lock: bool = False) -> AddressScope:
    """Return a scope that the caller may see, or raise AddressScopeNotFound.

    With `lock`, no other pool comes to it, or grows in it, until we have committed.
    """
    query = select(AddressScope).where(AddressScope.id == scope_id, visible(context))
    scope = session.scalar(query.with_for_update() if lock else query)
    if scope is None:
        raise AddressScopeNotFound(
            f"Address scope {scope_id} could not be found. Check the id and the project in use."
        )
    return scope


def create(session: Session, project_id: str, values: Mapping[str, Any]) -> AddressScope:
    scope = AddressScope(project_id=project_id, **values)
    session.add(scope)
    session.flush()
    return scope


def update(session: Session, scope: AddressScope, values: Mapping[str, Any]) -> AddressScope:
    """Change name or sharing; raises AddressScopeUpdateError for one that is to be shared no more.

    As in Neutron: pools of other projects may be in it.
    """
    if scope.shared and not values.get("shared", True):
        raise AddressScopeUpdateError(
            f"Unable to update address scope {scope.id}: Shared address scope can't be unshared. "
            "Make another scope."
        )
    for name, value in values.items():
        setattr(scope, name, value)
    session.flush()
    return scope


def remove(session: Session, scope: AddressScope) -> None:
    """Delete a scope; raises AddressScopeInUse while pools are in it."""
    query = select(SubnetPool.id).where(SubnetPool.address_scope_id == scope.id).limit(1)
    pool_id = session.scalar(query)
    if pool_id:
        raise AddressScopeInUse(
            f"Unable to complete operation on address scope {scope.id}. There are one or more "
            f"subnet pools in use on it, such as {pool_id}. Delete those first."
        )
    session.delete(scope)
    session.flush()


def refuse_overlap(context: Context, pool: SubnetPool, other: SubnetPool) -> None:
    """Refuse prefixes that another pool of the same scope has; name it to those who may see it."""
    is_seen = other.shared or context.may_see(other.project_id)
    for mine in map(ipaddress.ip_network, pool.prefixes):
        for theirs in map(ipaddress.ip_network, other.prefixes):
            if mine.version == theirs.version and mine.overlaps(theirs):
                raise AddressScopePrefixConflict(
                    f"Failed to associate address scope: subnet pool {other.id} of the same scope "
                    f"has {theirs}, which overlaps with {mine}."
                    if is_seen
                    else f"Failed to associate address scope: {mine} overlaps with another subnet "
                    "pool of the same scope. Choose another prefix."
                )
