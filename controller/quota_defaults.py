"""What every project may have unless it is said otherwise: the names and values of upstream.

By API, as each counts its own. The setting `default_quota` overrides any, so its names are these.
"""

UNLIMITED = -1
# Nova's; `ram` is in MiB.
COMPUTE: dict[str, int] = {
    "instances": 10,
    "cores": 20,
    "ram": 50 * 1024,
    "metadata_items": 128,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
    "injected_files": 5,
    "injected_file_content_bytes": 10 * 1024,
    "injected_file_path_bytes": 255,
    "fixed_ips": UNLIMITED,
    "floating_ips": UNLIMITED,
    "security_groups": UNLIMITED,
    "security_group_rules": UNLIMITED,
}
# Neutron's.
NETWORK: dict[str, int] = {
    "network": 100,
    "subnet": 100,
    "port": 500,
    "router": 10,
    "floatingip": 50,
    "security_group": 10,
    "security_group_rule": 100,
    "subnetpool": UNLIMITED,
    "rbac_policy": 10,
}
# Glance's unified limits; the size is in MiB.
IMAGE: dict[str, int] = {"image_size_total": 100 * 1024, "image_count_total": 1000}

NAMES = frozenset({*COMPUTE, *NETWORK, *IMAGE})
