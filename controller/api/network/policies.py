"""Who may do what in Network: Neutron's rule names, and what its defaults say.

A rule of the form `action_noun:attribute` is asked when a request sets that attribute, or for
`get_` when a reply would show it.
"""

from collections.abc import Mapping
from typing import Any

from controller.api.common.calls import Call
from controller.api.common.policy import ADMIN, MEMBER, READER, Rule

# The target of a port's rules has its network's project beside its own.
NET_OWNER = "rule:is_admin or (role:member and project_id:%(network:project_id)s)"
NET_OWNER_OR_SHARED = f"{NET_OWNER} or True:%(network:shared)s"
PORT_OR_NET_OWNER = f"{NET_OWNER} or (role:member and project_id:%(project_id)s)"

PROVIDER = (
    "provider:network_type",
    "provider:physical_network",
    "provider:segmentation_id",
    "network_driver",
)
BINDING = ("binding:host_id", "binding:profile", "binding:vif_details", "binding:vif_type")
# Values that anybody may write, since they change nothing.
DEFAULTS: dict[str, Any] = {"shared": False, "router:external": False, "is_default": False}

RULES = [
    Rule("get_network", READER),
    Rule("create_network", MEMBER),
    Rule("update_network", MEMBER),
    Rule("delete_network", MEMBER),
    *(
        Rule(f"{action}_network:{attribute}", ADMIN)
        for action in ("create", "update")
        for attribute in ("shared", "router:external", "is_default", *PROVIDER)
    ),
    *(Rule(f"get_network:{attribute}", ADMIN) for attribute in PROVIDER),
    Rule("get_subnet", READER),
    Rule("create_subnet", NET_OWNER),
    Rule("update_subnet", PORT_OR_NET_OWNER),
    Rule("delete_subnet", PORT_OR_NET_OWNER),
    Rule("get_port", READER),
    Rule("create_port", MEMBER),
    Rule("update_port", MEMBER),
    Rule("delete_port", PORT_OR_NET_OWNER),
    *(
        Rule(f"{action}_port:{attribute}", NET_OWNER)
        for action in ("create", "update")
        for attribute in (
            "mac_address",
            "port_security_enabled",
            "allowed_address_pairs",
            "fixed_ips:ip_address",
        )
    ),
    Rule("create_port:fixed_ips:subnet_id", NET_OWNER_OR_SHARED),
    Rule("update_port:fixed_ips:subnet_id", NET_OWNER_OR_SHARED),
    # For owners that mean something to the cloud itself: network:... and compute:...
    Rule("create_port:device_owner", ADMIN),
    Rule("update_port:device_owner", ADMIN),
    *(Rule(f"get_port:{attribute}", ADMIN) for attribute in BINDING),
    Rule("get_security_group", READER),
    Rule("create_security_group", MEMBER),
    Rule("update_security_group", MEMBER),
    Rule("delete_security_group", MEMBER),
    Rule("get_security_group_rule", READER),
    Rule("create_security_group_rule", MEMBER),
    Rule("delete_security_group_rule", MEMBER),
    *(
        Rule(f"{action}_{noun}", READER if action == "get" else MEMBER)
        for noun in ("subnetpool", "address_scope")
        for action in ("get", "create", "update", "delete")
    ),
    Rule("create_subnetpool:shared", ADMIN),
    Rule("create_subnetpool:is_default", ADMIN),
    Rule("update_subnetpool:is_default", ADMIN),
    Rule("create_address_scope:shared", ADMIN),
    Rule("update_address_scope:shared", ADMIN),
    Rule("get_rbac_policy", READER),
    *(Rule(f"{action}_rbac_policy", MEMBER) for action in ("create", "update", "delete")),
    # To all projects, or as a way out: for operators.
    *(Rule(f"{action}_rbac_policy:target_tenant", ADMIN) for action in ("create", "update")),
    Rule("get_tags", READER),
    Rule("get_router", READER),
    *(
        Rule(f"{action}_router{attribute}", rule)
        for action in ("create", "update")
        for attribute, rule in (
            ("", MEMBER),
            (":external_gateway_info", MEMBER),
            (":external_gateway_info:network_id", MEMBER),
            (":external_gateway_info:enable_snat", ADMIN),
            (":external_gateway_info:external_fixed_ips", ADMIN),
            (":distributed", ADMIN),
            (":ha", ADMIN),
        )
    ),
    Rule("get_router:distributed", ADMIN),
    Rule("get_router:ha", ADMIN),
    Rule("delete_router", MEMBER),
    Rule("add_router_interface", MEMBER),
    Rule("remove_router_interface", MEMBER),
    Rule("add_extraroutes", MEMBER),
    Rule("remove_extraroutes", MEMBER),
    Rule("get_floatingip", READER),
    Rule("create_floatingip", MEMBER),
    Rule("create_floatingip:floating_ip_address", ADMIN),
    Rule("update_floatingip", MEMBER),
    Rule("delete_floatingip", MEMBER),
    Rule("get_auto_allocated_topology", READER),
    Rule("delete_auto_allocated_topology", MEMBER),
    Rule("get_quota", READER),
    Rule("update_quota", ADMIN),
    Rule("delete_quota", ADMIN),
    Rule("get_agent", ADMIN),
    Rule("update_agent", ADMIN),
    Rule("delete_agent", ADMIN),
    Rule("get_availability_zone", "@"),
]
NAMES = frozenset(rule.name for rule in RULES)


def authorize_attributes(
    call: Call, action: str, wanted: Mapping[str, Any], target: Mapping[str, Any]
) -> None:
    """Refuse with Forbidden what `wanted` sets and this caller may not, as `create_port` has it."""
    for name, value in wanted.items():
        rule = f"{action}:{name}"
        if rule in NAMES and not (action.startswith("create") and value == DEFAULTS.get(name)):
            call.authorize(rule, target)
