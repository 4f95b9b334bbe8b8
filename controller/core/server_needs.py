"""What a server needs of a host: its share of the resources, and the networks that it is on."""

import math
from collections.abc import Set
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from controller.core import hosts, port_records
from controller.core.segments import FLAT
from controller.db.models import Network, Port, Server
from controller.errors import Conflict
from controller.placement.inventories import DISK_GB, MEMORY_MB, VCPU
from controller.scheduler import reach
from controller.scheduler.spec import RequestSpec, Segments
from controller.segment_ranges import VLAN, VXLAN
from controller.settings import Settings


def resources(flavor: dict[str, int]) -> dict[str, int]:
    """Return what a server of this flavor takes, by resource class. Swap is disk too."""
    disk_gb = flavor["disk_gb"] + flavor.get("ephemeral_gb", 0)
    return {
        VCPU: flavor["vcpus"],
        MEMORY_MB: flavor["memory_mb"],
        DISK_GB: disk_gb + math.ceil(flavor.get("swap_mb", 0) / 1024),
    }


def segments_of(session: Session, server_id: str) -> Segments:
    """Return what a host of the server must get to for the server's networks."""
    return _segments(session, port_records.serving([server_id]))


def check_reach(session: Session, host_id: str, port: Port) -> None:
    """Refuse a port for a server on a host that can't carry the port's network."""
    if hosts_lack := reach.missing(
        hosts.get(session, host_id), _segments(session, Port.id == port.id)
    ):
        raise Conflict(
            f"Network {port.network_id} cannot be used by this server: its host does not carry it. "
            "Use another network, or have the server moved first.",
            reason="; ".join(hosts_lack),
        )


def _segments(session: Session, which: ColumnElement[bool]) -> Segments:
    rows = session.execute(
        select(Network.network_type, Network.physical_network)
        .join(Port, Port.network_id == Network.id)
        .where(which)
        .distinct()
    ).all()
    of_type = {
        kind: frozenset(name for each, name in rows if each == kind and name)
        for kind in (FLAT, VLAN)
    }
    overlay = any(kind == VXLAN for kind, _ in rows)
    return Segments(of_type[FLAT], of_type[VLAN], overlay)


def request_of(
    session: Session,
    settings: Settings,
    server: Server,
    flavor: dict[str, Any],
    now: datetime,
    *,
    tried: Set[str],
    forced_host: str | None = None,
) -> RequestSpec:
    """Return what the scheduler is asked for the server with `flavor`; `tried` are hosts' ids."""
    return RequestSpec(
        resources=resources(flavor),
        now=now,
        availability_zone=server.availability_zone,
        forced_host=forced_host,
        image_properties=server.image.get("properties") or {},
        segments=segments_of(session, server.id),
        tried=frozenset(tried),
        down_after_s=hosts.down_after_s(settings),
    )
