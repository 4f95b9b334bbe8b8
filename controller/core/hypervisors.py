"""Hypervisors, as the compute API has them: each host with what it has, and what is taken."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from controller.db.models import Allocation, Host, Inventory, Server
from controller.errors import BadRequest, NotFound


@dataclass(slots=True)
class Hypervisor:
    """A host; `total` and `used` by resource class, in the class's unit."""

    host: Host
    total: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    running_servers: int = 0
    # (id, name) of the servers on it; None when they were not asked for.
    servers: list[tuple[str, str]] | None = None

    @property
    def number(self) -> int:
        """The id that microversions before 2.53 have: made from the host's own, so it stays."""
        return number_of(self.host.id)


def number_of(host_id: str) -> int:
    return int(host_id.replace("-", "")[:8], 16) & 0x7FFFFFFF or 1


def list_hypervisors(
    session: Session,
    *,
    name_contains: str | None = None,
    with_servers: bool = False,
    limit: int | None = None,
    marker: str | None = None,
) -> list[Hypervisor]:
    """Return a page of hypervisors by name, in a fixed number of statements.

    `marker` is the id (or, as before 2.53, the number) that the page comes after.
    """
    hosts = list(session.scalars(select(Host).order_by(Host.name)))
    if marker is not None:
        places = [
            place
            for place, host in enumerate(hosts)
            if marker in (host.id, str(number_of(host.id)))
        ]
        if not places:
            raise BadRequest(f"marker [{marker}] not found: no hypervisor has this id.")
        hosts = hosts[places[0] + 1 :]
    if name_contains is not None:
        hosts = [host for host in hosts if name_contains in host.name]
    return _filled(session, hosts[:limit], with_servers=with_servers)


def get(session: Session, hypervisor_id: str, *, with_servers: bool = False) -> Hypervisor:
    """Return the hypervisor of this id, or of this number. Raises NotFound."""
    host = session.get(Host, hypervisor_id)
    if host is None and hypervisor_id.isascii() and hypervisor_id.isdigit():
        found = session.scalars(select(Host))
        host = next((each for each in found if str(number_of(each.id)) == hypervisor_id), None)
    if host is None:
        raise NotFound(
            f"Hypervisor with ID '{hypervisor_id}' could not be found. List hypervisors for those "
            "there are."
        )
    return _filled(session, [host], with_servers=with_servers)[0]


def _filled(session: Session, hosts: Collection[Host], *, with_servers: bool) -> list[Hypervisor]:
    ids = [host.id for host in hosts]
    total: dict[str, dict[str, int]] = {}
    for row in session.scalars(select(Inventory).where(Inventory.provider_id.in_(ids))):
        total.setdefault(row.provider_id, {})[row.resource_class] = row.total
    used: dict[str, dict[str, int]] = {}
    for provider_id, resource_class, amount in session.execute(
        select(Allocation.provider_id, Allocation.resource_class, func.sum(Allocation.used))
        .where(Allocation.provider_id.in_(ids))
        .group_by(Allocation.provider_id, Allocation.resource_class)
    ):
        used.setdefault(provider_id, {})[resource_class] = int(amount)
    servers: dict[str, list[tuple[str, str]]] = {}
    for server_id, name, host_id in session.execute(
        select(Server.id, Server.name, func.coalesce(Server.host_id, ""))
        .where(Server.host_id.in_(ids), Server.deleted_at.is_(None))
        .order_by(Server.created_at, Server.id)
    ):
        servers.setdefault(host_id, []).append((server_id, name))
    return [
        Hypervisor(
            host,
            total.get(host.id, {}),
            used.get(host.id, {}),
            len(servers.get(host.id, [])),
            servers.get(host.id, []) if with_servers else None,
        )
        for host in hosts
    ]
