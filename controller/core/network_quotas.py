"""How many networks, subnets, ports, groups and rules a project may have."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from controller import quota_defaults
from controller.core.network_faults import OverQuota
from controller.db.models import Network, Port, Project, SecurityGroup, SecurityGroupRule, Subnet
from controller.quota_defaults import UNLIMITED
from controller.settings import Settings

DEFAULTS = quota_defaults.NETWORK
COUNTED: dict[str, Any] = {
    "network": Network,
    "subnet": Subnet,
    "port": Port,
    "security_group": SecurityGroup,
    "security_group_rule": SecurityGroupRule,
}


def limits(settings: Settings) -> dict[str, int]:
    """Return what every project may have of each noun; -1 means that there is no limit."""
    return {name: settings.default_quota.get(name, limit) for name, limit in DEFAULTS.items()}


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
    limit = limits(settings)[noun]
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
