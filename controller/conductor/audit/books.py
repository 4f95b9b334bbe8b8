"""The books: what should be, read from the database and the controller's own disk at one moment.

Plain values, so that comparing needs neither session nor files.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from controller import host_names
from controller.conductor.arguments import cloud_id
from controller.conductor.flows import UNORDERED
from controller.conductor.server_cleanup import KIND as CLEANUP
from controller.core import migrations, port_departures, port_records
from controller.core.operations import UNFINISHED
from controller.core.server_needs import resources
from controller.db.models import (
    Allocation,
    Host,
    Image,
    Inventory,
    IPAllocation,
    Migration,
    Operation,
    Port,
    SecurityGroup,
    Server,
    Subnet,
)
from controller.states import DOMAIN_STATES


@dataclass(frozen=True, slots=True)
class BookServer:
    id: str
    name: str
    state: str
    task_state: str | None
    host_id: str | None
    generation: int
    flavor: dict[str, Any]
    config_drive: bool

    @property
    def settled(self) -> bool:
        """Whether it is known what there must be of it on its host."""
        return self.task_state is None and self.state in DOMAIN_STATES

    @property
    def resources(self) -> dict[str, int]:
        return resources(self.flavor)


@dataclass(frozen=True, slots=True)
class BookPort:
    id: str
    server_id: str
    network_id: str
    mac_address: str
    host_id: str | None
    # Each an address and its version, 4 or 6.
    addresses: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class BookOperation:
    id: str
    kind: str
    state: str
    server_id: str | None
    host_id: str | None
    lease_owner: str | None
    lease_until: datetime | None
    not_before: datetime

    @property
    def ordered(self) -> bool:
        return self.kind not in UNORDERED


@dataclass(frozen=True, slots=True)
class BookHost:
    id: str
    name: str
    enabled: bool
    facts: dict[str, Any]
    # Of the runs about all of the host.
    generation: int


@dataclass(frozen=True, slots=True)
class Departed:
    """A port of a deleted server."""

    port_id: str
    server_id: str
    network_id: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Books:
    """`deleted` are those of the servers asked about that have a deletion record."""

    taken_at: datetime
    cloud_id: str
    hosts: dict[str, BookHost]
    servers: dict[str, BookServer]
    deleted: dict[str, int]
    ports: dict[str, BookPort]
    # Networks with a subnet that gives addresses by DHCP.
    dhcp_networks: frozenset[str]
    group_ids: frozenset[str]
    operations: list[BookOperation]
    # (consumer, provider) -> class -> amount
    allocations: dict[tuple[str, str], dict[str, int]]
    # Each the uuid of a move, the host that it came from, and its server: that room is held.
    moves: frozenset[tuple[str, str, str]]
    # provider -> class -> total
    inventories: dict[str, dict[str, int]]
    departed_by_short: dict[str, Departed]
    # Network -> deleted servers that were on it.
    departed_networks: dict[str, tuple[str, ...]]
    # Ended, with secrets still in the row.
    secret_keepers: tuple[str, ...] = ()
    # Image -> size, of those that must be in the store; and those that may be.
    images: dict[str, int | None] = field(default_factory=dict)
    known_images: frozenset[str] = frozenset()

    def of_host(self, host_id: str) -> list[BookServer]:
        """Return the living servers whose host this is."""
        return [server for server in self.servers.values() if server.host_id == host_id]

    def busy_servers(self) -> set[str]:
        """Return the servers that an operation stands for, other than clean-ups."""
        return {each.server_id for each in self.operations if each.server_id and each.ordered}

    def set_aside_on(self, host_id: str) -> set[str]:
        """Return the servers whose old side waits on the host for a confirm or a revert."""
        return {server_id for _, source, server_id in self.moves if source == host_id}

    def cleanups_on(self, host_id: str) -> set[str]:
        """Return the servers of which the host may have something until a clean-up confirms."""
        return {
            each.server_id
            for each in self.operations
            if each.kind == CLEANUP and each.host_id == host_id and each.server_id
        }


@dataclass(frozen=True, slots=True)
class Mentioned:
    """What hosts speak of: servers by id, ports by the short form of theirs, networks by id."""

    server_ids: frozenset[str] = frozenset()
    short_ids: frozenset[str] = frozenset()
    network_ids: frozenset[str] = frozenset()


NOTHING = Mentioned()


def read(session: Session, now: datetime, mentioned: Mentioned = NOTHING) -> Books:
    """Return the books, in a number of statements that doesn't grow with the cloud's size.

    Of the deleted only those that `mentioned` names are looked up.
    """
    departed = [
        Departed(row.port_id, row.server_id, row.network_id, tuple(map(str, row.addresses)))
        for row in port_departures.of_short_ids(session, mentioned.short_ids)
    ]
    return Books(
        taken_at=now,
        cloud_id=cloud_id(session),
        hosts={
            host.id: BookHost(host.id, host.name, host.enabled, dict(host.facts), host.generation)
            for host in session.scalars(select(Host))
        },
        servers=_servers(session),
        deleted=_deleted(session, mentioned.server_ids),
        ports=_ports(session),
        dhcp_networks=frozenset(
            session.scalars(
                select(Subnet.network_id).where(Subnet.dhcp_ip.is_not(None), _by_dhcp()).distinct()
            )
        ),
        group_ids=frozenset(session.scalars(select(SecurityGroup.id))),
        operations=_operations(session),
        allocations=_allocations(session),
        moves=frozenset(
            (row.uuid, row.source_host_id, row.server_id)
            for row in session.execute(
                select(Migration.uuid, Migration.source_host_id, Migration.server_id).where(
                    Migration.status.in_(migrations.UNSETTLED)
                )
            )
        ),
        inventories=_inventories(session),
        departed_by_short={host_names.short(row.port_id): row for row in departed},
        departed_networks=port_departures.servers_of_networks(session, mentioned.network_ids),
        secret_keepers=tuple(
            session.scalars(
                select(Operation.id).where(
                    Operation.state.not_in(UNFINISHED), Operation.sealed.is_not(None)
                )
            )
        ),
        images={
            row.id: row.size_bytes
            for row in session.execute(
                select(Image.id, Image.size_bytes).where(
                    Image.status == "active", Image.deleted_at.is_(None)
                )
            )
        },
        known_images=frozenset(session.scalars(select(Image.id))),
    )


def known_operations(session: Session, operation_ids: Collection[str]) -> set[str]:
    """Return those of the ids that are operations'."""
    wanted = sorted(operation_ids)
    found: set[str] = set()
    for start in range(0, len(wanted), port_departures.CHUNK):
        chunk = wanted[start : start + port_departures.CHUNK]
        found |= set(session.scalars(select(Operation.id).where(Operation.id.in_(chunk))))
    return found


def _by_dhcp() -> ColumnElement[bool]:
    """Whether a subnet's guests ask DHCP: with SLAAC alone they need not."""
    mode = func.coalesce(Subnet.ipv6_address_mode, Subnet.ipv6_ra_mode)
    return (Subnet.ip_version == 4) | mode.in_(("dhcpv6-stateful", "dhcpv6-stateless"))


def _servers(session: Session) -> dict[str, BookServer]:
    query = select(
        Server.id, Server.name, Server.state, Server.task_state, Server.host_id,
        Server.generation, Server.flavor, Server.config_drive,
    ).where(Server.deleted_at.is_(None))  # fmt: skip
    return {row.id: BookServer(*row) for row in session.execute(query)}


def _deleted(session: Session, server_ids: Collection[str]) -> dict[str, int]:
    """Return the deleted ones of these servers, with their generation."""
    wanted = sorted(server_ids)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), port_departures.CHUNK):
        chunk = wanted[start : start + port_departures.CHUNK]
        query = select(Server.id, Server.generation).where(
            Server.id.in_(chunk), Server.deleted_at.is_not(None)
        )
        found |= {row.id: row.generation for row in session.execute(query)}
    return found


def _ports(session: Session) -> dict[str, BookPort]:
    addresses: dict[str, list[tuple[str, int]]] = {}
    query = (
        select(IPAllocation.port_id, IPAllocation.ip_address, Subnet.ip_version)
        .join(Subnet, Subnet.id == IPAllocation.subnet_id)
        .order_by(IPAllocation.ip_address)
    )
    for row in session.execute(query):
        addresses.setdefault(row.port_id, []).append((row.ip_address, row.ip_version))
    ports = session.execute(
        select(Port.id, Port.device_id, Port.network_id, Port.mac_address, Port.host_id).where(
            Port.device_owner.startswith(port_records.SERVER_OWNER)
        )
    )
    return {row.id: BookPort(*row, tuple(addresses.get(row.id, ()))) for row in ports}


def _operations(session: Session) -> list[BookOperation]:
    query = select(
        Operation.id, Operation.kind, Operation.state, Operation.server_id, Operation.host_id,
        Operation.lease_owner, Operation.lease_until, Operation.not_before,
    ).where(Operation.state.in_(UNFINISHED))  # fmt: skip
    return [BookOperation(*row) for row in session.execute(query)]


def _allocations(session: Session) -> dict[tuple[str, str], dict[str, int]]:
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in session.scalars(select(Allocation)):
        place = found.setdefault((row.consumer_id, row.provider_id), {})
        place[row.resource_class] = row.used
    return found


def _inventories(session: Session) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in session.scalars(select(Inventory)):
        found.setdefault(row.provider_id, {})[row.resource_class] = row.total
    return found
