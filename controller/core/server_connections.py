"""What servers show of their ports: addresses by network, and security groups by name.

Plain tuples, for lists of a thousand; whoever needs the ports themselves asks `core.ports`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core.port_records import serving
from controller.db.models import (
    FloatingIP,
    IPAllocation,
    Network,
    Port,
    PortSecurityGroup,
    SecurityGroup,
)

FIXED, FLOATING = "fixed", "floating"


@dataclass(slots=True)
class Connections:
    """`addresses` are (network's name, MAC address, IP address, fixed or floating), in the order of
    the interfaces; what floats stands behind what it stands for.
    """

    addresses: list[tuple[str, str, str, str]] = field(default_factory=list)
    security_groups: list[str] = field(default_factory=list)


# Of a server without ports; nobody adds to it.
NONE = Connections()


def of_servers(session: Session, server_ids: Sequence[str]) -> dict[str, Connections]:
    """Return the connections of each server that has any, in two statements."""
    found: dict[str, Connections] = {}
    mine = serving(server_ids)
    addresses = (
        select(
            Port.device_id,
            Network.name,
            Port.mac_address,
            IPAllocation.ip_address,
            FloatingIP.floating_ip_address,
        )
        .join(Network, Network.id == Port.network_id)
        .join(IPAllocation, IPAllocation.port_id == Port.id)
        .outerjoin(
            FloatingIP,
            (FloatingIP.fixed_port_id == Port.id)
            & (FloatingIP.fixed_ip_address == IPAllocation.ip_address),
        )
        .where(mine)
        .order_by(
            Port.device_position,
            Port.id,
            IPAllocation.subnet_id,
            IPAllocation.position,
            FloatingIP.floating_ip_address,
        )
    )
    for server_id, network, mac_address, ip_address, floating_ip in session.execute(addresses):
        shown = found.setdefault(server_id, Connections()).addresses
        entries = [(network, mac_address, ip_address, FIXED)]
        if floating_ip is not None:
            entries.append((network, mac_address, floating_ip, FLOATING))
        # An address may have floating IPs of several networks.
        shown += [entry for entry in entries if entry not in shown]
    groups = (
        select(Port.device_id, SecurityGroup.name)
        .join(PortSecurityGroup, PortSecurityGroup.port_id == Port.id)
        .join(SecurityGroup, SecurityGroup.id == PortSecurityGroup.security_group_id)
        .where(mine)
        .order_by(SecurityGroup.name)
        .distinct()
    )
    for server_id, name in session.execute(groups):
        found.setdefault(server_id, Connections()).security_groups.append(name)
    return found
