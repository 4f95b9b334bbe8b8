"""The security groups that a server's ports are in."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core.port_records import serving
from controller.db.models import Port, PortSecurityGroup, SecurityGroup, SecurityGroupRule


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
