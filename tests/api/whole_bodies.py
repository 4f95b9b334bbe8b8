"""A body of each write that has nothing wrong with its form, to be spoilt place by place."""

from typing import Any

NOWHERE = "11111111-2222-4333-8444-555555555555"


def whole_bodies() -> dict[tuple[str, str], Any]:
    """Return the body by (method, path)."""
    # No password that is right in form: each would be verified, or made a hash of, with its cost.
    user = {"name": "u", "domain": {"id": "default"}, "password": 7}
    log_in = {"methods": ["token"], "password": {"user": user}, "token": {"id": "x"}}
    v2, v3, v21 = "/network/v2.0", "/identity/v3", "/compute/v2.1"
    return _of_routing(v2) | _of_sharing(v2) | {
        ("POST", f"{v3}/auth/tokens"): {
            "auth": {"identity": log_in, "scope": {"project": {"id": "x"}}}
        },
        ("POST", f"{v3}/projects"): {
            "project": {"name": "p", "domain_id": "default", "description": "", "enabled": True,
                        "parent_id": "default", "tags": [], "options": {}, "is_domain": False}
        },
        ("POST", f"{v3}/users"): {
            "user": {"name": "u", "password": None, "email": "e", "enabled": True,
                     "domain_id": "default", "default_project_id": None, "options": {}}
        },
        ("POST", f"{v3}/domains"): {"domain": {"name": "d", "enabled": True, "description": ""}},
        ("POST", f"{v3}/roles"): {"role": {"name": "r", "description": "", "domain_id": None}},
        ("POST", "/image/v2/images"): {
            "name": "i", "visibility": "private", "disk_format": "raw", "container_format": "bare",
            "min_disk": 1, "min_ram": 1, "protected": False, "os_hidden": False, "tags": ["t"],
            "owner": "x", "id": NOWHERE, "any": "thing",
        },
        ("PATCH", "/image/v2/images/<image_id>"): [
            {"op": "add", "path": "/any", "value": "thing"}
        ],
        ("PUT", "/novella/v1/hosts/<name>/fence"): {"by": "ops", "reason": "unplugged"},
        ("POST", "/novella/v1/hosts/<name>/drain"): {"reason": "new disks"},
        ("POST", "/novella/v1/hosts/<name>/undrain"): {},
        ("POST", f"{v2}/networks"): {
            "network": {"name": "n", "admin_state_up": True, "shared": False, "mtu": 1500,
                        "router:external": False, "provider:network_type": "flat",
                        "provider:physical_network": "p", "provider:segmentation_id": None,
                        "description": "", "project_id": "x", "port_security_enabled": True,
                        "availability_zone_hints": [], "is_default": False}
        },
        ("POST", f"{v2}/subnets"): {
            "subnet": {"name": "s", "network_id": NOWHERE, "cidr": "10.0.0.0/24",
                       "ip_version": 4,
                       "gateway_ip": "10.0.0.1", "enable_dhcp": True,
                       "dns_nameservers": ["1.1.1.1"],
                       "allocation_pools": [{"start": "10.0.0.5", "end": "10.0.0.9"}],
                       "host_routes": [{"destination": "10.1.0.0/24", "nexthop": "10.0.0.7"}],
                       "description": ""}
        },
        ("POST", f"{v2}/ports"): {
            "port": {"name": "p", "network_id": NOWHERE, "admin_state_up": True,
                     "fixed_ips": [{"ip_address": "10.0.0.6", "subnet_id": NOWHERE}],
                     "mac_address": "fa:16:3e:00:00:01", "security_groups": [NOWHERE],
                     "allowed_address_pairs": [{"ip_address": "10.0.0.8"}], "device_id": "x",
                     "device_owner": "x", "port_security_enabled": True, "description": "",
                     "binding:vnic_type": "normal"}
        },
        ("POST", f"{v2}/security-groups"): {"security_group": {"name": "g", "description": ""}},
        ("POST", f"{v2}/security-group-rules"): {
            "security_group_rule": {"security_group_id": NOWHERE, "direction": "ingress",
                                    "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 1,
                                    "port_range_max": 2, "remote_ip_prefix": "10.0.0.0/8",
                                    "remote_group_id": None, "description": ""}
        },
        ("POST", f"{v21}/servers"): {
            "server": {"name": "s", "flavorRef": "1", "imageRef": NOWHERE,
                       "networks": [{"uuid": NOWHERE, "fixed_ip": "10.0.0.5"}], "key_name": "k",
                       "metadata": {"a": "b"}, "security_groups": [{"name": "default"}],
                       "min_count": 1, "max_count": 1, "user_data": "eA==", "config_drive": True,
                       "availability_zone": "nova", "adminPass": "x", "description": "d",
                       "accessIPv4": "10.0.0.1", "accessIPv6": "::1", "hostname": "h",
                       "OS-DCF:diskConfig": "AUTO", "tags": ["t"], "host": "h",
                       "return_reservation_id": True, "block_device_mapping_v2": [],
                       "trusted_image_certificates": ["x"], "hypervisor_hostname": "h"},
            "os:scheduler_hints": {"group": NOWHERE},
        },
        ("PUT", f"{v21}/servers/<server_id>"): {"server": {"name": "s", "description": "d"}},
        ("POST", f"{v21}/servers/<server_id>/action"): {"reboot": {"type": "HARD"}},
        ("POST", f"{v21}/servers/<server_id>/metadata"): {"metadata": {"a": "b"}},
        ("PUT", f"{v21}/servers/<server_id>/metadata"): {"metadata": {"a": "b"}},
        ("PUT", f"{v21}/servers/<server_id>/metadata/<key>"): {"meta": {"a": "b"}},
        ("POST", f"{v21}/flavors"): {
            "flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, "id": "f1", "swap": 0,
                       "OS-FLV-EXT-DATA:ephemeral": 0, "rxtx_factor": 1.0, "description": "d",
                       "os-flavor-access:is_public": True}
        },
        ("PUT", f"{v21}/flavors/<flavor_id>"): {"flavor": {"description": "d"}},
        ("POST", f"{v21}/flavors/<flavor_id>/os-extra_specs"): {"extra_specs": {"a": "b"}},
        ("PUT", f"{v21}/flavors/<flavor_id>/os-extra_specs/<key>"): {"a": "b"},
        ("POST", f"{v21}/os-keypairs"): {
            "keypair": {"name": "k", "public_key": "ssh-ed25519 AAAA", "type": "ssh",
                        "user_id": "x"}
        },
        ("PUT", f"{v21}/os-quota-sets/<project_id>"): {
            "quota_set": {"instances": 1, "cores": 1, "ram": 1, "key_pairs": 1,
                          "metadata_items": 1, "server_groups": 1, "server_group_members": 1,
                          "force": True}
        },
        ("PUT", f"{v21}/os-services/<service_id>"): {
            "status": "disabled", "disabled_reason": "x", "forced_down": True
        },
    }  # fmt: skip


def _of_routing(v2: str) -> dict[tuple[str, str], Any]:
    router = {
        "name": "r",
        "description": "",
        "admin_state_up": True,
        "distributed": True,
        "ha": False,
        "external_gateway_info": {
            "network_id": NOWHERE,
            "enable_snat": True,
            "external_fixed_ips": [{"subnet_id": NOWHERE, "ip_address": "10.0.0.5"}],
        },
    }
    routes = [{"destination": "10.1.0.0/16", "nexthop": "10.0.0.9"}]
    floating_ip = {
        "port_id": NOWHERE,
        "fixed_ip_address": "10.0.0.5",
        "description": "",
        "qos_policy_id": None,
    }
    path = f"{v2}/routers/<router_id>"
    return {
        ("POST", f"{v2}/routers"): {
            "router": {**router, "external_gateway_info": None, "project_id": "x",
                       "availability_zone_hints": [], "flavor_id": None}
        },
        ("PUT", path): {"router": {**router, "routes": routes}},
        **{
            ("PUT", f"{path}/{action}_router_interface"): {"subnet_id": NOWHERE}
            for action in ("add", "remove")
        },
        **{
            ("PUT", f"{path}/{action}_extraroutes"): {"router": {"routes": routes}}
            for action in ("add", "remove")
        },
        ("POST", f"{v2}/floatingips"): {
            "floatingip": {**floating_ip, "floating_network_id": NOWHERE, "project_id": "x",
                           "floating_ip_address": "10.0.0.6", "subnet_id": NOWHERE,
                           "dns_name": "", "dns_domain": ""}
        },
        ("PUT", f"{v2}/floatingips/<floating_ip_id>"): {"floatingip": floating_ip},
    }  # fmt: skip


def _of_sharing(v2: str) -> dict[tuple[str, str], Any]:
    pool = {
        "name": "p",
        "description": "",
        "prefixes": ["10.0.0.0/16"],
        "default_prefixlen": 26,
        "min_prefixlen": 8,
        "max_prefixlen": 32,
        "default_quota": None,
        "address_scope_id": None,
        "is_default": False,
    }
    policy = {
        "object_type": "network",
        "object_id": NOWHERE,
        "action": "access_as_shared",
        "target_tenant": "x",
        "project_id": "x",
    }
    tags = {"tags": ["red"]}
    return {
        ("POST", f"{v2}/subnetpools"): {"subnetpool": {**pool, "project_id": "x", "shared": False}},
        ("PUT", f"{v2}/subnetpools/<pool_id>"): {"subnetpool": pool},
        ("POST", f"{v2}/address-scopes"): {
            "address_scope": {"name": "s", "ip_version": 4, "shared": False, "project_id": "x"}
        },
        ("PUT", f"{v2}/address-scopes/<scope_id>"): {"address_scope": {"name": "s"}},
        ("POST", f"{v2}/rbac-policies"): {"rbac_policy": policy},
        ("PUT", f"{v2}/rbac-policies/<policy_id>"): {"rbac_policy": {"target_tenant": "x"}},
        ("PUT", f"{v2}/<noun>/<resource_id>/tags"): tags,
        ("POST", f"{v2}/<noun>/<resource_id>/tags"): tags,
        ("PUT", f"{v2}/quotas/<project_id>"): {
            "quota": {"network": 1, "router": 1, "floatingip": 1, "force": True,
                      "check_limit": True}
        },
        ("PUT", f"{v2}/agents/<agent_id>"): {"agent": {"admin_state_up": True, "description": ""}},
    }  # fmt: skip
