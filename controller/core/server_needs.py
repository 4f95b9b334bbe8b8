"""What a server needs of a host: its share of the resources, and the networks that it is on."""

import math
from collections.abc import Set
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import hosts, port_records
from controller.db.models import Network, Port, Server
from controller.placement.inventories import DISK_GB, MEMORY_MB, VCPU
from controller.scheduler.spec import RequestSpec
from controller.settings import Settings


def resources(flavor: dict[str, int]) -> dict[str, int]:
    """Return what a server of this flavor takes, by resource class. Swap is disk too."""
    disk_gb = flavor["disk_gb"] + flavor.get("ephemeral_gb", 0)
    return {
        VCPU: flavor["vcpus"],
        MEMORY_MB: flavor["memory_mb"],
        DISK_GB: disk_gb + math.ceil(flavor.get("swap_mb", 0) / 1024),
    }


def physical_networks(session: Session, server_id: str) -> frozenset[str]:
    """Return the physical networks that a host of the server must reach."""
    names = session.scalars(
        select(Network.physical_network)
        .join(Port, Port.network_id == Network.id)
        .where(port_records.serving([server_id]), Network.physical_network.is_not(None))
        .distinct()
    )
    return frozenset(name for name in names if name)


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
        physical_networks=physical_networks(session, server.id),
        tried=frozenset(tried),
        down_after_s=hosts.down_after_s(settings),
    )
