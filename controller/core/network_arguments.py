"""What plays are told of a server's networks: networks, ports, groups with rules, and members."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import dns_names, port_records, router_arguments, security_groups
from controller.core.described_networks import Described, networks
from controller.core.security_group_rules import ICMP, ICMPV6, protocol_number
from controller.db.models import (
    Host,
    IPAllocation,
    Port,
    PortSecurityGroup,
    SecurityGroupRule,
)

# What filters a server's ports.
RULES = ("ports", "security_groups", "remote_group_members")


def for_servers(
    session: Session, server_ids: Sequence[str], on_host: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return per server the keys networks, ports, security_groups and remote_group_members.

    Of ports that are bound to a host: one that is about to be attached, or is being taken away,
    is in nobody's way. Their shapes are those of the playbooks' arguments. A fixed number of
    statements, and always in the same order, so that a second run with the same state changes
    nothing. Networks and routers are told as to the host `on_host`, for a play on one that the
    ports are not bound to; None is each port's own host.
    """
    ports = _bound_ports(session, server_ids)
    if not ports:
        return {server_id: _without_ports() for server_id in server_ids}
    described = networks(session, {port.network_id for port in ports})
    rules = told_rules(_rules(session, ports, described, server_ids))
    host_of = {port.id: on_host or str(port.host_id) for port in ports}
    tunnel_ips = _tunnel_ips(session, set(host_of.values()))
    on_hosts: dict[str, set[str]] = {}
    of_servers: dict[str, list[Port]] = {}
    for port in ports:
        on_hosts.setdefault(host_of[port.id], set()).add(port.network_id)
        of_servers.setdefault(port.device_id, []).append(port)
    routers = router_arguments.of_networks(session, on_hosts)
    # As one for all servers of a host: a network may have thousands of members.
    told = {
        (network_id, host_id): described[network_id].as_told_to(tunnel_ips.get(host_id))
        for host_id, network_ids in on_hosts.items()
        for network_id in network_ids
    }
    arguments = {}
    for server_id in server_ids:
        own = of_servers.get(server_id, [])
        on = {port.network_id: host_of[port.id] for port in own}
        arguments[server_id] = {
            "networks": [told[each] for each in on.items()],
            "routers": _routers_of(own, routers[host_of[own[0].id]] if own else []),
            **rules[server_id],
        }
    return arguments


def rules_alone(session: Session, server_ids: Sequence[str]) -> dict[str, Any]:
    """Return the keys servers, security_groups and remote_group_members: what filters their ports.

    Each group stands there once, however many of the servers are in it: one for each of them would
    make a group of a thousand ports on one host a thousand times as much to tell. Of `servers` each
    has its id and its ports. A fixed number of statements, as `for_servers`.
    """
    ports = _bound_ports(session, server_ids)
    described = networks(session, {port.network_id for port in ports}, members=False)
    return _rules(session, ports, described, server_ids)


def told_rules(arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return by server the keys ports, security_groups and remote_group_members.

    `arguments` are those of a play: what its servers have of them, or what `rules_alone` says.
    """
    groups = {group["id"]: group for group in arguments.get("security_groups", ())}
    members = arguments.get("remote_group_members", {})
    return {
        entry["id"]: {name: entry[name] for name in RULES}
        if "security_groups" in entry
        else _rules_of(entry.get("ports", []), groups, members)
        for entry in arguments["servers"]
    }


def _rules_of(
    ports: list[dict[str, Any]],
    groups: Mapping[str, dict[str, Any]],
    members: Mapping[str, list[str]],
) -> dict[str, Any]:
    group_ids = sorted({group_id for port in ports for group_id in port["security_groups"]})
    remote = {rule["remote_group_id"] for each in group_ids for rule in groups[each]["rules"]}
    return {
        "ports": ports,
        "security_groups": [groups[each] for each in group_ids],
        "remote_group_members": {each: members[each] for each in sorted(filter(None, remote))},
    }


def _bound_ports(session: Session, server_ids: Sequence[str]) -> Sequence[Port]:
    return session.scalars(
        select(Port)
        .where(port_records.serving(server_ids), Port.host_id.is_not(None))
        .order_by(Port.device_position, Port.id)
    ).all()


def _rules(
    session: Session,
    ports: Sequence[Port],
    described: Mapping[str, Described],
    server_ids: Sequence[str],
) -> dict[str, Any]:
    """Return what `rules_alone` does, of these ports of the servers."""
    port_ids = [port.id for port in ports]
    groups_of_port = security_groups.of_ports(session, port_ids)
    fixed_ips = port_records.fixed_ips_of(session, port_ids)
    told: dict[str, list[dict[str, Any]]] = {server_id: [] for server_id in server_ids}
    for port in ports:
        own = _port(port, described[port.network_id], fixed_ips[port.id], groups_of_port[port.id])
        told[port.device_id].append(own)
    used = {group for each in told.values() for own in each for group in own["security_groups"]}
    rules = security_groups.rules_of(session, used)
    stateless = security_groups.stateless(session, rules)
    named = {rule.remote_group_id for each in rules.values() for rule in each}
    members = _members(session, {each for each in named if each})
    return {
        "servers": [{"id": server_id, "ports": each} for server_id, each in told.items()],
        "security_groups": [
            {
                "id": group_id,
                "stateful": group_id not in stateless,
                "rules": [_rule(rule) for rule in rules[group_id]],
            }
            for group_id in sorted(rules)
        ],
        "remote_group_members": dict(sorted(members.items())),
    }


def detached(session: Session, port: Port, host_id: str) -> dict[str, Any]:
    """Return the keys detached_ports, -networks and -routers for a port whose card goes."""
    network = networks(session, {port.network_id})[port.network_id]
    fixed_ips = port_records.fixed_ips_of(session, [port.id])
    # The port itself is on no host by now.
    tunnel_ips = _tunnel_ips(session, {host_id})
    routers = router_arguments.of_networks(session, {host_id: {port.network_id}})
    return {
        "detached_ports": [_port(port, network, fixed_ips[port.id], [])],
        "detached_networks": [network.as_told_to(tunnel_ips.get(host_id))],
        "detached_routers": routers[host_id],
    }


def _routers_of(ports: Sequence[Port], on_host: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the routers with an interface on a network of these ports, which are on one host."""
    own = {port.network_id for port in ports}
    return [
        router
        for router in on_host
        if own & {interface["network"]["id"] for interface in router["interfaces"]}
    ]


def _without_ports() -> dict[str, Any]:
    return {
        "networks": [],
        "ports": [],
        "routers": [],
        "security_groups": [],
        "remote_group_members": {},
    }


def _tunnel_ips(session: Session, host_ids: Collection[str | None]) -> dict[str | None, str | None]:
    rows = session.execute(select(Host.id, Host.tunnel_ip).where(Host.id.in_(host_ids)))
    return {row.id: row.tunnel_ip for row in rows}


def _port(
    port: Port, network: Described, fixed_ips: Sequence[IPAllocation], group_ids: list[str]
) -> dict[str, Any]:
    """Return a port. One that is set down is filtered and has no group: all is shut."""
    up = port.admin_state_up and network.admin_state_up
    return {
        "id": port.id,
        "network_id": port.network_id,
        "network_driver": network.network_driver,
        "mac_address": port.mac_address,
        "tag": port.device_tag,
        "fixed_ips": [
            {"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in fixed_ips
        ],
        "port_security_enabled": port.port_security_enabled or not up,
        "extra_dhcp_opts": port.extra_dhcp_opts,
        "dns_name": port.dns_name,
        "hostname": _hostname(port, fixed_ips),
        "allowed_address_pairs": port.allowed_address_pairs if up else [],
        "security_groups": group_ids if up and port.port_security_enabled else [],
    }


def _hostname(port: Port, fixed_ips: Sequence[IPAllocation]) -> str:
    """Return what DHCP calls the guest: the first label alone, for dnsmasq knows no others."""
    name = dns_names.hostname(port, fixed_ips[0].ip_address) if fixed_ips else port.dns_name
    return name.partition(".")[0]


def _rule(rule: SecurityGroupRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": _protocol(rule),
        "port_range_min": rule.port_range_min,
        "port_range_max": rule.port_range_max,
        "remote_ip_prefix": rule.remote_ip_prefix,
        "remote_group_id": rule.remote_group_id,
    }


def _protocol(rule: SecurityGroupRule) -> str | None:
    """Return tcp, udp, icmp, hopopt, a number as text, or None; ICMP of an IPv6 rule is 58."""
    number = protocol_number(rule.protocol)
    if number is None or rule.protocol is None:
        return None
    if number == ICMP and rule.ethertype == "IPv6":
        number = ICMPV6
    if not number:
        # As a number it stands for any protocol, in the API and on hosts; the name does not.
        return rule.protocol
    by_number = {6: "tcp", 17: "udp", ICMP: "icmp"}
    return by_number.get(number, str(number))


def _members(session: Session, group_ids: Collection[str]) -> dict[str, list[str]]:
    """Return each group's addresses: those that its ports on hosts have, or may use as well."""
    if not group_ids:
        return {}
    members: dict[str, set[str]] = {group_id: set() for group_id in group_ids}
    for group_id, ip_address, pairs in session.execute(
        select(
            PortSecurityGroup.security_group_id, IPAllocation.ip_address, Port.allowed_address_pairs
        )
        .join(Port, Port.id == PortSecurityGroup.port_id)
        .join(IPAllocation, IPAllocation.port_id == Port.id)
        .where(PortSecurityGroup.security_group_id.in_(group_ids), Port.host_id.is_not(None))
    ):
        members[group_id].add(ip_address)
        members[group_id].update(pair["ip_address"] for pair in pairs)
    return {group_id: sorted(found) for group_id, found in members.items()}
