"""What a fresh cloud needs before anybody can boot a server: projects, image, flavors, network.

Made through the cloud's own API with openstacksdk; what is there already is left as it is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack

from lab.cloud import Cloud
from lab.record import load_existing

FLAVORS = (
    # name, vcpus, memory MiB, disk GiB
    ("m1.nano", 1, 128, 1),
    ("m1.tiny", 1, 256, 1),
    ("m1.small", 1, 512, 5),
)
PUBLIC_NETWORK = "public"
TINY_IMAGE = "tiny"


@dataclass(frozen=True)
class Login:
    """One entry of clouds.yaml."""

    username: str
    password: str
    project: str


def write_clouds_yaml(cloud: Cloud, logins: dict[str, Login]) -> None:
    """Write the cloud's clouds.yaml, readable by its owner alone."""
    import yaml

    entries = {
        name: {
            "auth": {
                "auth_url": f"{cloud.url}/identity/v3",
                "username": login.username,
                "password": login.password,
                "project_name": login.project,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": "RegionOne",
            "identity_api_version": "3",
        }
        for name, login in logins.items()
    }
    cloud.clouds_yaml.touch(mode=0o600)
    cloud.clouds_yaml.write_text(yaml.safe_dump({"clouds": entries}, sort_keys=False))


def connect(cloud: Cloud, name: str = "novella") -> Any:
    """Return an openstacksdk connection as the entry `name` of the cloud's clouds.yaml."""
    import yaml

    entry = yaml.safe_load(cloud.clouds_yaml.read_text())["clouds"][name]
    return openstack.connect(load_yaml_config=False, load_envvars=False, **entry)


def make_project(admin: Any, login: Login) -> None:
    """Make a project and a member of it."""
    project = admin.identity.find_project(login.project, ignore_missing=True)
    project = project or admin.identity.create_project(name=login.project, domain_id="default")
    user = admin.identity.find_user(login.username, ignore_missing=True)
    user = user or admin.identity.create_user(
        name=login.username, password=login.password, domain_id="default",
        default_project_id=project.id,
    )  # fmt: skip
    role = admin.identity.find_role("member", ignore_missing=False)
    admin.identity.assign_project_role_to_user(project, user, role)


def make_flavors(admin: Any) -> None:
    """Make the flavors that fit the lab's small hosts."""
    for name, vcpus, memory_mb, disk_gb in FLAVORS:
        if admin.compute.find_flavor(name, ignore_missing=True) is None:
            admin.compute.create_flavor(name=name, vcpus=vcpus, ram=memory_mb, disk=disk_gb)


def upload_image(admin: Any, path: Path, name: str = TINY_IMAGE) -> Any:
    """Upload a qcow2 for everybody; return the image."""
    found = admin.image.find_image(name, ignore_missing=True)
    if found is not None and found.status == "active":
        return found
    # Not `filename`: openstacksdk leaves such a file open.
    with path.open("rb") as data:
        return admin.image.create_image(
            name=name, data=data, disk_format="qcow2", container_format="bare",
            visibility="public", wait=True, hw_qemu_guest_agent="yes",
        )  # fmt: skip


def make_public_network(admin: Any, cloud: Cloud) -> Any:
    """Make the flat network on the hosts' second interface, with the lab's gateway; return it."""
    names = load_existing(cloud.lab_dir).names
    network = admin.network.find_network(PUBLIC_NETWORK, ignore_missing=True)
    if network is None:
        network = admin.network.create_network(
            name=PUBLIC_NETWORK, shared=True, is_router_external=True,
            provider_network_type="flat", provider_physical_network="physnet1",
        )  # fmt: skip
    if not list(admin.network.subnets(network_id=network.id)):
        base = names.external_prefix
        admin.network.create_subnet(
            name=PUBLIC_NETWORK, network_id=network.id, ip_version=4, cidr=f"{base}.0/24",
            gateway_ip=names.external_gateway,
            allocation_pools=[{"start": f"{base}.20", "end": f"{base}.220"}],
        )  # fmt: skip
    return network


def allow_ssh_and_ping(connection: Any) -> None:
    """Open SSH and ICMP in the default security group of the connection's project."""
    group = next(iter(connection.network.security_groups(name="default")))
    present = {
        (rule.protocol, rule.port_range_min)
        for rule in connection.network.security_group_rules(
            security_group_id=group.id, direction="ingress"
        )
    }
    for protocol, port in (("tcp", 22), ("icmp", None)):
        if (protocol, port) not in present:
            connection.network.create_security_group_rule(
                security_group_id=group.id, direction="ingress", ethertype="IPv4",
                protocol=protocol, port_range_min=port, port_range_max=port,
            )  # fmt: skip
