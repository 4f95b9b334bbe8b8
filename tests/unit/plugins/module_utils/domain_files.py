"""What the tests of domains share: a server, and the template rendered as Ansible renders it."""

import copy
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.unit.plugins.module_utils.disk_files import IMAGE_ID, SERVER_ID

TEMPLATE = Path(__file__).resolve().parents[4] / "templates" / "libvirt_domain.xml.j2"
NO_CLOUD = "00000000-0000-0000-0000-000000000000"
# A libvirt that lives in the process of its tests.
URI = "test:///default"
NETWORK_ID = "7c1d9ab0-3f52-4d1e-9a77-2d7b1c0e5f11"
PORT_ID = "9e0c4c52-8d1a-4f0b-8a67-5a1c2b3d4e5f"

SERVER: dict[str, Any] = {
    "id": SERVER_ID,
    "name": "web1",
    "hostname": "web1",
    "project_id": "p1",
    "flavor": {
        "name": "m1.tiny",
        "vcpus": 1,
        "memory_mb": 128,
        "disk_gb": 1,
        "ephemeral_gb": 0,
        "swap_mb": 0,
    },
    "image": {"id": IMAGE_ID, "format": "qcow2", "properties": {}},
    "config_drive": False,
    "guest": {
        "availability_zone": "nova",
        "public_keys": {"mykey": "ssh-ed25519 AAAA"},
        "meta": {"role": "web"},
        "launch_index": 0,
    },
    "networks": [
        {
            "id": NETWORK_ID,
            "name": "public",
            "mtu": 1450,
            "subnets": [
                {
                    "id": "subnet-1",
                    "cidr": "10.91.1.0/24",
                    "gateway_ip": "10.91.1.1",
                    "dhcp_ip": "10.91.1.2",
                    "dns_nameservers": ["10.91.1.3"],
                    "host_routes": [],
                }
            ],
        }
    ],
    "ports": [
        {
            "id": PORT_ID,
            "network_id": NETWORK_ID,
            "mac_address": "fa:16:3e:00:00:01",
            "fixed_ips": [{"subnet_id": "subnet-1", "ip_address": "10.91.1.100"}],
        }
    ],
    "security_groups": [],
}


def server(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(SERVER) | changes


def rendered(a_server: dict[str, Any], **variables: Any) -> str:
    """The domain's XML for `a_server`, out of the template."""
    values = {"server": a_server, "cloud_id": NO_CLOUD, **variables}
    templar = Templar(loader=DataLoader(), variables=values)
    return str(templar.template(trust_as_template(TEMPLATE.read_text())))
