"""The security groups that a server's ports are in."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from controller.core import port_records, security_groups
from controller.core.context import Context
from controller.core.port_records import serving
from controller.db.models import (
    Network,
    Port,
    PortSecurityGroup,
    SecurityGroup,
    SecurityGroupRule,
    Server,
)
from controller.errors import BadRequest, Conflict, NotFound


def of_server(
    session: Session, server_id: str
) -> list[tuple[SecurityGroup, list[SecurityGroupRule]]]:
    """Return the groups by name, each with its rules, in two statements."""
    ids = (
        select(PortSecurityGroup.security_group_id)
        .join(Port, Port.id == PortSecurityGroup.port_id)
        .where(serving([server_id]))
    )
    groups = session.scalars(
        select(SecurityGroup)
        .where(SecurityGroup.id.in_(ids))
        .order_by(SecurityGroup.name, SecurityGroup.id)
    ).all()
    rules: dict[str, list[SecurityGroupRule]] = {}
    for rule in session.scalars(
        select(SecurityGroupRule)
        .where(SecurityGroupRule.security_group_id.in_([group.id for group in groups]))
        .order_by(SecurityGroupRule.id)
    ):
        rules.setdefault(rule.security_group_id, []).append(rule)
    return [(group, rules.get(group.id, [])) for group in groups]


def add(session: Session, context: Context, server: Server, name: str) -> None:
    """Put all the server's ports into a group of its project; the host is told at once.

    `name` may be an id too. Ports that are not filtered are left out, as upstream does. Raises
    NotFound, Conflict for a name that several groups have, BadRequest when no port can be in it.
    """
    group_id = _named(session, server, name)
    filtered = [port for port in _ports(session, server) if port.port_security_enabled]
    if not filtered:
        raise BadRequest(
            f"Security group {name} cannot be applied to instance {server.id}: none of its ports "
            "is filtered. Turn on port_security_enabled of one."
        )
    present = security_groups.of_ports(session, [port.id for port in filtered])
    for port in filtered:
        if group_id not in present[port.id]:
            _set(session, context, port, [*present[port.id], group_id])


def remove(session: Session, context: Context, server: Server, name: str) -> None:
    """Take all the server's ports out of a group; the host is told at once.

    Raises NotFound, for a group that none of them is in too, and Conflict as `add` does.
    """
    group_id = _named(session, server, name)
    ports = _ports(session, server)
    present = security_groups.of_ports(session, [port.id for port in ports])
    within = [port for port in ports if group_id in present[port.id]]
    if not within:
        raise NotFound(f"Security group {name} not associated with the instance {server.id}.")
    for port in within:
        _set(session, context, port, [each for each in present[port.id] if each != group_id])


def _named(session: Session, server: Server, name: str) -> str:
    """Return the id of the group of the server's project that goes by the name or id."""
    if name == security_groups.DEFAULT:
        return security_groups.ensure_default(session, server.project_id).id
    query = select(SecurityGroup.id).where(
        SecurityGroup.project_id == server.project_id,
        or_(SecurityGroup.id == name, SecurityGroup.name == name),
    )
    found = list(session.scalars(query.limit(2)))
    if not found:
        raise NotFound(f"Security group {name} not found for project {server.project_id}.")
    if len(found) > 1:
        raise Conflict(
            f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
        )
    return found[0]


def _ports(session: Session, server: Server) -> list[Port]:
    """Return the server's ports, locked: of two changes at once the second sees the first."""
    query = select(Port).where(serving([server.id])).order_by(Port.device_position, Port.id)
    found = list(session.scalars(query.with_for_update()))
    if not found:
        raise NotFound(f"Instance {server.id} has no port that could be in a security group.")
    return found


def _set(session: Session, context: Context, port: Port, group_ids: list[str]) -> None:
    network = session.get_one(Network, port.network_id)
    port_records.update(session, context, network, port, {"security_groups": group_ids})
