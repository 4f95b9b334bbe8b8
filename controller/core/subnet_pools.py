"""Subnet pools: prefixes that subnets are cut from, without overlap, and their address scopes."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from controller.core import address_scopes, network_quotas, resource_tags
from controller.core.context import Context
from controller.core.network_faults import (
    InvalidInput,
    SubnetAllocationError,
    SubnetPoolDeleteError,
    SubnetPoolNotFound,
    SubnetPoolQuotaExceeded,
)
from controller.core.subnet_ranges import Range, plain_range
from controller.db.models import Subnet, SubnetPool
from controller.settings import Settings

# What Neutron takes where nothing is said: the shortest and the longest prefix of a subnet.
BOUNDS = {4: (8, 32), 6: (64, 128)}
PREFIXLENS = ("min_prefixlen", "default_prefixlen", "max_prefixlen")


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on SubnetPool rows that this caller is told of."""
    if context.is_admin:
        return true()
    return or_(SubnetPool.project_id == context.project_id, SubnetPool.shared)


def get(session: Session, context: Context, pool_id: str) -> SubnetPool:
    """Return a pool that the caller may see, or raise SubnetPoolNotFound."""
    pool = session.scalar(select(SubnetPool).where(SubnetPool.id == pool_id, visible(context)))
    if pool is None:
        raise SubnetPoolNotFound(
            f"Subnet pool {pool_id} could not be found. Check the id and the project in use."
        )
    return pool


def default(session: Session, context: Context, ip_version: int) -> SubnetPool:
    """Return the pool that is meant where none is named, and that the caller may use."""
    pool = session.scalar(
        select(SubnetPool).where(
            SubnetPool.is_default, SubnetPool.ip_version == ip_version, visible(context)
        )
    )
    if pool is None:
        raise SubnetPoolNotFound(
            f"No default subnet pool of IPv{ip_version} is there. Name a pool, or a cidr."
        )
    return pool


def defaults(session: Session, project_id: str) -> Sequence[SubnetPool]:
    """Return the pools that are meant where none is named and the project may use, IPv4 first."""
    return session.scalars(
        select(SubnetPool)
        .where(SubnetPool.is_default)
        .where(or_(SubnetPool.project_id == project_id, SubnetPool.shared))
        .order_by(SubnetPool.ip_version)
    ).all()


def create(
    session: Session,
    settings: Settings,
    context: Context,
    project_id: str,
    values: Mapping[str, Any],
) -> SubnetPool:
    """Return a new pool; `values` has columns of SubnetPool, `prefixes` and `name` at least."""
    network_quotas.check(session, settings, project_id, "subnetpool")
    prefixes = _prefixes(values["prefixes"])
    version = prefixes[0].version
    shortest, longest = BOUNDS[version]
    lengths = {
        "min_prefixlen": values.get("min_prefixlen", shortest),
        "max_prefixlen": values.get("max_prefixlen", longest),
    }
    lengths["default_prefixlen"] = values.get("default_prefixlen", lengths["min_prefixlen"])
    columns = {**values, **lengths, "prefixes": [str(each) for each in prefixes]}
    pool = SubnetPool(**columns, project_id=project_id, ip_version=version)
    _check(session, context, pool)
    session.add(pool)
    session.flush()
    return pool


def update(
    session: Session, context: Context, pool: SubnetPool, values: Mapping[str, Any]
) -> SubnetPool:
    """Change a pool; its prefixes only grow, for subnets stand on them."""
    for name, value in values.items():
        if name == "prefixes":
            _grow(pool, value)
        else:
            setattr(pool, name, value)
    with session.no_autoflush:
        _check(session, context, pool)
    pool.revision_number += 1
    session.flush()
    return pool


def remove(session: Session, pool: SubnetPool) -> None:
    """Delete a pool; raises SubnetPoolDeleteError while subnets stand on it."""
    subnet_id = session.scalar(select(Subnet.id).where(Subnet.subnetpool_id == pool.id).limit(1))
    if subnet_id:
        raise SubnetPoolDeleteError(
            f"Unable to delete subnet pool: Subnet pool has existing allocations, such as subnet "
            f"{subnet_id}. Delete those first."
        )
    resource_tags.erase(session, [pool.id])
    session.delete(pool)
    session.flush()


def cut(
    session: Session,
    pool: SubnetPool,
    project_id: str,
    cidr: str | None,
    prefixlen: int | None,
) -> str:
    """Return the range of a new subnet of the project: `cidr`, or a free one of that length.

    The pool's row stays locked until the transaction ends, so that no two subnets overlap.
    """
    session.execute(select(SubnetPool.id).where(SubnetPool.id == pool.id).with_for_update())
    taken = session.execute(
        select(Subnet.cidr, Subnet.project_id).where(Subnet.subnetpool_id == pool.id)
    ).all()
    used = sorted(_bounds(ipaddress.ip_network(row.cidr)) for row in taken)
    if cidr is not None:
        chosen = _named(pool, cidr, used)
    else:
        length = pool.default_prefixlen if prefixlen is None else prefixlen
        _check_length(pool, length)
        chosen = _find(pool, length, used)
    own = [ipaddress.ip_network(row.cidr) for row in taken if row.project_id == project_id]
    if pool.default_quota is not None and sum(map(_units, [*own, chosen])) > pool.default_quota:
        raise SubnetPoolQuotaExceeded(
            f"Per-tenant subnet pool prefix quota exceeded: {pool.default_quota}. Delete subnets "
            "of the pool, or ask for a longer prefix."
        )
    return str(chosen)


def _named(pool: SubnetPool, cidr: str, used: Sequence[tuple[int, int]]) -> Range:
    try:
        chosen = plain_range(cidr)
    except ValueError as error:
        raise InvalidInput(f"'{cidr}' is not a valid IP subnet (cidr): {error}.") from error
    first, last = _bounds(chosen)
    inside = any(
        chosen.version == pool.ip_version and start <= first and last <= end
        for start, end in map(_bounds, map(ipaddress.ip_network, pool.prefixes))
    )
    if not inside or any(first <= end and start <= last for start, end in used):
        raise SubnetAllocationError(
            f"Failed to allocate subnet: Cannot allocate requested subnet {chosen} from the "
            f"available set of prefixes of subnet pool {pool.id}."
        )
    _check_length(pool, chosen.prefixlen)
    return chosen


def _find(pool: SubnetPool, length: int, used: Sequence[tuple[int, int]]) -> Range:
    """Return the first free range of that length; `used` are (first, last), in their order."""
    width = 32 if pool.ip_version == 4 else 128
    size = 1 << (width - length)
    for prefix in map(ipaddress.ip_network, pool.prefixes):
        start, end = _bounds(prefix)
        if prefix.prefixlen > length:
            continue
        for first, last in used:
            if last < start:
                continue
            if start + size <= first:
                break
            start = (last // size + 1) * size
        if start + size - 1 <= end:
            kind = ipaddress.IPv4Network if width == 32 else ipaddress.IPv6Network
            return kind((start, length))
    raise SubnetAllocationError(
        f"Failed to allocate subnet: Insufficient prefix space to allocate subnet size /{length} "
        f"of subnet pool {pool.id}. Ask for a longer prefix, or have the pool widened."
    )


def _bounds(network: Range) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


def _units(network: Range) -> int:
    """Return what a subnet counts as: addresses of IPv4, prefixes of /64 of IPv6."""
    if network.version == 4:
        return int(network.num_addresses)
    return 1 << max(0, 64 - network.prefixlen)


def _check_length(pool: SubnetPool, length: int) -> None:
    if not pool.min_prefixlen <= length <= pool.max_prefixlen:
        raise InvalidInput(
            f"Unable to allocate subnet with prefix length {length}: subnet pool {pool.id} gives "
            f"out {pool.min_prefixlen} to {pool.max_prefixlen}."
        )


def _prefixes(texts: Sequence[str]) -> list[Range]:
    """Return prefixes of one IP version, joined where they touch, in their order."""
    try:
        found = [plain_range(text) for text in texts]
    except ValueError as error:
        raise InvalidInput(f"prefixes: {error}. Give ranges such as 10.0.0.0/16.") from error
    of_four = [each for each in found if isinstance(each, ipaddress.IPv4Network)]
    of_six = [each for each in found if isinstance(each, ipaddress.IPv6Network)]
    if not found or (of_four and of_six):
        raise InvalidInput("The prefixes of a subnet pool are of one IP version, one at least.")
    if of_four:
        return list(ipaddress.collapse_addresses(of_four))
    return list(ipaddress.collapse_addresses(of_six))


def _grow(pool: SubnetPool, texts: Sequence[str]) -> None:
    prefixes = _prefixes([*pool.prefixes, *texts])
    wanted = _prefixes(texts)
    if wanted != prefixes or wanted[0].version != pool.ip_version:
        raise InvalidInput(
            f"Existing prefixes of subnet pool {pool.id} must be a subset of the new ones: "
            f"{', '.join(pool.prefixes)}. Name them too."
        )
    pool.prefixes = [str(each) for each in prefixes]


def _check(session: Session, context: Context, pool: SubnetPool) -> None:
    """Refuse lengths that don't go together, a second default, and an overlap in the scope."""
    longest = BOUNDS[pool.ip_version][1]
    lengths = [getattr(pool, name) for name in PREFIXLENS]
    if lengths != sorted(lengths) or not 1 <= lengths[0] <= lengths[-1] <= longest:
        raise InvalidInput(
            f"Illegal prefix lengths: {', '.join(map(str, lengths))}. They rise from min_prefixlen "
            f"over default_prefixlen to max_prefixlen, {longest} at most."
        )
    # First of all: of a scope that the caller isn't told of, nothing is said.
    if pool.address_scope_id:
        scope = address_scopes.get(session, context, pool.address_scope_id, lock=True)
        if scope.ip_version != pool.ip_version:
            raise InvalidInput(
                f"Address scope {scope.id} is of IPv{scope.ip_version}, and the pool is of "
                f"IPv{pool.ip_version}. Choose another."
            )
    others = session.scalars(
        select(SubnetPool).where(
            SubnetPool.ip_version == pool.ip_version,
            or_(
                SubnetPool.is_default,
                SubnetPool.address_scope_id == pool.address_scope_id,
            ),
        )
    ).all()
    for other in others:
        if other.id == pool.id:
            continue
        if pool.is_default and other.is_default:
            raise InvalidInput(
                f"A default subnet pool of IPv{pool.ip_version} is there already: {other.id}."
            )
        if pool.address_scope_id and other.address_scope_id == pool.address_scope_id:
            address_scopes.refuse_overlap(context, pool, other)
