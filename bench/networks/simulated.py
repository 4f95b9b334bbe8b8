"""From a change to its effect on simulated hosts: rules of a group, a network on one host more.

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
SERVERS_PER_HOST = 4
# A group of a thousand ports.
LARGE_HOSTS, LARGE_SERVERS_PER_HOST = 20, 50
NETWORK = "/network/v2.0"
SERVERS = "/compute/v2.1/servers"


def measure(directory: Path, report: Report, password: str, blank: Path, rounds: int) -> None:
    """Add both figures for each number of hosts, on clouds of their own below `directory`."""
    for count in HOSTS:
        with _bench(directory / str(count), password, blank, count) as bench:
            _measure(bench, report, count, rounds)
    with _bench(directory / "large", password, blank, LARGE_HOSTS) as bench:
        _measure_large(bench, report, rounds)


@contextmanager
def _bench(directory: Path, password: str, blank: Path, count: int) -> Iterator["Bench"]:
    with backing("sqlite", "embedded") as servers:
        cloud = simulated_cloud(
            directory, servers, password, delay_s=0.0, heartbeat_s=600, count=count
        )
        contents.write_clouds_yaml(cloud, {"novella": contents.Login("admin", password, "admin")})
        try:
            cloud.start_controller()
            yield Bench(cloud, blank)
        finally:
            cloud.stop_controller()


class Bench:
    """A cloud whose API is called, with an overlay network and the project's default group."""

    def __init__(self, cloud: Cloud, blank: Path, network: str = "overlay") -> None:
        self.cloud = cloud
        admin = contents.connect(cloud)
        contents.make_flavors(admin)
        self.image_id = contents.upload_image(admin, blank, name="blank").id
        self.flavor_id = admin.compute.find_flavor("m1.nano").id
        self.network_id = admin.network.create_network(name=network).id
        admin.network.create_subnet(network_id=self.network_id, cidr="10.60.0.0/16", ip_version=4)
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
            lambda: not unfinished(self.cloud), what="all hosts were told", timeout_s=1800,
            interval_s=0.2,
        )  # fmt: skip

    @contextmanager
    def timing(
        self, kind: str, hosts: int, times: list[float], runs: list[float] | None = None
    ) -> Iterator[None]:
        """Note the seconds from the first to the last of the operations that the block causes.

        As many `hosts` as given must be told. `runs` is given how many runs that took.
        """
        with database_of(self.cloud) as db, db.read() as session:
            latest = session.scalar(select(func.max(Operation.created_at)))
        yield
        self.settle()
        with database_of(self.cloud) as db, db.read() as session:
            rows = session.execute(
                select(
                    Operation.created_at,
                    Operation.finished_at,
                    Operation.host_id,
                    (Operation.attempts + 1).label("runs"),
                ).where(Operation.kind == kind, Operation.created_at > latest)
            ).all()
        told = len({row.host_id for row in rows})
        assert told == hosts, f"{told} hosts were told by {kind}, of {hosts}"
        if runs is not None:
            runs.append(sum(row.runs for row in rows))
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


def _measure_large(bench: Bench, report: Report, rounds: int) -> None:
    for number in range(LARGE_HOSTS):
        bench.boot(f"h{number}", LARGE_SERVERS_PER_HOST)
    bench.settle()
    changed: list[float] = []
    runs: list[float] = []
    for number in range(rounds):
        with bench.timing("port_update", LARGE_HOSTS, changed, runs):
            bench.rule(5000 + number)
    ports = LARGE_HOSTS * LARGE_SERVERS_PER_HOST
    about = f"group of {ports:,} ports on {LARGE_HOSTS} simulated hosts, SQLite"
    report.add(f"rule changes, until all hosts have it ({about})", "s", changed)
    report.add(f"runs for it ({about})", "runs", runs, aim=f"{LARGE_HOSTS}, one for each host")
