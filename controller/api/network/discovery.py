"""What clients ask before anything else: versions, and which extensions there are."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.core.network_faults import ExtensionNotFound

PREFIX = "/network"
COLLECTIONS = {
    "network": "networks",
    "subnet": "subnets",
    "port": "ports",
    "router": "routers",
    "floatingip": "floatingips",
    "security_group": "security-groups",
    "security_group_rule": "security-group-rules",
    "subnetpool": "subnetpools",
    "address_scope": "address-scopes",
    "rbac_policy": "rbac-policies",
    "agent": "agents",
    "auto_allocated_topology": "auto-allocated-topology",
}
UPDATED = "2026-01-01T00:00:00-00:00"
# Only what this release does: clients decide by these what to ask for.
EXTENSIONS = {
    "address-scope": ("Address scope", "What addresses of subnet pools are unique in"),
    "agent": ("agent", "The hosts, as clients know agents"),
    "allowed-address-pairs": ("Allowed Address Pairs", "More addresses that a port may use"),
    "auto-allocated-topology": ("Auto Allocated Topology Services", "Get me a network"),
    "availability_zone": ("Availability Zone", "The availability zones of networks"),
    "binding": ("Port Binding", "Where a port is bound, for operators"),
    "default-subnetpools": ("Default Subnetpools", "A pool for subnets that name none"),
    "dns-integration": ("DNS Integration", "Ports have names"),
    "dvr": ("Distributed Virtual Router", "Routers on the hosts of their servers"),
    "empty-string-filtering": ("Empty String Filtering", "Filters by an empty text"),
    "ext-gw-mode": ("Neutron L3 Configurable external gateway mode", "SNAT can be turned off"),
    "external-net": ("Neutron external network", "Networks that lead outside"),
    "extra_dhcp_opt": ("Neutron Extra DHCP options", "Options that a port's guest is told"),
    "extraroute": ("Neutron Extra Route", "More routes of a router"),
    "extraroute-atomic": ("Atomically add/remove extra routes", "Routes added without the others"),
    "filter-validation": ("Filter parameters validation", "Unknown filters are refused"),
    "fip-port-details": ("Floating IP Port Details Extension", "A floating IP shows its port"),
    "ip-substring-filtering": ("IP address substring filtering", "Filters by part of an address"),
    "net-mtu": ("Network MTU", "The MTU of a network"),
    "net-mtu-writable": ("Network MTU (writable)", "The MTU of a network can be chosen"),
    "pagination": ("Pagination support", "Lists in pages, with links"),
    "port-security": ("Port Security", "Filtering can be turned off for a port"),
    "project-id": ("project_id field enabled", "Resources name their project_id"),
    "provider": ("Provider Network", "What a network stands on, for operators"),
    "quota_details": ("Quota details management support", "What is used of a quota"),
    "quotas": ("Quota management support", "What a project may have"),
    "quota-check-limit": ("Quota check limit", "A quota below what is used is refused if asked"),
    "rbac-policies": ("RBAC Policies", "Networks that are shared with some projects"),
    "router": ("Neutron L3 Router", "Routers and floating IPs"),
    "security-group": ("security-group", "Groups of rules that filter ports"),
    "security-groups-normalized-cidr": ("Normalized CIDR field", "A rule's prefix in plain form"),
    "security-groups-shared-filtering": ("Security group filtering", "Filters by shared"),
    "sorting": ("Sorting support", "Lists in the order that is asked for"),
    "standard-attr-description": ("standard-attr-description", "Resources have a description"),
    "standard-attr-revisions": ("Resource revision numbers", "A number that rises with changes"),
    "standard-attr-tag": ("Tag support for resources", "Words to find resources by"),
    "subnet_allocation": ("Subnet Allocation", "Subnets are cut from pools"),
    "standard-attr-timestamp": ("Resource timestamps", "When resources were made and changed"),
}


def list_versions(call: Call) -> Reply:
    version = {
        "id": "v2.0",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{call.root}{PREFIX}/v2.0/"}],
    }
    return Reply({"versions": [version]})


def show_version(call: Call) -> Reply:
    """Answer with what there is below v2.0, as Neutron does."""
    resources = [
        {
            "name": name,
            "collection": collection,
            "links": [{"rel": "self", "href": f"{call.root}{PREFIX}/v2.0/{collection}"}],
        }
        for name, collection in COLLECTIONS.items()
    ]
    return Reply({"resources": resources})


def list_extensions(_call: Call) -> Reply:
    return Reply({"extensions": [_extension(alias) for alias in EXTENSIONS]})


def show_extension(_call: Call, alias: str) -> Reply:
    if alias not in EXTENSIONS:
        raise ExtensionNotFound(
            f"Extension with alias {alias} does not exist. GET /v2.0/extensions lists those there."
        )
    return Reply({"extension": _extension(alias)})


def _extension(alias: str) -> dict[str, Any]:
    name, description = EXTENSIONS[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "updated": UPDATED,
        "links": [],
    }
