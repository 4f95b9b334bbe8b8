"""A server's floating IPs by the old actions of Compute, which name them by their addresses."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import floating_ips, port_records
from controller.core.context import Context
from controller.core.network_faults import ExternalGatewayForFloatingIPNotFound
from controller.db.models import FloatingIP, IPAllocation, Port, Server
from controller.errors import BadRequest, Conflict, InUse, NotFound


def add(
    session: Session, context: Context, server: Server, address: str, fixed_address: str | None
) -> None:
    """Have a floating IP stand for an IPv4 address of the server: the one named, or its first.

    Raises NotFound, Conflict for an address of several networks, and BadRequest.
    """
    fixed = _fixed_ips(session, server)
    if not fixed:
        raise BadRequest(
            f"No fixed IPs associated to instance {server.id}. Give it a network first."
        )
    wanted = [each for each in fixed if fixed_address in (None, each.ip_address)]
    if not wanted:
        raise BadRequest(
            f"Specified fixed address {fixed_address} not assigned to instance {server.id}. It "
            f"has: {', '.join(each.ip_address for each in fixed)}."
        )
    floating_ip = _by_address(session, context, address)
    values = {"port_id": wanted[0].port_id, "fixed_ip_address": wanted[0].ip_address}
    try:
        floating_ips.update(session, context, floating_ip, values)
    except (InUse, ExternalGatewayForFloatingIPNotFound) as error:
        raise BadRequest(
            f"Unable to associate floating IP {address} to fixed IP {wanted[0].ip_address} for "
            f"instance {server.id}: {error.message}"
        ) from error


def remove(session: Session, context: Context, server: Server, address: str) -> None:
    """Take a floating IP off the server. Raises NotFound, and Conflict if it isn't the server's."""
    floating_ip = _by_address(session, context, address)
    its = select(Port.id).where(
        Port.id == floating_ip.fixed_port_id, port_records.serving([server.id])
    )
    if session.scalar(its) is None:
        raise Conflict(f"Floating IP {address} is not associated with instance {server.id}.")
    floating_ips.update(session, context, floating_ip, {"port_id": None})


def _fixed_ips(session: Session, server: Server) -> Sequence[IPAllocation]:
    """Return the server's IPv4 addresses in the order of its cards."""
    return session.scalars(
        select(IPAllocation)
        .join(Port, Port.id == IPAllocation.port_id)
        .where(port_records.serving([server.id]), IPAllocation.ip_address.not_like("%:%"))
        .order_by(Port.device_position, Port.id, IPAllocation.ip_address)
    ).all()


def _by_address(session: Session, context: Context, address: str) -> FloatingIP:
    found = session.scalars(
        select(FloatingIP)
        .where(FloatingIP.floating_ip_address == address, floating_ips.visible(context))
        .limit(2)
        .with_for_update()
    ).all()
    if not found:
        raise NotFound(f"Floating IP not found for address {address}. Check the project in use.")
    if len(found) > 1:
        raise Conflict(
            f"Multiple floating IPs are found for address {address}. Use the network API, which "
            "goes by their ids."
        )
    return found[0]
