"""A server's interfaces: its ports, given to it and taken from it while it is there.

A port is the server's from the acceptance of an attach, and bound to the server's host once the
conductor has begun: a play is told of bound ports alone. So what runs in between, for another
reason, leaves the card as it is. Follows OpenStack Nova's os-interface.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from controller.core import operations, port_records, ports, server_needs
from controller.core.context import Context
from controller.db.models import Port, Server
from controller.errors import BadRequest, NotFound
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an attach asks for: a port; or a network and, perhaps, an address; or neither."""

    port_id: str | None = None
    network_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


def of_server(session: Session, server: Server) -> list[Port]:
    """Return the server's ports in the order of its cards."""
    query = select(Port).where(port_records.serving([server.id]))
    return list(session.scalars(query.order_by(Port.device_position, Port.id)))


def get(session: Session, server: Server, port_id: str) -> Port:
    """Return a port of the server, or raise NotFound."""
    port = session.scalar(select(Port).where(Port.id == port_id, port_records.serving([server.id])))
    if port is None:
        raise NotFound(f"Instance {server.id} has no interface with the port {port_id}.")
    return port


def attach(
    session: Session, settings: Settings, context: Context, server: Server, wanted: Wanted
) -> Port:
    """Give the server one port more, and have it plugged in; return the port.

    Raises BadRequest for what can't be asked for together, NotFound for a port or network that
    isn't there, InvalidState, and what ports raise.
    """
    _check(wanted)
    # First of all: who asks in vain is told of the server's state, as upstream does.
    operation = operations.begin_action(
        session, settings, context, server, "attach_interface", arguments={}
    )
    last = session.scalar(
        select(func.max(Port.device_position)).where(port_records.serving([server.id]))
    )
    port = ports.prepare_for_attach(
        session, settings, context, server, _item(wanted), 0 if last is None else last + 1
    )
    if server.host_id is not None:
        server_needs.check_reach(session, server.host_id, port)
    operation.arguments = {"port_id": port.id}
    return port


def detach(
    session: Session, settings: Settings, context: Context, server: Server, port_id: str
) -> None:
    """Have a port of the server unplugged and let go. Raises NotFound and InvalidState."""
    port = get(session, server, port_id)
    operations.begin_action(
        session, settings, context, server, "detach_interface", arguments={"port_id": port.id}
    )


def _check(wanted: Wanted) -> None:
    if wanted.port_id and wanted.network_id:
        raise BadRequest("Must not input both network_id and port_id. Give one of them.")
    if wanted.fixed_ip and not wanted.network_id:
        raise BadRequest(
            "Must input network_id when request IP address. Give net_id beside fixed_ips."
        )


def _item(wanted: Wanted) -> dict[str, str]:
    """Return what is wanted as an entry of a create's networks."""
    item = {
        "port": wanted.port_id,
        "uuid": wanted.network_id,
        "fixed_ip": wanted.fixed_ip,
        "tag": wanted.tag,
    }
    return {name: value for name, value in item.items() if value}
