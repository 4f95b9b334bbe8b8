"""What servers need of ports: having them made, bound to a host, and let go.

Ports as the Network API writes them are in `core.port_records`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from controller.core import (
    auto_topologies,
    network_shares,
    network_updates,
    port_departures,
    port_records,
    port_updates,
    security_groups,
    subnet_ranges,
)
from controller.core.context import Context
from controller.core.network_faults import (
    AutoAllocationFailure,
    InvalidInput,
    NetworkNotFound,
    PortInUse,
    PortNotFound,
)
from controller.db.models import (
    IPAllocation,
    Network,
    NetworkShare,
    Port,
    PortSecurityGroup,
    SecurityGroup,
    Server,
)
from controller.errors import BadRequest, Conflict, Forbidden
from controller.settings import Settings

Requested = Sequence[Mapping[str, Any]] | Literal["auto", "none"] | None


def prepare_for_servers(
    session: Session,
    settings: Settings,
    context: Context,
    servers: Sequence[Server],
    requested: Requested,
    security_group_names: Sequence[str],
) -> list[list[Port]]:
    """Return each new server's ports in the order asked for, made or taken over for it.

    The servers are of one project and zone. `requested` is as the Compute API has it: {"uuid":
    network}, {"uuid", "fixed_ip"} or {"port": id} each, the latter two for a lone server; None, an
    empty list and "auto" mean the project's only usable network; without any, "auto" has one made
    for the project, with a router to the outside. `security_group_names` are names
    or ids, for the ports made here; empty means the default. As many statements for many servers as
    for one. Raises BadRequest for what isn't there (as Nova does), Conflict for what is taken or
    ambiguous.
    """
    if requested == "none":
        return [[] for _ in servers]
    project_id = servers[0].project_id
    items = requested if requested and not isinstance(requested, str) else None
    if items is None:
        network_id = _only_network(session, project_id, up_alone=requested == "auto")
        if network_id is None and requested == "auto":
            network_id = _allocated(session, settings, context, project_id)
        if network_id is None:
            return [[] for _ in servers]
        items = [{"uuid": network_id}]
    named = [item["port"] for item in items if item.get("port")]
    if len(set(named)) < len(named):
        raise BadRequest("The same port was asked for twice. Name each port once.")
    group_ids = resolve_groups(session, project_id, security_group_names)
    columns = [
        _prepare(session, settings, context, servers, item, group_ids, position)
        for position, item in enumerate(items)
    ]
    session.flush()
    return [list(row) for row in zip(*columns, strict=True)]


def prepare_for_attach(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    item: Mapping[str, Any],
    position: int,
) -> Port:
    """Return the port that a server is given while it is there, as its card at `position`.

    `item` is as `prepare_for_servers` has it; without port and network it means the project's only
    usable one. What isn't there is a missing page here: raises PortNotFound and NetworkNotFound.
    """
    if item.get("port"):
        port_records.get(session, context, item["port"])
    elif item.get("uuid"):
        _network(session, context, server.project_id, item["uuid"])
    else:
        network_id = _only_network(session, server.project_id)
        if network_id is None:
            raise BadRequest(
                f"Project {server.project_id} has no network, and none is shared. Make one, or "
                "name a port."
            )
        item = {**item, "uuid": network_id}
    group_ids = resolve_groups(session, server.project_id, [])
    (port,) = _prepare(session, settings, context, [server], item, group_ids, position)
    session.flush()
    return port


def _only_network(session: Session, project_id: str, *, up_alone: bool = False) -> str | None:
    """Return the one network that the project can use, None when there is none."""
    own = [Network.project_id == project_id, *([Network.admin_state_up] if up_alone else [])]
    shared = network_shares.network_ids(project_id, network_shares.SHARED)
    found = session.scalars(
        select(Network.id)
        .where(or_(and_(*own), Network.id.in_(shared)))
        .order_by(Network.id)
        .limit(2)
    ).all()
    if len(found) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
    return found[0] if found else None


def _allocated(session: Session, settings: Settings, context: Context, project_id: str) -> str:
    try:
        return auto_topologies.allocate(session, settings, context, project_id)
    except AutoAllocationFailure as error:
        raise BadRequest(
            f"Unable to automatically allocate a network for project {project_id}: {error.message} "
            "Or make a network yourself, or ask for 'none'."
        ) from error


def resolve_groups(session: Session, project_id: str, names: Sequence[str]) -> list[str]:
    """Return the ids of the project's groups that go by these names or ids."""
    wanted = list(dict.fromkeys(names)) or [security_groups.DEFAULT]
    default = security_groups.ensure_default(session, project_id)
    known = session.execute(
        select(SecurityGroup.id, SecurityGroup.name).where(
            SecurityGroup.project_id == project_id,
            or_(SecurityGroup.id.in_(wanted), SecurityGroup.name.in_(wanted)),
        )
    ).all()
    found = []
    for name in wanted:
        matches = [row.id for row in known if name in (row.id, row.name)]
        if name == security_groups.DEFAULT:
            matches = [default.id]
        if not matches:
            raise BadRequest(f"Security group {name} not found for project {project_id}.")
        if len(matches) > 1:
            raise Conflict(
                f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
            )
        found.append(matches[0])
    return list(dict.fromkeys(found))


def _prepare(
    session: Session,
    settings: Settings,
    context: Context,
    servers: Sequence[Server],
    item: Mapping[str, Any],
    group_ids: Sequence[str],
    position: int,
) -> list[Port]:
    """Return the port at `position` of each server."""
    zone = servers[0].availability_zone or settings.availability_zone
    values: dict[str, Any] = {
        "device_owner": f"{port_records.SERVER_OWNER}{zone}",
        "device_position": position,
        "device_tag": item.get("tag"),
    }
    if item.get("port"):
        return [_take_over(session, context, each, item["port"], values) for each in servers]
    project_id = servers[0].project_id
    try:
        network = _network(session, context, project_id, item["uuid"])
    except NetworkNotFound as error:
        raise BadRequest(error.message) from error
    values |= {"made_by_server": True, "revision_number": 1}
    if item.get("fixed_ip"):
        if not context.may_see(network.project_id):
            raise Forbidden(
                f"Policy doesn't allow a fixed IP to be chosen on network {network.id}, which is "
                "another project's. Leave it out to be given one."
            )
        values["fixed_ips"] = [{"ip_address": item["fixed_ip"]}]
    if network.port_security_enabled:
        if not subnet_ranges.of_network(session, network.id):
            raise BadRequest(
                f"Network {network.id} requires a subnet in order to boot instances on. Make one."
            )
        values["security_groups"] = group_ids
    ids = [server.id for server in servers]
    made = port_records.create_each(session, settings, context, network, project_id, values, ids)
    for port, server in zip(made, servers, strict=True):
        port.dns_name = server.hostname
    return made


def _network(session: Session, context: Context, project_id: str, network_id: str) -> Network:
    """Return a network that servers of this project may be on."""
    network = session.get(Network, network_id)
    own = network is not None and (
        context.may_see(network.project_id) or network.project_id == project_id
    )
    if not own:
        network_shares.keep(session, network_id)
    opened = {
        action: session.scalar(
            network_shares.network_ids(project_id, action).where(
                NetworkShare.network_id == network_id
            )
        )
        for action in network_shares.ACTIONS
        if not own
    }
    if network is None or not (own or any(opened.values())):
        raise NetworkNotFound(
            f"Network {network_id} could not be found. Check the id and the project in use."
        )
    if not own and not opened[network_shares.SHARED]:
        raise Forbidden(
            f"It is not allowed to create an interface on external network {network_id}, which is "
            "not shared. Use another network."
        )
    return network


def _take_over(
    session: Session,
    context: Context,
    server: Server,
    port_id: str,
    values: Mapping[str, Any],
) -> Port:
    """Return a port that was there before, given `values`; refused to those who can't have it."""
    try:
        # Locked, so that of two servers one gets it.
        port = port_records.get(session, context, port_id, lock=True)
    except PortNotFound as error:
        raise BadRequest(error.message) from error
    if port.project_id != server.project_id and not context.is_admin:
        raise BadRequest(f"Port {port_id} is not usable for server {server.id}: not the project's.")
    if port.device_id or port.device_owner:
        raise PortInUse(
            f"Port {port_id} is still in use"
            f"{' by ' + port.device_id if port.device_id else ''}. Choose another port."
        )
    if port.port_security_enabled and not session.scalar(
        select(IPAllocation.ip_address).where(IPAllocation.port_id == port_id).limit(1)
    ):
        raise InvalidInput(f"Port {port_id} requires a FixedIP in order to be used. Give it one.")
    if port.dns_name not in ("", server.hostname):
        raise BadRequest(
            f"Port {port_id} not usable for instance {server.id}. Value {port.dns_name} assigned "
            f"to dns_name attribute does not match instance's hostname {server.hostname}. Take it "
            "off the port, or choose another."
        )
    port.device_id, port.dns_name = server.id, server.hostname
    for name, value in values.items():
        setattr(port, name, value)
    port.revision_number += 1
    return port


def _of_server(session: Session, server_id: str) -> list[Port]:
    return list(session.scalars(select(Port).where(port_records.serving([server_id]))))


def _groups_of(session: Session, ports: Sequence[Port]) -> set[str]:
    return set(
        session.scalars(
            select(PortSecurityGroup.security_group_id).where(
                PortSecurityGroup.port_id.in_([port.id for port in ports])
            )
        )
    )


def bind(session: Session, server_id: str, host_id: str) -> None:
    """Bind the server's ports to a host; other hosts learn of the groups' new members.

    The host itself learns of them by the play that plugs the ports in.
    """
    _bind(session, _of_server(session, server_id), host_id)


def expect(session: Session, server_id: str, host_id: str) -> None:
    """A live migration brings the server's ports to a host, which carries their networks from now.

    Others forward there before the guest runs there; whom it talks with notices nothing.
    """
    ports = _of_server(session, server_id)
    _expect(session, ports, host_id)
    networks = {port.network_id for port in ports}
    network_updates.members_changed(session, networks, told_host=host_id)


def expect_no_longer(session: Session, server_id: str) -> None:
    """The server's ports stay where they are; the host that expected them has them no more."""
    ports = _of_server(session, server_id)
    left = {port.next_host_id for port in ports if port.next_host_id}
    if left:
        _expect(session, ports, None)
        networks = {port.network_id for port in ports}
        network_updates.members_changed(session, networks, left=left)


def _expect(session: Session, ports: Sequence[Port], host_id: str | None) -> None:
    here = Port.id.in_([port.id for port in ports])
    session.execute(update(Port).where(here).values(next_host_id=host_id))


def bind_port(session: Session, port: Port, host_id: str) -> None:
    """Bind one port of a server, as `bind` does all."""
    _bind(session, [port], host_id)
    session.refresh(port)


def _bind(session: Session, ports: Sequence[Port], host_id: str) -> None:
    if not ports:
        return
    left = {port.host_id for port in ports if port.host_id and port.host_id != host_id}
    here = Port.id.in_([port.id for port in ports])
    session.execute(update(Port).where(here).values(host_id=host_id, next_host_id=None))
    port_updates.submit_for_hosts(session, left)
    port_updates.servers_came_or_went(session, _groups_of(session, ports), told_host=host_id)
    network_updates.ports_moved(session, ports, host_id, left)
    networks = {port.network_id for port in ports}
    network_updates.members_changed(session, networks, told_host=host_id, left=left)


def unbind(session: Session, server_id: str) -> None:
    """Take the server's ports off their host; they are DOWN, and no group's members any more."""
    _unbind(session, [port for port in _of_server(session, server_id) if port.host_id])


def unbind_port(session: Session, port: Port) -> None:
    """Take one port of a server off its host, as `unbind` does all."""
    _unbind(session, [port])


def _unbind(session: Session, ports: Sequence[Port]) -> None:
    left = _hosts_of(ports)
    for port in ports:
        port.host_id, port.next_host_id, port.status = None, None, "DOWN"
    session.flush()
    port_updates.servers_came_or_went(session, _groups_of(session, ports))
    network_updates.ports_left(session, ports, left)


def _hosts_of(ports: Sequence[Port]) -> set[str]:
    """Return the hosts that have something of these ports."""
    return {each for port in ports for each in (port.host_id, port.next_host_id) if each}


def release(session: Session, server_id: str) -> None:
    """The server is gone: delete the ports that were made for it, and free the others."""
    _release(session, server_id, _of_server(session, server_id))


def release_port(session: Session, server_id: str, port: Port) -> None:
    """The server has lost one port: delete or free it, as `release` does all."""
    _release(session, server_id, [port])


def _release(session: Session, server_id: str, ports: Sequence[Port]) -> None:
    bound_groups = _groups_of(session, [port for port in ports if port.host_id])
    left = _hosts_of(ports)
    networks = {port.network_id for port in ports}
    port_departures.record(session, server_id, ports)
    network_updates.take_down(session, ports)
    port_records.erase(session, [port.id for port in ports if port.made_by_server])
    for port in ports:
        if port.made_by_server:
            session.expunge(port)
            continue
        port.device_id, port.device_owner, port.device_position = "", "", 0
        port.device_tag, port.dns_name = None, ""
        port.host_id, port.next_host_id, port.status = None, None, "DOWN"
        port.revision_number += 1
    session.flush()
    port_updates.servers_came_or_went(session, bound_groups)
    if left:
        network_updates.members_changed(session, networks, left=left)


def rename(session: Session, server_id: str, hostname: str) -> None:
    """The server's guest has another name now: so have its ports in DNS."""
    session.execute(update(Port).where(port_records.serving([server_id])).values(dns_name=hostname))


def set_status(session: Session, server_id: str, status: Literal["ACTIVE", "DOWN"]) -> None:
    """Say of all the server's ports whether they carry traffic."""
    session.execute(update(Port).where(port_records.serving([server_id])).values(status=status))
