"""Network v2.0 in one table."""

from flask import Blueprint

from controller.api.common.calls import Route, Services, build_blueprint
from controller.api.network import (
    agents,
    auto_topologies,
    discovery,
    floating_ips,
    networks,
    ports,
    quotas,
    router_schemas,
    routers,
    schemas,
    subnets,
    tags,
)
from controller.api.network import rbac_policies as rbac
from controller.api.network import security_groups as groups
from controller.api.network import subnet_pools as pools
from controller.api.network.dialect import NetworkDialect

NETWORKS, SUBNETS, PORTS = "/v2.0/networks", "/v2.0/subnets", "/v2.0/ports"
NETWORK, SUBNET, PORT = f"{NETWORKS}/<network_id>", f"{SUBNETS}/<subnet_id>", f"{PORTS}/<port_id>"
GROUPS, RULES = "/v2.0/security-groups", "/v2.0/security-group-rules"
GROUP, RULE = f"{GROUPS}/<group_id>", f"{RULES}/<rule_id>"
ROUTERS, ROUTER = "/v2.0/routers", "/v2.0/routers/<router_id>"
FLOATING_IPS, FLOATING_IP = "/v2.0/floatingips", "/v2.0/floatingips/<floating_ip_id>"
QUOTA = "/v2.0/quotas/<project_id>"
TOPOLOGY = "/v2.0/auto-allocated-topology/<project_id>"
AGENT = "/v2.0/agents/<agent_id>"
RBAC_POLICIES, RBAC_POLICY = "/v2.0/rbac-policies", "/v2.0/rbac-policies/<policy_id>"
POOLS, POOL = "/v2.0/subnetpools", "/v2.0/subnetpools/<pool_id>"
SCOPES, SCOPE = "/v2.0/address-scopes", "/v2.0/address-scopes/<scope_id>"
TAGS, TAG = "/v2.0/<noun>/<resource_id>/tags", "/v2.0/<noun>/<resource_id>/tags/<tag>"

# Writes name the rule to read here, without which nothing is there for the caller at all; who may
# write is asked by the handler, which knows whose resource it is.
ROUTES = [
    Route("GET", "/", discovery.list_versions, None),
    Route("GET", "/v2.0", discovery.show_version, None),
    Route("GET", "/v2.0/extensions", discovery.list_extensions, None),
    Route("GET", "/v2.0/extensions/<alias>", discovery.show_extension, None),
    Route("GET", NETWORKS, networks.list_networks, "get_network"),
    Route("POST", NETWORKS, networks.create_networks, "get_network", schemas.NETWORK_CREATE),
    Route("GET", NETWORK, networks.show_network, "get_network"),
    Route("PUT", NETWORK, networks.update_network, "get_network", schemas.NETWORK_UPDATE),
    Route("DELETE", NETWORK, networks.delete_network, "get_network"),
    Route("GET", SUBNETS, subnets.list_subnets, "get_subnet"),
    Route("POST", SUBNETS, subnets.create_subnets, "get_subnet", schemas.SUBNET_CREATE),
    Route("GET", SUBNET, subnets.show_subnet, "get_subnet"),
    Route("PUT", SUBNET, subnets.update_subnet, "get_subnet", schemas.SUBNET_UPDATE),
    Route("DELETE", SUBNET, subnets.delete_subnet, "get_subnet"),
    Route("GET", PORTS, ports.list_ports, "get_port"),
    Route("POST", PORTS, ports.create_ports, "get_port", schemas.PORT_CREATE),
    Route("GET", PORT, ports.show_port, "get_port"),
    Route("PUT", PORT, ports.update_port, "get_port", schemas.PORT_UPDATE),
    Route("DELETE", PORT, ports.delete_port, "get_port"),
    Route("GET", GROUPS, groups.list_groups, "get_security_group"),
    Route("POST", GROUPS, groups.create_groups, "get_security_group", schemas.GROUP_CREATE),
    Route("GET", GROUP, groups.show_group, "get_security_group"),
    Route("PUT", GROUP, groups.update_group, "get_security_group", schemas.GROUP_UPDATE),
    Route("DELETE", GROUP, groups.delete_group, "get_security_group"),
    Route("GET", RULES, groups.list_rules, "get_security_group_rule"),
    Route("POST", RULES, groups.create_rules, "get_security_group_rule", schemas.RULE_CREATE),
    Route("GET", RULE, groups.show_rule, "get_security_group_rule"),
    Route("DELETE", RULE, groups.delete_rule, "get_security_group_rule"),
    Route("GET", ROUTERS, routers.list_routers, "get_router"),
    Route("POST", ROUTERS, routers.create_routers, "get_router", router_schemas.ROUTER_CREATE),
    Route("GET", ROUTER, routers.show_router, "get_router"),
    Route("PUT", ROUTER, routers.update_router, "get_router", router_schemas.ROUTER_UPDATE),
    Route("DELETE", ROUTER, routers.delete_router, "get_router"),
    Route("PUT", f"{ROUTER}/add_router_interface", routers.add_interface, "get_router", router_schemas.INTERFACE),  # noqa: E501 -- a row of the table
    Route("PUT", f"{ROUTER}/remove_router_interface", routers.remove_interface, "get_router", router_schemas.INTERFACE),  # noqa: E501
    Route("PUT", f"{ROUTER}/add_extraroutes", routers.add_routes, "get_router", router_schemas.EXTRA_ROUTES),  # noqa: E501
    Route("PUT", f"{ROUTER}/remove_extraroutes", routers.remove_routes, "get_router", router_schemas.EXTRA_ROUTES),  # noqa: E501
    Route("GET", FLOATING_IPS, floating_ips.list_floating_ips, "get_floatingip"),
    Route("POST", FLOATING_IPS, floating_ips.create_floating_ips, "get_floatingip", router_schemas.FLOATING_IP_CREATE),  # noqa: E501
    Route("GET", FLOATING_IP, floating_ips.show_floating_ip, "get_floatingip"),
    Route("PUT", FLOATING_IP, floating_ips.update_floating_ip, "get_floatingip", router_schemas.FLOATING_IP_UPDATE),  # noqa: E501
    Route("DELETE", FLOATING_IP, floating_ips.delete_floating_ip, "get_floatingip"),
    Route("GET", "/v2.0/quotas", quotas.list_quotas, "get_quota"),
    Route("GET", QUOTA, quotas.show_quota, "get_quota"),
    Route("GET", f"{QUOTA}/default", quotas.show_default_quota, "get_quota"),
    Route("GET", f"{QUOTA}/details", quotas.show_quota_details, "get_quota"),
    Route("GET", "/v2.0/availability_zones", quotas.list_zones, "get_availability_zone"),
    Route("PUT", QUOTA, quotas.update_quota, "get_quota", schemas.QUOTA_UPDATE),
    Route("DELETE", QUOTA, quotas.delete_quota, "get_quota"),
    Route("GET", "/v2.0/agents", agents.list_agents, "get_agent"),
    Route("GET", AGENT, agents.show_agent, "get_agent"),
    Route("PUT", AGENT, agents.update_agent, "update_agent", schemas.AGENT_UPDATE),
    Route("DELETE", AGENT, agents.delete_agent, "delete_agent"),
    Route("GET", POOLS, pools.list_pools, "get_subnetpool"),
    Route("POST", POOLS, pools.create_pools, "get_subnetpool", schemas.POOL_CREATE),
    Route("GET", POOL, pools.show_pool, "get_subnetpool"),
    Route("PUT", POOL, pools.update_pool, "get_subnetpool", schemas.POOL_UPDATE),
    Route("DELETE", POOL, pools.delete_pool, "get_subnetpool"),
    Route("GET", SCOPES, pools.list_scopes, "get_address_scope"),
    Route("POST", SCOPES, pools.create_scopes, "get_address_scope", schemas.SCOPE_CREATE),
    Route("GET", SCOPE, pools.show_scope, "get_address_scope"),
    Route("PUT", SCOPE, pools.update_scope, "get_address_scope", schemas.SCOPE_UPDATE),
    Route("DELETE", SCOPE, pools.delete_scope, "get_address_scope"),
    Route("GET", TOPOLOGY, auto_topologies.show_topology, "get_auto_allocated_topology", transaction="write"),  # noqa: E501 -- a row of the table
    Route("DELETE", TOPOLOGY, auto_topologies.delete_topology, "get_auto_allocated_topology"),
    Route("GET", RBAC_POLICIES, rbac.list_policies, "get_rbac_policy"),
    Route("POST", RBAC_POLICIES, rbac.create_policy, "get_rbac_policy", schemas.RBAC_CREATE),
    Route("GET", RBAC_POLICY, rbac.show_policy, "get_rbac_policy"),
    Route("PUT", RBAC_POLICY, rbac.update_policy, "get_rbac_policy", schemas.RBAC_UPDATE),
    Route("DELETE", RBAC_POLICY, rbac.delete_policy, "get_rbac_policy"),
    Route("GET", TAGS, tags.list_tags, "get_tags"),
    Route("PUT", TAGS, tags.replace_tags, "get_tags", schemas.TAGS),
    Route("POST", TAGS, tags.add_tags, "get_tags", schemas.TAGS),
    Route("DELETE", TAGS, tags.remove_tags, "get_tags"),
    Route("GET", TAG, tags.check_tag, "get_tags"),
    Route("PUT", TAG, tags.add_tag, "get_tags"),
    Route("DELETE", TAG, tags.remove_tag, "get_tags"),
]  # fmt: skip

NOT_BUILT = [
    ("GET,POST", f"{FLOATING_IP}/port_forwardings"),
    ("GET,PUT,DELETE", f"{FLOATING_IP}/port_forwardings/<forwarding_id>"),
]


def blueprint(services: Services, prefix: str) -> Blueprint:
    """Return Network v2.0 below `prefix`."""
    dialect = NetworkDialect(lambda: services.settings)
    return build_blueprint(dialect, ROUTES, services, prefix, NOT_BUILT)
