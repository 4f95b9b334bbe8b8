"""Services, as the compute API has them: a nova-compute for each host."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core.hosts import is_up
from controller.db.models import Host
from controller.errors import BadRequest, NotFound
from controller.settings import Settings

BINARY = "nova-compute"


def list_services(
    session: Session, *, host_name: str | None = None, binary: str | None = None
) -> list[Host]:
    """Return the hosts whose service is asked for, by name."""
    if binary not in (None, BINARY):
        return []
    query = select(Host).order_by(Host.name)
    return list(session.scalars(query.where(Host.name == host_name) if host_name else query))


def get(session: Session, service_id: str) -> Host:
    host = session.get(Host, service_id)
    if host is None:
        raise NotFound(f"Service {service_id} not found. List services for those there are.")
    return host


def change(
    host: Host,
    *,
    enabled: bool | None = None,
    disabled_reason: str | None = None,
    forced_down: bool | None = None,
) -> None:
    """Open or close a host for new servers, or say that it is down whatever it answers."""
    if enabled is None and forced_down is None:
        raise BadRequest(
            "No updates were requested. Fields 'status' or 'forced_down' should be specified."
        )
    if enabled and disabled_reason:
        raise BadRequest("Specifying 'disabled_reason' with status 'enabled' is invalid.")
    if enabled is not None:
        host.enabled = enabled
        host.disabled_reason = None if enabled else disabled_reason
    if forced_down is not None:
        host.forced_down = forced_down


def status_of_host(host: Host | None, settings: Settings, now: datetime) -> str:
    """Return UP, DOWN, UNKNOWN, MAINTENANCE, or nothing for a server without a host."""
    if host is None:
        return ""
    if host.forced_down:
        return "DOWN"
    if not host.enabled:
        return "MAINTENANCE"
    return "UP" if is_up(host, settings, now) else "UNKNOWN"


def by_id(session: Session, host_ids: Iterable[str | None]) -> dict[str, Host]:
    """Return the hosts with these ids, in one statement (none without ids)."""
    wanted = {host_id for host_id in host_ids if host_id}
    if not wanted:
        return {}
    return {host.id: host for host in session.scalars(select(Host).where(Host.id.in_(wanted)))}
