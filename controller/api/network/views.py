"""Rows as the Network API shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from controller.core import segments
from controller.db.models import (
    AddressScope,
    IPAllocation,
    Network,
    Port,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    SubnetPool,
)

Described = Network | Subnet | Port | SecurityGroup | SubnetPool


def time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _common(row: Described) -> dict[str, Any]:
    """Return what every noun has."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "created_at": time(row.created_at),
        "updated_at": time(row.updated_at),
        "revision_number": row.revision_number,
        "tags": [],
    }


def subnet_pool(row: SubnetPool) -> dict[str, Any]:
    return {
        **_common(row),
        "ip_version": row.ip_version,
        "prefixes": row.prefixes,
        "default_prefixlen": row.default_prefixlen,
        "min_prefixlen": row.min_prefixlen,
        "max_prefixlen": row.max_prefixlen,
        "default_quota": row.default_quota,
        "address_scope_id": row.address_scope_id,
        "shared": row.shared,
        "is_default": row.is_default,
    }


def address_scope(row: AddressScope) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "ip_version": row.ip_version,
        "shared": row.shared,
    }


def network(
    row: Network, subnet_ids: Sequence[str], *, shared: bool, provider: bool
) -> dict[str, Any]:
    """Return a network; `provider` shows what it stands on, which is for operators."""
    view = {
        **_common(row),
        "status": "ACTIVE",
        "admin_state_up": row.admin_state_up,
        "shared": shared,
        "router:external": row.external,
        "is_default": row.is_default,
        "mtu": row.mtu,
        "port_security_enabled": row.port_security_enabled,
        "subnets": list(subnet_ids),
        "availability_zone_hints": [],
        "availability_zones": [],
    }
    if provider:
        view |= {
            "provider:network_type": row.network_type,
            "provider:physical_network": row.physical_network,
            "provider:segmentation_id": row.segmentation_id,
            "network_driver": row.network_driver,
        }
    return view


def subnet(row: Subnet) -> dict[str, Any]:
    return {
        **_common(row),
        "network_id": row.network_id,
        "ip_version": row.ip_version,
        "cidr": row.cidr,
        "gateway_ip": row.gateway_ip,
        "enable_dhcp": row.enable_dhcp,
        "allocation_pools": row.allocation_pools,
        "dns_nameservers": row.dns_nameservers,
        "host_routes": row.host_routes,
        "subnetpool_id": row.subnetpool_id,
        "ipv6_address_mode": row.ipv6_address_mode,
        "ipv6_ra_mode": row.ipv6_ra_mode,
        "service_types": [],
    }


def port(
    row: Port,
    fixed_ips: Sequence[IPAllocation],
    group_ids: Sequence[str],
    dns: Sequence[dict[str, Any]],
    binding: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return a port, with its binding where that is given."""
    view = {
        **_common(row),
        "network_id": row.network_id,
        "mac_address": row.mac_address,
        "admin_state_up": row.admin_state_up,
        "status": row.status,
        "device_id": row.device_id,
        "device_owner": row.device_owner,
        "fixed_ips": [
            {"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in fixed_ips
        ],
        "security_groups": list(group_ids),
        "port_security_enabled": row.port_security_enabled,
        "allowed_address_pairs": row.allowed_address_pairs,
        "extra_dhcp_opts": row.extra_dhcp_opts,
        "dns_name": row.dns_name,
        "dns_assignment": list(dns),
        "binding:vnic_type": "normal",
    }
    return view | (binding or {})


def port_binding(row: Port, host_name: str | None, driver: str) -> dict[str, Any]:
    """Return where a port is and how it is plugged in there, which is for operators."""
    return {
        "binding:host_id": host_name or "",
        "binding:vif_type": segments.DRIVERS[driver] if row.host_id else "unbound",
        "binding:vif_details": {"port_filter": True} if row.host_id else {},
        "binding:profile": {},
    }


def security_group(row: SecurityGroup, rules: Sequence[SecurityGroupRule]) -> dict[str, Any]:
    return {
        **_common(row),
        "stateful": row.stateful,
        "shared": False,
        "security_group_rules": [
            security_group_rule(rule, of_default=row.default_for is not None) for rule in rules
        ],
    }


def security_group_rule(row: SecurityGroupRule, *, of_default: bool) -> dict[str, Any]:
    return {
        "id": row.id,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "security_group_id": row.security_group_id,
        "direction": row.direction,
        "ethertype": row.ethertype,
        "protocol": row.protocol,
        "port_range_min": row.port_range_min,
        "port_range_max": row.port_range_max,
        "remote_ip_prefix": row.remote_ip_prefix,
        "normalized_cidr": row.remote_ip_prefix,
        "remote_group_id": row.remote_group_id,
        "remote_address_group_id": None,
        "belongs_to_default_sg": of_default,
        "description": row.description,
        "created_at": time(row.created_at),
        "updated_at": time(row.created_at),
        "revision_number": 0,
        "tags": [],
    }
