"""Security groups: sets of rules that ports are filtered by, and each project's default one."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core import network_quotas, port_updates, resource_tags
from controller.core.context import Context
from controller.core.network_faults import (
    SecurityGroupCannotRemoveDefault,
    SecurityGroupCannotUpdateDefault,
    SecurityGroupConflict,
    SecurityGroupDefaultAlreadyExists,
    SecurityGroupInUse,
    SecurityGroupNotFound,
)
from controller.db.models import PortSecurityGroup, SecurityGroup, SecurityGroupRule
from controller.settings import Settings

DEFAULT = "default"
ETHERTYPES = ("IPv4", "IPv6")


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on SecurityGroup rows that this caller is told of."""
    return true() if context.is_admin else SecurityGroup.project_id == context.project_id


def get(session: Session, context: Context, group_id: str) -> SecurityGroup:
    """Return a group that the caller may see, or raise SecurityGroupNotFound."""
    group = session.scalar(
        select(SecurityGroup).where(SecurityGroup.id == group_id, visible(context))
    )
    if group is None:
        raise not_found(group_id)
    return group


def check_all(session: Session, context: Context, group_ids: Collection[str]) -> list[str]:
    """Return `group_ids`, each once; raises SecurityGroupNotFound for one that isn't there."""
    wanted = list(dict.fromkeys(group_ids))
    known = set(
        session.scalars(
            select(SecurityGroup.id).where(SecurityGroup.id.in_(wanted), visible(context))
        )
    )
    for group_id in wanted:
        if group_id not in known:
            raise not_found(group_id)
    check_alike(session, wanted)
    return wanted


def stateless(session: Session, group_ids: Collection[str]) -> set[str]:
    """Return those of the groups that let no replies through by themselves."""
    wanted = SecurityGroup.id.in_(group_ids), SecurityGroup.stateful.is_(False)
    return set(session.scalars(select(SecurityGroup.id).where(*wanted)))


def check_alike(session: Session, group_ids: Collection[str]) -> None:
    """Refuse groups for one port that are stateful and stateless."""
    kinds = session.scalars(
        select(SecurityGroup.stateful).where(SecurityGroup.id.in_(group_ids)).distinct()
    )
    if len(set(kinds)) > 1:
        raise SecurityGroupConflict(
            "Cannot apply both stateful and stateless security groups on the same port at the same "
            "time. Choose groups of one kind."
        )


def not_found(group_id: str) -> SecurityGroupNotFound:
    return SecurityGroupNotFound(
        f"Security group {group_id} does not exist. Check the id and the project in use."
    )


def find_default(session: Session, project_id: str) -> SecurityGroup | None:
    """Return the project's default group, None before the project did anything with networks."""
    return session.scalar(select(SecurityGroup).where(SecurityGroup.default_for == project_id))


def ensure_default(session: Session, project_id: str) -> SecurityGroup:
    """Return the project's default group, made now if it isn't there.

    Two requests may come here at once: `default_for` is unique, and who comes second reads what
    the first one made.
    """
    group = find_default(session, project_id)
    if group is not None:
        return group
    group = SecurityGroup(
        project_id=project_id,
        name=DEFAULT,
        description="Default security group",
        default_for=project_id,
    )
    try:
        with session.begin_nested():
            session.add(group)
            session.flush()
            session.add_all(_egress_rules(group))
            session.add_all(
                SecurityGroupRule(
                    security_group_id=group.id,
                    project_id=project_id,
                    direction="ingress",
                    ethertype=ethertype,
                    remote_group_id=group.id,
                )
                for ethertype in ETHERTYPES
            )
    except IntegrityError:
        made_by_another = find_default(session, project_id)
        if made_by_another is None:
            raise
        return made_by_another
    return group


def create(
    session: Session, settings: Settings, project_id: str, values: Mapping[str, Any]
) -> SecurityGroup:
    """Return a new group that lets everything out and nothing in."""
    if values["name"] == DEFAULT:
        raise SecurityGroupDefaultAlreadyExists(
            "Default security group already exists. Choose another name."
        )
    ensure_default(session, project_id)
    network_quotas.check(session, settings, project_id, "security_group")
    group = SecurityGroup(project_id=project_id, **values)
    session.add(group)
    session.flush()
    session.add_all(_egress_rules(group))
    session.flush()
    return group


def _egress_rules(group: SecurityGroup) -> list[SecurityGroupRule]:
    return [
        SecurityGroupRule(
            security_group_id=group.id,
            project_id=group.project_id,
            direction="egress",
            ethertype=ethertype,
        )
        for ethertype in ETHERTYPES
    ]


def update(session: Session, group: SecurityGroup, values: Mapping[str, Any]) -> SecurityGroup:
    """Change name or description; the default group keeps its name.

    And whether it is stateful, while no port has it, as in Neutron.
    """
    if values.get("stateful", group.stateful) != group.stateful:
        _check_unused(session, group)
    if group.default_for and values.get("name", group.name) != group.name:
        raise SecurityGroupCannotUpdateDefault(
            "Updating the name of the default security group is not allowed. Make another group."
        )
    for name, value in values.items():
        setattr(group, name, value)
    group.revision_number += 1
    session.flush()
    return group


def _check_unused(session: Session, group: SecurityGroup) -> None:
    port_id = session.scalar(
        select(PortSecurityGroup.port_id)
        .where(PortSecurityGroup.security_group_id == group.id)
        .limit(1)
    )
    if port_id:
        raise SecurityGroupInUse(
            f"Security Group {group.id} in use by port {port_id}. Take it off its ports first."
        )


def remove(session: Session, context: Context, group: SecurityGroup) -> None:
    """Delete a group with its rules, and with the rules of other groups that name it as remote."""
    if group.default_for and not context.is_admin:
        raise SecurityGroupCannotRemoveDefault(
            f"Insufficient rights for removing default security group {group.id}. Its rules can be "
            "deleted instead."
        )
    _check_unused(session, group)
    naming = set(
        session.scalars(
            select(SecurityGroupRule.security_group_id).where(
                SecurityGroupRule.remote_group_id == group.id,
                SecurityGroupRule.security_group_id != group.id,
            )
        )
    )
    session.execute(
        delete(SecurityGroupRule).where(
            or_(
                SecurityGroupRule.security_group_id == group.id,
                SecurityGroupRule.remote_group_id == group.id,
            )
        )
    )
    resource_tags.erase(session, [group.id])
    session.delete(group)
    session.flush()
    port_updates.group_changed(session, naming, context)


def rules_of(session: Session, group_ids: Collection[str]) -> dict[str, list[SecurityGroupRule]]:
    """Return each group's rules in the order of their making, in one statement."""
    found: dict[str, list[SecurityGroupRule]] = {group_id: [] for group_id in group_ids}
    if not found:
        return found
    rules = session.scalars(
        select(SecurityGroupRule)
        .where(SecurityGroupRule.security_group_id.in_(group_ids))
        .order_by(SecurityGroupRule.created_at, SecurityGroupRule.id)
    )
    for rule in rules:
        found[rule.security_group_id].append(rule)
    return found


def of_ports(session: Session, port_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return each port's group ids, in one statement."""
    found: dict[str, list[str]] = {port_id: [] for port_id in port_ids}
    links = session.scalars(
        select(PortSecurityGroup)
        .where(PortSecurityGroup.port_id.in_(port_ids))
        .order_by(PortSecurityGroup.security_group_id)
    )
    for link in links:
        found[link.port_id].append(link.security_group_id)
    return found
