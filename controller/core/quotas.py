"""Quotas: how much a project may have, and how much it has."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from controller import quota_defaults
from controller.db.models import Project, QuotaLimit, Server
from controller.errors import BadRequest, QuotaExceeded
from controller.quota_defaults import UNLIMITED
from controller.settings import Settings
from controller.states import COUNTED

DEFAULTS = quota_defaults.COMPUTE


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project's servers take: also those being built, in error, or shelved and offloaded."""

    instances: int
    cores: int
    memory_mb: int

    def of(self, resource: str) -> int:
        return {"instances": self.instances, "cores": self.cores, "ram": self.memory_mb}.get(
            resource, 0
        )


def defaults(settings: Settings) -> dict[str, int]:
    known = {name: value for name, value in settings.default_quota.items() if name in DEFAULTS}
    return DEFAULTS | known


def limits(session: Session, settings: Settings, project_id: str | None) -> dict[str, int]:
    """Return the project's limit of every resource."""
    rows = session.scalars(
        select(QuotaLimit).where(
            QuotaLimit.project_id == project_id, QuotaLimit.resource.in_(DEFAULTS)
        )
    )
    return defaults(settings) | {row.resource: row.limit for row in rows}


def usage(session: Session, project_id: str | None) -> Usage:
    """Return what the project has now."""
    row = session.execute(
        select(
            func.count(),
            func.coalesce(func.sum(Server.flavor["vcpus"].as_integer()), 0),
            func.coalesce(func.sum(Server.flavor["memory_mb"].as_integer()), 0),
        ).where(Server.project_id == project_id, Server.state.in_(COUNTED))
    ).one()
    return Usage(int(row[0]), int(row[1]), int(row[2]))


def set_limits(
    session: Session,
    project_id: str,
    wanted: Mapping[str, int],
    *,
    force: bool = False,
) -> None:
    """Give the project limits of its own. Below what is in use only by `force`; else BadRequest."""
    used = usage(session, project_id)
    for resource, limit in wanted.items():
        if not force and limit != UNLIMITED and limit < used.of(resource):
            raise BadRequest(
                f"Quota limit {limit} for {resource} must be greater than or equal to already "
                f"used and reserved {used.of(resource)}. Free some first, or use force."
            )
        session.merge(QuotaLimit(project_id=project_id, resource=resource, limit=limit))


def reset_limits(session: Session, project_id: str) -> None:
    """Take a project's own limits away: the cloud's hold again."""
    session.execute(
        delete(QuotaLimit).where(
            QuotaLimit.project_id == project_id, QuotaLimit.resource.in_(DEFAULTS)
        )
    )


def lock_project(session: Session, project_id: str) -> None:
    """Have whoever else asks for this project's quota wait until the transaction ends."""
    session.execute(select(Project.id).where(Project.id == project_id).with_for_update())


def admit_servers(
    session: Session,
    settings: Settings,
    project_id: str,
    flavor: Mapping[str, int],
    minimum: int,
    maximum: int,
    metadata: Mapping[str, str],
) -> int:
    """Return how many servers of `flavor` may be made, at least `minimum` and at most `maximum`.

    Called inside the transaction that inserts them: the project's row stays locked until it ends,
    so two requests can't both take the last place. Raises QuotaExceeded, for too much `metadata` of
    a server too.
    """
    lock_project(session, project_id)
    allowed = limits(session, settings, project_id)
    _check_metadata(allowed["metadata_items"], metadata)
    used = usage(session, project_id)
    need = {"instances": 1, "cores": flavor["vcpus"], "ram": flavor["memory_mb"]}
    fits = {
        name: maximum
        if allowed[name] == UNLIMITED or not each
        else (allowed[name] - used.of(name)) // each
        for name, each in need.items()
    }
    short = [name for name, count in fits.items() if count < minimum]
    if short:
        raise QuotaExceeded(
            f"Quota exceeded for {', '.join(short)}: Requested "
            f"{', '.join(str(need[name] * minimum) for name in short)}, but already used "
            f"{', '.join(f'{used.of(name)} of {allowed[name]}' for name in short)} "
            f"{', '.join(short)}. Delete servers, or ask for a larger quota."
        )
    return min(maximum, *fits.values())


def admit_resize(
    session: Session,
    settings: Settings,
    project_id: str,
    old: Mapping[str, int],
    new: Mapping[str, int],
) -> None:
    """Refuse what a larger flavor takes beyond the project's quota. Raises QuotaExceeded."""
    lock_project(session, project_id)
    allowed, used = limits(session, settings, project_id), usage(session, project_id)
    more = {
        "cores": int(new["vcpus"]) - int(old["vcpus"]),
        "ram": int(new["memory_mb"]) - int(old["memory_mb"]),
    }
    short = [
        name
        for name, each in more.items()
        if each > 0 and allowed[name] != UNLIMITED and used.of(name) + each > allowed[name]
    ]
    if short:
        raise QuotaExceeded(
            f"Quota exceeded for {', '.join(short)}: Requested "
            f"{', '.join(str(more[name]) for name in short)}, but already used "
            f"{', '.join(f'{used.of(name)} of {allowed[name]}' for name in short)} "
            f"{', '.join(short)}. Delete servers, or ask for a larger quota."
        )


def check_metadata(
    session: Session, settings: Settings, project_id: str, metadata: Mapping[str, str]
) -> None:
    """Refuse more metadata than a server of the project may have. Raises QuotaExceeded."""
    _check_metadata(limits(session, settings, project_id)["metadata_items"], metadata)


def _check_metadata(allowed: int, metadata: Mapping[str, str]) -> None:
    if allowed != UNLIMITED and len(metadata) > allowed:
        raise QuotaExceeded(
            f"Maximum number of metadata items exceeds {allowed}: {len(metadata)} were given. "
            "Leave some out."
        )
