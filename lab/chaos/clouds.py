"""The clouds that chaos stirs: two lab hosts, and one controller or several."""

import secrets
import shutil
from collections.abc import Sequence
from typing import Any

from lab import contents, hosts
from lab.chaos.api import Credentials
from lab.chaos.backing import Backing
from lab.chaos.stream import FLAVORS
from lab.cloud import Cloud
from lab.errors import LabError
from lab.naming import lab_name_of
from lab.progress import step

HOSTS = ("h1", "h2")
# Small, so that filling it takes a moment.
DISK_LIMIT_MB = {"h2": 192}
BLANK_MB = 1
LEASE_S = 10


def controllers_of(cloud: Cloud, count: int) -> list[Cloud]:
    """Return `count` controllers of one cloud, `cloud` the first; none need be there yet."""
    return [cloud, *(Cloud(cloud.directory / f"controller{n}") for n in range(2, count + 1))]


def set_up(controllers: Sequence[Cloud], servers: Backing) -> tuple[Credentials, dict[str, Any]]:
    """Make the cloud anew; return its administrator and the body of a create.

    The first of `controllers` has the lab. All share the first one's keys, SSH key and images, and
    have processes, ports and a state folder of their own. Raises LabError.
    """
    if len(controllers) > 1 and (servers.database is None or servers.broker is None):
        raise LabError(
            "Several controllers need one database and one broker that all reach: add --database "
            "postgresql --queue rabbitmq."
        )
    first, *others = controllers
    name = lab_name_of("c", first.directory)
    for cloud in controllers:
        cloud.stop_controller(kill=True)
    hosts.down(first.lab_dir, name=name, purge=True)
    shutil.rmtree(first.directory, ignore_errors=True)
    password = secrets.token_urlsafe(12)
    with step(f"make a cloud of two hosts and {len(controllers)} controllers"):
        _configure(first, servers, name)
        first.start_lab(HOSTS, name=name, disk_limit_mb=DISK_LIMIT_MB)
        first.prepare_database(password)
        login = contents.Login("admin", password, "admin")
        contents.write_clouds_yaml(first, {"admin": login})
        first.start_controller()
        state = first.directory.absolute() / "controller"
        for number, cloud in enumerate(others, 2):
            shared = {f"{each}_dir": str(state / each) for each in ("keys", "ssh", "images")}
            # Its port is one that no controller before it has: they listen by now.
            _configure(cloud, servers, f"{name}-{number}", **shared)
            cloud.start_controller()
        for host in HOSTS:
            first.enroll(host)
        create = blank_server(first, "admin", routed=True)
    return Credentials(login.username, login.password, login.project), create


def _configure(cloud: Cloud, servers: Backing, name: str, **shared: str) -> None:
    cloud.configure(
        lease_s=LEASE_S, heartbeat_s=10, retry_backoff_s=2,
        # One of its own, for SSH connections are found by it; short, for their sockets lie there.
        runs_dir=f"/dev/shm/{name}",  # noqa: S108 -- made 0700 by the runner
        **servers.settings(), **shared,
    )  # fmt: skip


def take_down(controllers: Sequence[Cloud]) -> None:
    """Stop all controllers, take the lab down and remove the hosts' disks."""
    first, *others = controllers
    for cloud in others:
        cloud.stop_controller()
    first.destroy()


def blank_server(cloud: Cloud, login: str, *, routed: bool = False) -> dict[str, Any]:
    """Make what servers that load no CPU are made of, and return the body of a create.

    Their disk is blank, so they sit in their firmware; no ACPI answers there, so the image says
    that a guest is given a second to shut down. With `routed` they have a card in a network between
    the hosts, behind a router.
    """
    admin = contents.connect(cloud, login)
    try:
        blank = cloud.directory / "blank.raw"
        blank.write_bytes(bytes(BLANK_MB << 20))
        image = admin.image.find_image("blank", ignore_missing=True)
        if image is None:
            with blank.open("rb") as data:
                image = admin.image.create_image(
                    name="blank", data=data, disk_format="raw", container_format="bare",
                    visibility="public", wait=True, os_shutdown_timeout="1",
                )  # fmt: skip
        for name, memory_mb in FLAVORS.items():
            if admin.compute.find_flavor(name, ignore_missing=True) is None:
                admin.compute.create_flavor(name=name, vcpus=1, ram=memory_mb, disk=0)
        flavor = admin.compute.find_flavor(next(iter(FLAVORS)), ignore_missing=False)
        network = contents.make_public_network(admin, cloud)
        if routed:
            network = _behind_a_router(admin, network)
        return {"imageRef": image.id, "flavorRef": flavor.id, "networks": [{"uuid": network.id}]}
    finally:
        admin.close()


def _behind_a_router(admin: Any, outside: Any) -> Any:
    """Return a new overlay network whose router leads to the network `outside`."""
    network = admin.network.create_network(name="overlay")
    subnet = admin.network.create_subnet(network_id=network.id, cidr="10.77.0.0/22", ip_version=4)
    gateway = {"network_id": outside.id}
    router = admin.network.create_router(name="overlay", external_gateway_info=gateway)
    admin.network.add_interface_to_router(router, subnet_id=subnet.id)
    return network
