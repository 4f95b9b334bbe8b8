"""Bodies of the Network API. Fields that aren't here are refused by name."""

from collections.abc import Mapping
from typing import Any

from controller.quota_defaults import NETWORK as NETWORK_QUOTAS

Schema = Mapping[str, Any]
Properties = Mapping[str, Schema]

TEXT: Schema = {"type": "string", "maxLength": 255}
# Who a port is for. ASCII alone: what databases take for the same as the cloud's own owners
# ("compute:", "network:") is then told by its letters in lower case.
OWNER: Schema = {"type": "string", "maxLength": 255, "pattern": r"\A[ -~]*\Z"}
FLAG: Schema = {"type": "boolean"}
# \A and \Z: Python's ^ and $ would let a trailing newline pass.
UUID: Schema = {
    "type": "string",
    "pattern": r"\A[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z",
}
PROJECT: Schema = {"type": "string", "minLength": 1, "maxLength": 36}
ADDRESS: Schema = {"type": "string", "maxLength": 64}
# Also as text, which the openstack client sends.
MTU: Schema = {
    "type": ["integer", "string"],
    "minimum": 576,
    "maximum": 9216,
    "pattern": r"\A[0-9]{1,5}\Z",
}


def one_or_many(
    noun: str, properties: Properties, required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the schema of a create: one noun, or a list of them under its plural."""
    item = _object(properties, required)
    return {
        "type": "object",
        "properties": {
            noun: item,
            f"{noun}s": {"type": "array", "items": item, "minItems": 1, "maxItems": 100},
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def one(noun: str, properties: Properties) -> dict[str, Any]:
    """Return the schema of an update."""
    return _object({noun: _object(properties)}, (noun,))


def _object(properties: Properties, required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


_OWNER: Properties = {"project_id": PROJECT, "tenant_id": PROJECT}

_NETWORK: Properties = {
    "name": TEXT,
    "description": TEXT,
    "admin_state_up": FLAG,
    "shared": FLAG,
    "router:external": FLAG,
    "is_default": FLAG,
    "mtu": MTU,
    "port_security_enabled": FLAG,
}
NETWORK_CREATE = one_or_many(
    "network",
    {
        **_NETWORK,
        **_OWNER,
        "provider:network_type": {"type": ["string", "null"], "maxLength": 16},
        "provider:physical_network": {
            "type": ["string", "null"],
            "pattern": r"\A[A-Za-z0-9_.:-]{1,64}\Z",
        },
        "provider:segmentation_id": {"type": ["integer", "string", "null"], "maxLength": 8},
        "network_driver": {"type": "string", "maxLength": 32},
        "availability_zone_hints": {"type": "array", "maxItems": 0},
    },
)
NETWORK_UPDATE = one("network", _NETWORK)

_POOLS: Schema = {
    "type": "array",
    "maxItems": 100,
    "items": _object({"start": ADDRESS, "end": ADDRESS}, ("start", "end")),
}
_SUBNET: Properties = {
    "name": TEXT,
    "description": TEXT,
    "gateway_ip": {"type": ["string", "null"], "maxLength": 64},
    "enable_dhcp": FLAG,
    "allocation_pools": _POOLS,
    "dns_nameservers": {"type": "array", "maxItems": 5, "items": ADDRESS},
    "host_routes": {
        "type": "array",
        "maxItems": 20,
        "items": _object({"destination": ADDRESS, "nexthop": ADDRESS}, ("destination", "nexthop")),
    },
}
# Numbers also as text, which the openstack client sends.
_LENGTH: Schema = {
    "type": ["integer", "string"],
    "minimum": 1,
    "maximum": 128,
    "pattern": r"\A[0-9]{1,3}\Z",
}
_IPV6_MODE: Schema = {"enum": ["dhcpv6-stateful", "dhcpv6-stateless", "slaac", None]}
SUBNET_CREATE = one_or_many(
    "subnet",
    {
        **_SUBNET,
        **_OWNER,
        "network_id": UUID,
        "cidr": ADDRESS,
        "prefixlen": _LENGTH,
        "ip_version": {"enum": [4, 6]},
        "subnetpool_id": {"anyOf": [UUID, {"type": "null"}]},
        "use_default_subnetpool": FLAG,
        "ipv6_address_mode": _IPV6_MODE,
        "ipv6_ra_mode": _IPV6_MODE,
    },
    ("network_id",),
)
SUBNET_UPDATE = one("subnet", _SUBNET)

_FIXED_IPS: Schema = {
    "type": "array",
    "maxItems": 5,
    "items": {**_object({"subnet_id": UUID, "ip_address": ADDRESS}), "minProperties": 1},
}
_PORT: Properties = {
    "name": TEXT,
    "description": TEXT,
    "admin_state_up": FLAG,
    "device_id": TEXT,
    "device_owner": OWNER,
    "mac_address": {"type": "string", "maxLength": 17},
    "fixed_ips": _FIXED_IPS,
    "security_groups": {"type": "array", "maxItems": 50, "items": UUID},
    "allowed_address_pairs": {
        "type": "array",
        "maxItems": 10,
        "items": _object({"ip_address": ADDRESS, "mac_address": ADDRESS}, ("ip_address",)),
    },
    "port_security_enabled": FLAG,
    # What every port has; nothing else is there to choose.
    "binding:vnic_type": {"enum": ["normal"]},
    "binding:profile": {"type": "object", "maxProperties": 0},
    # Where a port is, its server says.
    "binding:host_id": {"enum": ["", None]},
    "dns_name": {"type": "string", "maxLength": 255},
    "extra_dhcp_opts": {
        "type": ["array", "null"],
        "maxItems": 20,
        "items": _object(
            {
                "opt_name": {"type": "string", "minLength": 1, "maxLength": 64},
                "opt_value": {"type": ["string", "null"], "maxLength": 255},
                "ip_version": {"enum": [4, 6, "4", "6"]},
            },
            ("opt_name", "opt_value"),
        ),
    },
}
PORT_CREATE = one_or_many("port", {**_PORT, **_OWNER, "network_id": UUID}, ("network_id",))
PORT_UPDATE = one("port", _PORT)

_POOL: Properties = {
    "name": TEXT,
    "description": TEXT,
    "prefixes": {"type": "array", "minItems": 1, "maxItems": 100, "items": ADDRESS},
    "default_prefixlen": _LENGTH,
    "min_prefixlen": _LENGTH,
    "max_prefixlen": _LENGTH,
    "default_quota": {"type": ["integer", "null"], "minimum": 0, "maximum": 2147483647},
    "address_scope_id": {"anyOf": [UUID, {"type": "null"}]},
    "is_default": FLAG,
}
POOL_CREATE = one_or_many("subnetpool", {**_POOL, **_OWNER, "shared": FLAG}, ("name", "prefixes"))
POOL_UPDATE = one("subnetpool", _POOL)
_SCOPE: Properties = {"name": TEXT, "shared": FLAG}
SCOPE_CREATE = one_or_many(
    "address_scope", {**_SCOPE, **_OWNER, "ip_version": {"enum": [4, 6]}}, ("name", "ip_version")
)
SCOPE_UPDATE = one("address_scope", _SCOPE)
TAGS = _object({"tags": {"type": "array", "maxItems": 100, "items": TEXT}}, ("tags",))
RBAC_CREATE = _object(
    {
        "rbac_policy": _object(
            {
                **_OWNER,
                "object_type": TEXT,
                "object_id": UUID,
                "action": TEXT,
                "target_tenant": {"type": "string", "maxLength": 36},
            },
            ("object_type", "object_id", "action", "target_tenant"),
        )
    },
    ("rbac_policy",),
)
RBAC_UPDATE = _object(
    {
        "rbac_policy": _object(
            {"target_tenant": {"type": "string", "maxLength": 36}}, ("target_tenant",)
        )
    },
    ("rbac_policy",),
)
AGENT_UPDATE = one(
    "agent", {"admin_state_up": FLAG, "description": {"type": ["string", "null"], "maxLength": 255}}
)
_LIMIT: Schema = {"type": "integer", "minimum": -1, "maximum": 2147483647}
QUOTA_UPDATE = one(
    "quota", {**dict.fromkeys(NETWORK_QUOTAS, _LIMIT), "force": FLAG, "check_limit": FLAG}
)

_GROUP: Properties = {"name": TEXT, "description": TEXT, "stateful": {"type": "boolean"}}
GROUP_CREATE = one_or_many("security_group", {**_GROUP, **_OWNER}, ("name",))
GROUP_UPDATE = one("security_group", _GROUP)

# Numbers also as text, which Neutron takes and older clients send.
_PORT_NUMBER: Schema = {
    "type": ["integer", "string", "null"],
    "minimum": 0,
    "maximum": 65535,
    "pattern": r"\A[0-9]{1,5}\Z",
}
RULE_CREATE = one_or_many(
    "security_group_rule",
    {
        **_OWNER,
        "security_group_id": UUID,
        "direction": {"enum": ["ingress", "egress"]},
        "ethertype": {"enum": ["IPv4", "IPv6"]},
        "protocol": {
            "type": ["string", "integer", "null"],
            "maxLength": 32,
            "minimum": 0,
            "maximum": 255,
        },
        "port_range_min": _PORT_NUMBER,
        "port_range_max": _PORT_NUMBER,
        "remote_ip_prefix": {"type": ["string", "null"], "maxLength": 64},
        "remote_group_id": {"anyOf": [UUID, {"type": "null"}]},
        "remote_address_group_id": {"type": "null"},
        "description": TEXT,
    },
    ("security_group_id", "direction"),
)
