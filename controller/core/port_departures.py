"""Departures: which ports were on hosts for servers that are deleted.

What a host has left of a port is named after a part of its id; without this record nobody could
tell it from something that was never ours to remove.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller import host_names
from controller.core import port_records
from controller.db.models import IPAllocation, Port, PortDeparture

# Names in one statement: SQLite takes 32,766 parameters, other databases fewer.
CHUNK = 500


def record(session: Session, server_id: str, ports: Sequence[Port]) -> None:
    """Write down that the ports of a deleted server leave whatever hosts they are on."""
    fixed_ips = port_records.fixed_ips_of(session, [port.id for port in ports])
    for port in ports:
        session.merge(
            PortDeparture(
                port_id=port.id,
                server_id=server_id,
                short_id=host_names.short(port.id),
                network_id=port.network_id,
                mac_address=port.mac_address,
                addresses=[each.ip_address for each in fixed_ips[port.id]],
            )
        )


def of_short_ids(session: Session, short_ids: Collection[str]) -> list[PortDeparture]:
    """Return the departures of the ports with these beginnings of their ids."""
    wanted = sorted(set(short_ids))
    found: list[PortDeparture] = []
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        found += session.scalars(select(PortDeparture).where(PortDeparture.short_id.in_(chunk)))
    return found


def servers_of_networks(
    session: Session, network_ids: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return for each network that has any the deleted servers that were on it last."""
    found: dict[str, tuple[str, ...]] = {}
    for network_id in sorted(network_ids):
        query = (
            select(PortDeparture.server_id)
            .where(PortDeparture.network_id == network_id)
            .order_by(PortDeparture.left_at.desc())
            .limit(CHUNK)
        )
        servers = tuple(dict.fromkeys(session.scalars(query)))
        found |= {network_id: servers} if servers else {}
    return found


def without_living(session: Session, host_id: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return a clean-up's `entry` without what other servers have on the host by now.

    A port that was a tenant's own, or an address, may serve another server there: its rules, its
    DHCP entry and its metadata are that one's.
    """
    networks = {port["network_id"] for port in entry["ports"]}
    living = session.execute(
        select(Port.id, Port.network_id, IPAllocation.ip_address)
        .outerjoin(IPAllocation, IPAllocation.port_id == Port.id)
        .where(Port.host_id == host_id, Port.network_id.in_(networks))
    ).all()
    ids = {port_id for port_id, _, _ in living}
    taken = {(network_id, address) for _, network_id, address in living}
    ports = [
        port
        | {
            "fixed_ips": [
                each
                for each in port["fixed_ips"]
                if (port["network_id"], each["ip_address"]) not in taken
            ]
        }
        for port in entry["ports"]
        if port["id"] not in ids
    ]
    return entry | {"ports": ports}


def of_servers(session: Session, server_ids: Collection[str]) -> list[PortDeparture]:
    """Return the departures of the servers' ports."""
    query = select(PortDeparture).where(PortDeparture.server_id.in_(list(server_ids)))
    return list(session.scalars(query.order_by(PortDeparture.port_id)))
