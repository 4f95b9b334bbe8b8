"""From a change to its effect on the hosts: rules of a group, and a network on one host more.

Hosts are simulated (`executor = "simulated"`), so these are the controller's part alone: finding
whom it concerns, and a run for each. Figures are taken from the operations' own times, from the
change's commit to the end of the last host's run; what was gathered before counts too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bench.load import Caller, database_of, simulated_cloud, unfinished
from bench.report import Report
from controller.db.models import Operation
from lab import contents
from lab.chaos.backing import backing
from lab.cloud import Cloud
from lab.waiting import wait_until

HOSTS = (2, 100)
# With the default quota of ports.
SERVERS_PER_HOST = 4
NETWORK = "/network/v2.0"
SERVERS = "/compute/v2.1/servers"


def measure(directory: Path, report: Report, password: str, blank: Path, rounds: int) -> None:
    """Add both figures for each number of hosts, on clouds of their own below `directory`."""
    for count in HOSTS:
        with backing("sqlite", "embedded") as servers:
            cloud = simulated_cloud(
                directory / str(count), servers, password, delay_s=0.0, heartbeat_s=600, count=count
            )
            contents.write_clouds_yaml(
                cloud, {"novella": contents.Login("admin", password, "admin")}
            )
            cloud.start_controller()
            try:
                _measure(Bench(cloud, blank), report, count, rounds)
            finally:
                cloud.stop_controller()


class Bench:
    """A cloud whose API is called, with an overlay network and a security group."""

    def __init__(self, cloud: Cloud, blank: Path) -> None:
        self.cloud = cloud
        admin = contents.connect(cloud)
        contents.make_flavors(admin)
        self.image_id = contents.upload_image(admin, blank, name="blank").id
        self.flavor_id = admin.compute.find_flavor("m1.nano").id
        network = admin.network.create_network(name="overlay")
        admin.network.create_subnet(network_id=network.id, cidr="10.60.0.0/16", ip_version=4)
        self.network_id = network.id
        self.group_id = next(iter(admin.network.security_groups(name="default"))).id
        self.caller = Caller(cloud, admin.authorize())
        admin.close()

    def boot(self, host: str, count: int = 1) -> None:
        body = {
            "name": host, "imageRef": self.image_id, "flavorRef": self.flavor_id,
            "networks": [{"uuid": self.network_id}], "availability_zone": f"nova:{host}",
            "min_count": count, "max_count": count,
        }  # fmt: skip
        self.caller.timed_ms("POST", SERVERS, {"server": body}, 202)

    def empty(self, host: str) -> None:
        for server in self.caller.get(SERVERS)["servers"]:
            if server["name"] == host:
                self.caller.timed_ms("DELETE", f"{SERVERS}/{server['id']}", None, 204)

    def rule(self, port: int) -> None:
        body: dict[str, Any] = {
            "security_group_id": self.group_id, "direction": "ingress", "protocol": "tcp",
            "port_range_min": port, "port_range_max": port,
        }  # fmt: skip
        self.caller.timed_ms(
            "POST", f"{NETWORK}/security-group-rules", {"security_group_rule": body}, 201
        )

    def settle(self) -> None:
        wait_until(
            lambda: not unfinished(self.cloud), what="all hosts were told", timeout_s=600,
            interval_s=0.2,
        )  # fmt: skip

    @contextmanager
    def timing(self, kind: str, hosts: int, times: list[float]) -> Iterator[None]:
        """Note the seconds from the first to the last of the operations that the block causes."""
        with database_of(self.cloud) as db, db.read() as session:
            latest = session.scalar(select(func.max(Operation.created_at)))
        yield
        self.settle()
        with database_of(self.cloud) as db, db.read() as session:
            rows = session.execute(
                select(Operation.created_at, Operation.finished_at, Operation.host_id).where(
                    Operation.kind == kind, Operation.created_at > latest
                )
            ).all()
        told = len({row.host_id for row in rows})
        assert told == hosts, f"{told} hosts were told by {kind}, of {hosts}"
        ended = max(row.finished_at for row in rows if row.finished_at)
        times.append((ended - min(row.created_at for row in rows)).total_seconds())


def _measure(bench: Bench, report: Report, count: int, rounds: int) -> None:
    last = f"h{count - 1}"
    for number in range(count - 1):
        bench.boot(f"h{number}", SERVERS_PER_HOST)
    bench.settle()
    about = f"{count} simulated hosts, SQLite"
    reached: list[float] = []
    for _ in range(rounds):
        with bench.timing("network_update", count - 1, reached):
            bench.boot(last)
        bench.empty(last)
        bench.settle()
    report.add(f"network reaches its last host, until the others forward ({about})", "s", reached)
    bench.boot(last, SERVERS_PER_HOST)
    bench.settle()
    changed: list[float] = []
    for number in range(rounds):
        with bench.timing("port_update", count, changed):
            bench.rule(5000 + number)
    report.add(f"rule of a group changes, until all hosts have it ({about})", "s", changed)
