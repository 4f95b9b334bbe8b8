"""Ports of the cloud's own that routing needs: whose they are, and how they are made.

They belong to no project, but for interfaces, which are of their router's: so they take nothing of
a quota, and tenants find neither those of others nor the hosts' on their networks.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import addresses, macs, subnet_ranges
from controller.core.network_faults import BadNetworkRequest, InvalidInput
from controller.db.models import IPAllocation, Network, Port, Subnet

INTERFACE = "network:router_interface"
GATEWAY = "network:router_gateway"
FLOATING = "network:floatingip"
# A host's own address on an external network; its device is the host's id.
AGENT_GATEWAY = "network:floatingip_agent_gateway"
NOBODY = ""


def insert(
    session: Session,
    network_id: str,
    device_owner: str,
    device_id: str,
    project_id: str = NOBODY,
    status: str = "ACTIVE",
) -> Port:
    """Return a new port for the cloud's own use, without addresses."""
    port = Port(
        network_id=network_id,
        project_id=project_id,
        device_owner=device_owner,
        device_id=device_id,
        status=status,
        port_security_enabled=False,
    )
    macs.insert_with_mac(session, [port])
    return port


def give_addresses(
    session: Session,
    network: Network,
    available: Sequence[Subnet],
    port: Port,
    wanted: Sequence[Mapping[str, str]],
) -> None:
    """Give a port on an external network the addresses asked for; one of each version for none."""
    # Named ones first, so that they can't be given away by the others.
    for fixed_ip in sorted(wanted, key=lambda fixed_ip: "ip_address" not in fixed_ip):
        subnet = _subnet(network, available, fixed_ip)
        if "ip_address" in fixed_ip:
            addresses.take(session, subnet, port.id, fixed_ip["ip_address"])
        else:
            addresses.allocate(session, subnet, port.id)
    if not wanted:
        for version in (4, 6):
            of_version = [subnet for subnet in available if subnet.ip_version == version]
            if of_version:
                addresses.allocate_on(session, of_version, port.id)


def _subnet(network: Network, available: Sequence[Subnet], fixed_ip: Mapping[str, str]) -> Subnet:
    subnet_id = fixed_ip.get("subnet_id")
    if subnet_id is None:
        return addresses.subnet_of(available, fixed_ip["ip_address"], network.id)
    for subnet in available:
        if subnet.id == subnet_id:
            return subnet
    raise InvalidInput(
        f"Invalid input for operation: external network {network.id} has no subnet {subnet_id}. "
        f"Choose one of its own: {', '.join(each.id for each in available) or 'there is none yet'}."
    )


def subnets_of(
    session: Session, router_id: str, owners: Collection[str] = (INTERFACE, GATEWAY)
) -> list[Subnet]:
    """Return the subnets that a router has an address in."""
    return list(
        session.scalars(
            select(Subnet)
            .join(IPAllocation, IPAllocation.subnet_id == Subnet.id)
            .join(Port, Port.id == IPAllocation.port_id)
            .where(Port.device_id == router_id, Port.device_owner.in_(owners))
            .order_by(Subnet.id)
        )
    )


def check_apart(added: Iterable[Subnet], present: Iterable[Subnet]) -> None:
    """Refuse ranges that overlap with another one of the same router's."""
    neighbours = list(present)
    for subnet in added:
        cidr = subnet_ranges.range_of(subnet)
        for other in neighbours:
            theirs = subnet_ranges.range_of(other)
            if cidr.version == theirs.version and cidr.overlaps(theirs):
                raise BadNetworkRequest(
                    f"Bad router request: Cidr {subnet.cidr} of subnet {subnet.id} overlaps with "
                    f"cidr {other.cidr} of subnet {other.id}. A router can't tell them apart; use "
                    "another router, or another range."
                )
        neighbours.append(subnet)
