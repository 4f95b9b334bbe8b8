"""`GET /servers/detail` with 1 and with 1,000 servers: its time over HTTP, and its SQL statements.

The rows are written straight into the database of a controller that has no hosts; what is measured
is reading them.
"""

import time
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert, select

from bench.report import Report
from controller.app import build_app, build_services
from controller.db.base import new_id, utcnow
from controller.db.models import IPAllocation, Network, Port, Project, Server, Subnet, User
from controller.db.session import Database
from controller.settings import load
from lab import contents
from lab.cloud import Cloud

ROUNDS = 15


def measure(directory: Path, report: Report, password: str) -> None:
    """Add the figures of the list to `report`, from a cloud of its own in `directory`."""
    cloud = Cloud(directory)
    cloud.configure()
    cloud.prepare_database(password)
    contents.write_clouds_yaml(cloud, {"novella": contents.Login("admin", password, "admin")})
    cloud.start_controller()
    try:
        fill = _Filler(cloud)
        for count in (1, 1000):
            fill.up_to(count)
            report.add(f"GET /servers/detail, {count} servers", "ms", _times(cloud, count))
            report.add(f"its SQL statements, {count} servers", "", [_statements(cloud)])
        report.add("token issued", "ms", _token_times(cloud))
    finally:
        cloud.stop_controller()


class _Filler:
    """Writes servers with a port and an address each, as creates would have."""

    def __init__(self, cloud: Cloud) -> None:
        self.settings = load(cloud.config)
        self.db = Database(self.settings.db_url)
        self.count = 0
        with self.db.write() as session:
            self.project = session.scalars(select(Project.id).filter_by(name="admin")).one()
            self.user = session.scalars(select(User.id).filter_by(name="admin")).one()
            network = Network(project_id=self.project, name="bench", physical_network="physnet1")
            session.add(network)
            session.flush()
            subnet = Subnet(network_id=network.id, project_id=self.project, cidr="10.0.0.0/16")
            session.add(subnet)
            session.flush()
            self.network_id, self.subnet_id = network.id, subnet.id

    def up_to(self, count: int) -> None:
        flavor = {
            "id": "1", "name": "m1.nano", "vcpus": 1, "memory_mb": 128, "disk_gb": 1,
            "ephemeral_gb": 0, "swap_mb": 0, "extra_specs": {},
        }  # fmt: skip
        with self.db.write() as session:
            for number in range(self.count, count):
                server_id, port_id = new_id(), new_id()
                session.execute(insert(Server).values(
                    id=server_id, project_id=self.project, user_id=self.user,
                    name=f"bench-{number}", hostname=f"bench-{number}", state="active",
                    power_state=1, flavor=flavor, image_id=new_id(), image={}, meta={"n": "1"},
                    reservation_id="r-bench", launched_at=utcnow(),
                ))  # fmt: skip
                mac = f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}"
                session.execute(insert(Port).values(
                    id=port_id, network_id=self.network_id, project_id=self.project,
                    mac_address=mac, device_id=server_id, device_owner="compute:nova",
                    status="ACTIVE",
                ))  # fmt: skip
                address = f"10.0.{number >> 8}.{number & 255}"
                session.execute(insert(IPAllocation).values(
                    subnet_id=self.subnet_id, ip_address=address, position=number, port_id=port_id
                ))  # fmt: skip
        self.count = count


def _times(cloud: Cloud, count: int) -> list[float]:
    """Return the milliseconds of each round, over a kept connection as real clients have it."""
    connection = contents.connect(cloud)
    times = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        answer = connection.compute.get("/servers/detail", microversion="2.96")
        times.append((time.monotonic() - began) * 1000)
        assert len(answer.json()["servers"]) == count
    return times


def _token_times(cloud: Cloud) -> list[float]:
    times = []
    for _ in range(ROUNDS):
        connection = contents.connect(cloud)
        began = time.monotonic()
        connection.authorize()
        times.append((time.monotonic() - began) * 1000)
    return times


def _statements(cloud: Cloud) -> float:
    """Return how many statements one list needs, by the same application in this process."""
    settings = load(cloud.config)
    services = build_services(settings)
    client = build_app(settings, services).test_client()
    token = contents.connect(cloud).authorize()
    count = 0

    def note(*_arguments: Any) -> None:
        nonlocal count
        count += 1

    event.listen(services.db.engine, "before_cursor_execute", note)
    answer = client.get("/compute/v2.1/servers/detail", headers={"X-Auth-Token": token})
    assert answer.status_code == 200
    return count
