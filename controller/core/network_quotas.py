"""How many networks, subnets, ports, groups and rules a project may have."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from controller import quota_defaults
from controller.core.network_faults import InvalidInput, OverQuota
from controller.db.models import (
    FloatingIP,
    Network,
    NetworkShare,
    Port,
    Project,
    QuotaLimit,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    SubnetPool,
)
from controller.quota_defaults import UNLIMITED
from controller.settings import Settings

DEFAULTS = quota_defaults.NETWORK
COUNTED: dict[str, Any] = {
    "network": Network,
    "subnet": Subnet,
    "port": Port,
    "router": Router,
    "floatingip": FloatingIP,
    "security_group": SecurityGroup,
    "security_group_rule": SecurityGroupRule,
    "subnetpool": SubnetPool,
    "rbac_policy": NetworkShare,
}


def defaults(settings: Settings) -> dict[str, int]:
    """Return what every project may have of each noun; -1 means that there is no limit."""
    return {name: settings.default_quota.get(name, limit) for name, limit in DEFAULTS.items()}


def limits(session: Session, settings: Settings, project_id: str) -> dict[str, int]:
    """Return what the project may have of each noun."""
    own = session.scalars(_own_limits().where(QuotaLimit.project_id == project_id))
    return defaults(settings) | {row.resource: row.limit for row in own}


def all_limits(session: Session, settings: Settings) -> dict[str, dict[str, int]]:
    """Return the limits of each project that has some of its own."""
    found: dict[str, dict[str, int]] = {}
    for row in session.scalars(_own_limits().order_by(QuotaLimit.project_id)):
        found.setdefault(row.project_id, defaults(settings))[row.resource] = row.limit
    return found


def _own_limits() -> Select[QuotaLimit]:
    return select(QuotaLimit).where(QuotaLimit.resource.in_(DEFAULTS))


def set_limits(
    session: Session, project_id: str, wanted: Mapping[str, int], *, check_used: bool
) -> None:
    """Give the project limits of its own; with `check_used`, none below what it has."""
    has = used(session, project_id) if check_used else {}
    for noun, limit in wanted.items():
        if limit not in (UNLIMITED,) and limit < has.get(noun, 0):
            raise InvalidInput(
                f"Quota limit {limit} for {noun} is below what the project has: {has[noun]}. "
                "Delete some first, or use force."
            )
        session.merge(QuotaLimit(project_id=project_id, resource=noun, limit=limit))
    session.flush()


def reset_limits(session: Session, project_id: str) -> None:
    """Take a project's own limits away: the cloud's hold again."""
    session.execute(
        delete(QuotaLimit).where(
            QuotaLimit.project_id == project_id, QuotaLimit.resource.in_(DEFAULTS)
        )
    )


def used(session: Session, project_id: str) -> dict[str, int]:
    """Return how many of each noun the project has."""
    counts = [
        select(func.count())
        .select_from(model)
        .where(model.project_id == project_id)
        .scalar_subquery()
        for model in COUNTED.values()
    ]
    return dict(zip(COUNTED, session.execute(select(*counts)).one(), strict=True))


def check(
    session: Session, settings: Settings, project_id: str, noun: str, adding: int = 1
) -> None:
    """Refuse with OverQuota when the project may not have `adding` more of `noun`.

    The project's row stays locked until the transaction ends, so that two can't both take the last
    place. Counts no further than the limit, so it costs the same however many there are.
    """
    limit = limits(session, settings, project_id)[noun]
    if limit == UNLIMITED:
        return
    session.execute(select(Project.id).where(Project.id == project_id).with_for_update())
    model = COUNTED[noun]
    some = select(model.id).where(model.project_id == project_id).limit(limit + 1).subquery()
    has = session.scalar(select(func.count()).select_from(some)) or 0
    if has + adding > limit:
        raise OverQuota(
            f"Quota exceeded for resources: ['{noun}']. The project has {has} of {limit}; delete "
            f"some, or ask your operator for more."
        )
