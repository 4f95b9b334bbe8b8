"""Bodies of routers and floating IPs."""

from controller.api.network.schemas import (
    ADDRESS,
    FLAG,
    PROJECT,
    TEXT,
    UUID,
    Properties,
    Schema,
    one,
    one_or_many,
)

_OWNER: Properties = {"project_id": PROJECT, "tenant_id": PROJECT}
# As many of an interface as one needs, and a fixed bound for what is looked up.
_ROUTES: Schema = {
    "type": "array",
    "maxItems": 100,
    "items": {
        "type": "object",
        "properties": {"destination": ADDRESS, "nexthop": ADDRESS},
        "required": ["destination", "nexthop"],
        "additionalProperties": False,
    },
}
_GATEWAY: Schema = {
    "type": ["object", "null"],
    "properties": {
        "network_id": UUID,
        "enable_snat": FLAG,
        "external_fixed_ips": {
            "type": "array",
            "maxItems": 5,
            "items": {
                "type": "object",
                "properties": {"subnet_id": UUID, "ip_address": ADDRESS},
                "additionalProperties": False,
                "minProperties": 1,
            },
        },
    },
    # An empty one takes the gateway away.
    "dependentRequired": {"enable_snat": ["network_id"], "external_fixed_ips": ["network_id"]},
    "additionalProperties": False,
}
_FLAG_OR_NULL: Schema = {"type": ["boolean", "null"]}
_ROUTER: Properties = {
    "name": TEXT,
    "description": TEXT,
    "admin_state_up": FLAG,
    "external_gateway_info": _GATEWAY,
    "distributed": _FLAG_OR_NULL,
    "ha": _FLAG_OR_NULL,
}
ROUTER_CREATE = one_or_many(
    "router",
    {
        **_ROUTER,
        **_OWNER,
        "availability_zone_hints": {"type": "array", "maxItems": 0},
        "flavor_id": {"type": "null"},
    },
)
ROUTER_UPDATE = one("router", {**_ROUTER, "routes": _ROUTES})
EXTRA_ROUTES: Schema = {
    "type": "object",
    "properties": {
        "router": {
            "type": "object",
            "properties": {"routes": _ROUTES},
            "required": ["routes"],
            "additionalProperties": False,
        }
    },
    "required": ["router"],
    "additionalProperties": False,
}
INTERFACE: Schema = {
    "type": "object",
    "properties": {"subnet_id": UUID, "port_id": UUID},
    "additionalProperties": False,
}
_UUID_OR_NULL: Schema = {"anyOf": [UUID, {"type": "null"}]}
_ADDRESS_OR_NULL: Schema = {"type": ["string", "null"], "maxLength": 64}
_FLOATING_IP: Properties = {
    "description": TEXT,
    "port_id": _UUID_OR_NULL,
    "fixed_ip_address": _ADDRESS_OR_NULL,
}
FLOATING_IP_CREATE = one_or_many(
    "floatingip",
    {
        **_FLOATING_IP,
        **_OWNER,
        "floating_network_id": UUID,
        "floating_ip_address": _ADDRESS_OR_NULL,
        "subnet_id": _UUID_OR_NULL,
        # Nothing gives a floating IP a name yet; clients send these empty.
        "dns_name": {"enum": [""]},
        "dns_domain": {"enum": [""]},
        "qos_policy_id": {"type": "null"},
    },
    ("floating_network_id",),
)
FLOATING_IP_UPDATE = one("floatingip", {**_FLOATING_IP, "qos_policy_id": {"type": "null"}})
