"""Rules of security groups: what may pass, checked as Neutron checks it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from controller.core import network_quotas, port_updates, security_groups, subnet_ranges
from controller.core.context import Context
from controller.core.network_faults import (
    SecurityGroupEthertypeConflictWithProtocol,
    SecurityGroupInvalidIcmpValue,
    SecurityGroupInvalidPortRange,
    SecurityGroupInvalidProtocol,
    SecurityGroupMissingIcmpType,
    SecurityGroupProtocolRequiredWithPorts,
    SecurityGroupRemoteGroupAndRemoteIpPrefix,
    SecurityGroupRuleExists,
    SecurityGroupRuleNotFound,
    SecurityGroupRuleParameterConflict,
)
from controller.db.models import SecurityGroup, SecurityGroupRule
from controller.settings import Settings

# IANA's numbers for the names that the API knows.
PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58,
    "igmp": 2, "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6,
    "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
ANY = ("any", "ip", "")
WITH_PORTS = frozenset(PROTOCOLS[name] for name in ("tcp", "udp", "sctp", "dccp", "udplite"))
ICMP, ICMPV6 = PROTOCOLS["icmp"], PROTOCOLS["icmpv6"]
# What Neutron refuses for IPv4, by name and by number.
IPV6_ALONE = frozenset(
    PROTOCOLS[f"ipv6-{name}"] for name in ("encap", "frag", "icmp", "nonxt", "opts", "route")
)
SAME = (
    "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix",
    "remote_group_id",
)  # fmt: skip


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on SecurityGroupRule rows that this caller is told of."""
    if context.is_admin:
        return true()
    own_groups = select(SecurityGroup.id).where(SecurityGroup.project_id == context.project_id)
    return or_(
        SecurityGroupRule.project_id == context.project_id,
        SecurityGroupRule.security_group_id.in_(own_groups),
    )


def get(session: Session, context: Context, rule_id: str) -> SecurityGroupRule:
    """Return a rule that the caller may see, or raise SecurityGroupRuleNotFound."""
    rule = session.scalar(
        select(SecurityGroupRule).where(SecurityGroupRule.id == rule_id, visible(context))
    )
    if rule is None:
        raise SecurityGroupRuleNotFound(
            f"Security group rule {rule_id} does not exist. Check the id and the project in use."
        )
    return rule


def create(
    session: Session,
    settings: Settings,
    context: Context,
    group: SecurityGroup,
    values: Mapping[str, Any],
) -> SecurityGroupRule:
    """Return a new rule of `group`, whose hosts are told.

    `values` has columns of SecurityGroupRule; `protocol` is a name, a number as text, or None.
    """
    network_quotas.check(session, settings, group.project_id, "security_group_rule")
    rule = SecurityGroupRule(
        **{"ethertype": "IPv4", **values},
        security_group_id=group.id,
        project_id=group.project_id,
    )
    rule.protocol = _protocol(rule.protocol, rule.ethertype)
    _check_ports(rule)
    _check_remote(rule)
    if rule.remote_group_id:
        security_groups.get(session, context, rule.remote_group_id)
    _refuse_twin(session, rule)
    session.add(rule)
    group.revision_number += 1
    session.flush()
    port_updates.group_changed(session, [group.id], context)
    return rule


def remove(session: Session, context: Context, rule: SecurityGroupRule) -> None:
    """Delete a rule; the hosts of its group's ports are told."""
    group = session.get(SecurityGroup, rule.security_group_id)
    session.delete(rule)
    if group is not None:
        group.revision_number += 1
    session.flush()
    port_updates.group_changed(session, [rule.security_group_id], context)


def protocol_number(protocol: str | None) -> int | None:
    """Return the IP protocol's number, None for any."""
    if protocol is None:
        return None
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)


def _protocol(protocol: str | None, ethertype: str) -> str | None:
    """Return the protocol as it is kept, or raise SecurityGroupInvalidProtocol."""
    if protocol is None or protocol.lower() in ANY:
        return None
    name = protocol.lower()
    if name not in PROTOCOLS and not (name.isascii() and name.isdigit() and int(name) <= 255):
        raise SecurityGroupInvalidProtocol(
            f"Security group rule protocol {protocol} not supported. Only protocol values "
            f"{', '.join(sorted(PROTOCOLS))}, and numbers from 0 to 255, are supported."
        )
    if ethertype == "IPv4" and protocol_number(name) in IPV6_ALONE:
        raise SecurityGroupEthertypeConflictWithProtocol(
            f"Invalid ethertype {ethertype} for protocol {protocol}. Use IPv6."
        )
    return name if name in PROTOCOLS else str(int(name))


def _check_ports(rule: SecurityGroupRule) -> None:
    low, high = rule.port_range_min, rule.port_range_max
    if low is None and high is None:
        return
    number = protocol_number(rule.protocol)
    if number is None:
        raise SecurityGroupProtocolRequiredWithPorts(
            "Must also specify protocol if port range is given, such as tcp."
        )
    if number in (ICMP, ICMPV6):
        _check_icmp(low, high)
    elif number not in WITH_PORTS:
        raise SecurityGroupInvalidPortRange(
            f"Protocol {rule.protocol} has no ports. Leave port_range_min and port_range_max out."
        )
    elif low is None or high is None or not 1 <= low <= high <= 65535:
        raise SecurityGroupInvalidPortRange(
            f"Invalid port range {low} to {high}: port_range_min must be <= port_range_max, both "
            "from 1 to 65535."
        )


def _check_icmp(icmp_type: int | None, code: int | None) -> None:
    """For ICMP, the range's ends are the type and, if wanted, the code."""
    if icmp_type is None:
        raise SecurityGroupMissingIcmpType(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is "
            "missing. Give both, or the type alone."
        )
    for field, value in (("type", icmp_type), ("code", code)):
        if value is not None and not 0 <= value <= 255:
            raise SecurityGroupInvalidIcmpValue(
                f"Invalid value for ICMP {field}: {value}. It must be from 0 to 255."
            )


def _check_remote(rule: SecurityGroupRule) -> None:
    """Put the remote prefix in plain form; refuse one that contradicts the rest."""
    if rule.remote_ip_prefix is None:
        return
    if rule.remote_group_id is not None:
        raise SecurityGroupRemoteGroupAndRemoteIpPrefix(
            "Only remote_ip_prefix or remote_group_id may be provided. Make two rules."
        )
    try:
        prefix = subnet_ranges.plain_range(rule.remote_ip_prefix, strict=False)
    except ValueError as error:
        raise SecurityGroupRuleParameterConflict(
            f"remote_ip_prefix '{rule.remote_ip_prefix}' is not an address range: {error}."
        ) from error
    if f"IPv{prefix.version}" != rule.ethertype:
        raise SecurityGroupRuleParameterConflict(
            f"Conflicting value ethertype {rule.ethertype} for CIDR {prefix}. Use "
            f"IPv{prefix.version}."
        )
    rule.remote_ip_prefix = str(prefix)


def _refuse_twin(session: Session, rule: SecurityGroupRule) -> None:
    twin = session.scalar(
        select(SecurityGroupRule.id).where(
            SecurityGroupRule.security_group_id == rule.security_group_id,
            *(
                getattr(SecurityGroupRule, name).is_not_distinct_from(getattr(rule, name))
                for name in SAME
            ),
        )
    )
    if twin:
        raise SecurityGroupRuleExists(f"Security group rule already exists. Rule id is {twin}.")
