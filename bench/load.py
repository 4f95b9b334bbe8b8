"""The controller under load: its API while 50 creates run, and how many operations it gets done.

Hosts are simulated (`executor = "simulated"`): no host is touched and no playbook starts, so these
are figures of API, database and engine alone. They say so in their names. Each is taken on SQLite
and on a PostgreSQL server of this machine; wake-ups go by the local socket, for all workers are
here, and no broker takes part.
"""

import http.client
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bench.report import Report
from controller.core import hosts, operations
from controller.core.context import Context
from controller.db.base import new_id, utcnow
from controller.db.models import Operation, Project, Server, User
from controller.db.session import Database
from controller.settings import load
from lab import contents
from lab.chaos.backing import Backing, backing
from lab.cloud import Cloud
from lab.memory import by_name, family, pss_mb
from lab.waiting import wait_until

CREATES = 50
CALLERS = 4
# What a real create takes on its host, about.
RUN_S = 1.0
ROUNDS = 2
# What stands in names of figures, and the kind that lab.chaos.backing knows.
DATABASES = {"SQLite": "sqlite", "PostgreSQL": "postgresql"}
OPERATIONS = 80
RATE_ROUNDS = 3
WORKERS = (1, 2, 4)
# A connection that was unused for so long is opened anew.
IDLE_S = 10.0
FACTS = {"cpus": 4000, "memory_mb": 1 << 24, "disk_gb": 1 << 20}
FLAVOR = {
    "id": "1", "name": "m1.nano", "vcpus": 1, "memory_mb": 128, "disk_gb": 1,
    "ephemeral_gb": 0, "swap_mb": 0, "extra_specs": {},
}  # fmt: skip


def measure(directory: Path, report: Report, password: str, blank: Path) -> None:
    """Add both to `report` for each database, each on clouds of its own below `directory`."""
    for name, kind in DATABASES.items():
        with backing(kind, "embedded") as servers:
            _measure_api(directory / f"api-{kind}", report, name, servers, password, blank)
    with ExitStack() as stack:
        grounds = {
            name: simulated_cloud(
                directory / f"operations-{kind}",
                stack.enter_context(backing(kind, "embedded")), password, delay_s=0.0,
                # Hosts stay up while the other database has its turn.
                heartbeat_s=600,
            )
            for name, kind in DATABASES.items()
        }  # fmt: skip
        _measure_operations(grounds, report)


# --- the API while creates run -----------------------------------------------------------------


def _measure_api(
    directory: Path, report: Report, database: str, servers: Backing, password: str, blank: Path
) -> None:
    cloud = simulated_cloud(directory, servers, password, delay_s=RUN_S)
    contents.write_clouds_yaml(cloud, {"novella": contents.Login("admin", password, "admin")})
    cloud.start_controller()
    try:
        admin = contents.connect(cloud)
        contents.make_flavors(admin)
        body = {
            "name": "load",
            "imageRef": contents.upload_image(admin, blank, name="blank").id,
            "flavorRef": admin.compute.find_flavor("m1.nano").id,
            "networks": "none",
        }
        token = admin.authorize()
        times: dict[str, list[float]] = {"idle": [], "busy": [], "accepted": [], "took": []}
        for _ in range(ROUNDS):
            _idle_and_busy(cloud, token, body, times)
        _add_times(report, database, times)
        _add_memory(report, database, cloud, servers)
        admin.close()
    finally:
        cloud.stop_controller()


def _idle_and_busy(
    cloud: Cloud, token: str, body: dict[str, Any], times: dict[str, list[float]]
) -> None:
    """One round: reads alone, then reads while the creates are accepted and done."""
    with _reading(cloud, token, times["idle"]):
        time.sleep(3.0)
    caller = Caller(cloud, token)
    began = time.monotonic()
    with _reading(cloud, token, times["busy"]):
        for _ in range(CREATES):
            times["accepted"].append(
                caller.timed_ms("POST", "/compute/v2.1/servers", {"server": body}, 202)
            )
        wait_until(
            lambda: not unfinished(cloud), what="the creates are done", timeout_s=300,
            interval_s=0.1,
        )  # fmt: skip
    times["took"].append(time.monotonic() - began)
    for server in caller.get("/compute/v2.1/servers")["servers"]:
        caller.timed_ms("DELETE", f"/compute/v2.1/servers/{server['id']}", None, 204)
    wait_until(
        lambda: not unfinished(cloud), what="the deletes are done", timeout_s=300, interval_s=0.1
    )


def _add_times(report: Report, database: str, times: dict[str, list[float]]) -> None:
    about = f"{CALLERS} callers, {database}, simulated hosts"
    report.add(f"API read, nothing else going on ({about})", "ms", times["idle"])
    report.add(f"API read while {CREATES} creates run ({about})", "ms", times["busy"])
    report.add(f"create accepted meanwhile ({about})", "ms", times["accepted"])
    report.add(f"{CREATES} creates, until the last is ACTIVE ({about})", "s", times["took"])


def _add_memory(report: Report, database: str, cloud: Cloud, servers: Backing) -> None:
    """Add the weight (PSS) of each of the controller's processes, and of a database server's sum.

    A process of its own for each connection shares most of its pages with the others.
    """
    for process, weights in by_name(cloud.processes()).items():
        for number, weight in enumerate(weights, 1):
            which = f"{process} ({number} of {len(weights)}, {database})"
            report.add(f"memory after it: {which}", "MB", [weight])
    for root in servers.roots():
        total = sum(pss_mb(pid) for pid in family(root))
        report.add(f"memory after it: {database}, all its processes", "MB", [total])


@contextmanager
def _reading(cloud: Cloud, token: str, times: list[float]) -> Iterator[None]:
    """Have callers read one list after the other, and note how long each took, in ms."""
    stop = threading.Event()
    paths = ("/compute/v2.1/servers/detail", "/compute/v2.1/flavors", "/compute/v2.1/limits")

    def read() -> None:
        caller = Caller(cloud, token)
        while not stop.is_set():
            for path in paths:
                times.append(caller.timed_ms("GET", path, None, 200))

    threads = [threading.Thread(target=read) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class Caller:
    """A kept connection with a token, without the time that a client library takes."""

    def __init__(self, cloud: Cloud, token: str) -> None:
        host, _, port = cloud.url.removeprefix("http://").partition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self._headers = {"X-Auth-Token": token, "Content-Type": "application/json",
                         "OpenStack-API-Version": "compute 2.96"}  # fmt: skip
        self._used_at = 0.0

    def timed_ms(self, method: str, path: str, body: Any, expected: int) -> float:
        began = time.monotonic()
        status, said = self._ask(method, path, body)
        assert status == expected, f"{method} {path}: {status} {said!r}"
        return (time.monotonic() - began) * 1000

    def get(self, path: str) -> Any:
        return json.loads(self._ask("GET", path, None)[1])

    def _ask(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        # The server hangs up on who has been silent for some seconds.
        if time.monotonic() - self._used_at > IDLE_S:
            self._connection.close()
        self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        self._used_at = time.monotonic()
        return answer.status, said


# --- operations per second ---------------------------------------------------------------------


def _measure_operations(grounds: dict[str, Cloud], report: Report) -> None:
    """`grounds` are clouds by the names of their databases."""
    cases = [(database, count) for count in WORKERS for database in grounds]
    rates: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    memory: dict[str, list[float]] = {database: [] for database in grounds}
    for number in range(RATE_ROUNDS):
        # Back and forth, since the databases grow.
        for database, count in cases if number % 2 == 0 else reversed(cases):
            rate, pss = _rate(grounds[database], count)
            rates[database, count].append(rate)
            memory[database].extend(pss)
    for (database, count), each in rates.items():
        name = f"operations per second, {count} worker{'s' if count > 1 else ''}"
        about = f"server_create, {database}, local queue, simulated hosts"
        report.add(f"{name} ({about})", "1/s", each)
    for database, weights in memory.items():
        report.add(f"memory of a worker after it ({database})", "MB", weights)


def _rate(cloud: Cloud, count: int) -> tuple[float, list[float]]:
    """Return creates per second by `count` workers from a full queue, and each one's memory."""
    ids = _queue_creates(cloud, OPERATIONS)
    workers = [
        subprocess.Popen(
            [*cloud.command, "worker", "--name", f"w{number}"], stderr=subprocess.DEVNULL
        )
        for number in range(count)
    ]
    try:
        wait_until(
            lambda: not unfinished(cloud), what="the queue is empty", timeout_s=300, interval_s=0.1
        )
        pss = [pss_mb(worker.pid) for worker in workers]
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            worker.wait(60)
    return OPERATIONS / _seconds(cloud, ids), pss


def _seconds(cloud: Cloud, server_ids: Sequence[str]) -> float:
    """Return the seconds from the first one's start to the last one's end."""
    with database_of(cloud) as db, db.read() as session:
        rows = session.execute(
            select(Operation.started_at, Operation.finished_at, Operation.state).where(
                Operation.server_id.in_(server_ids)
            )
        ).all()
    began = [row.started_at for row in rows if row.started_at]
    ended = [row.finished_at for row in rows if row.finished_at]
    failed = sum(row.state != operations.SUCCEEDED for row in rows)
    assert not failed, f"{failed} operations of {len(rows)} failed"
    return (max(ended) - min(began)).total_seconds()


def _queue_creates(cloud: Cloud, count: int) -> list[str]:
    """Accept creates as the API does, in one transaction; return the servers' ids."""
    ids = []
    settings = load(cloud.config)
    with database_of(cloud) as db, db.write() as session:
        project = session.scalars(select(Project.id).filter_by(name="admin")).one()
        user = session.scalars(select(User.id).filter_by(name="admin")).one()
        context = Context("req-load", user_id=user, project_id=project)
        for number in range(count):
            server = Server(
                id=new_id(), project_id=project, user_id=user, name=f"load-{number}",
                hostname=f"load-{number}", flavor=FLAVOR, image_id=new_id(),
                image={"disk_format": "qcow2", "sha256": "0" * 64, "size_bytes": 1},
                reservation_id="r-load",
            )  # fmt: skip
            ids.append(server.id)
            session.add(server)
            session.flush()
            operations.begin_action(
                session, settings, context, server, "create", secrets={"admin_pass": "x"}
            )
    return ids


# --- what all of it needs ------------------------------------------------------------------------


def simulated_cloud(
    directory: Path,
    servers: Backing,
    password: str,
    *,
    delay_s: float,
    heartbeat_s: int = 60,
    count: int = 4,
) -> Cloud:
    """Return a cloud with simulated hosts and room for everybody; nothing of it runs yet."""
    cloud = Cloud(directory)
    cloud.configure(
        executor="simulated",
        simulated_delay_s=delay_s,
        heartbeat_s=heartbeat_s,
        **servers.settings(),
    )
    with cloud.config.open("a") as file:
        file.write(
            "default_quota = {instances = 10000, cores = 10000, ram = 10000000, port = 10000}\n"
        )
    cloud.prepare_database(password)
    settings = load(cloud.config)
    with database_of(cloud) as db, db.write() as session:
        for number in range(count):
            host = hosts.enroll_record(
                session, f"h{number}", "192.0.2.1", host_keys=["ssh-ed25519 AAAA"],
                variables={"simulated_facts": {**FACTS, "virt_type": "qemu"}},
            )  # fmt: skip
            hosts.record_facts(session, settings, host, FACTS, utcnow() + timedelta(minutes=1))
    return cloud


@contextmanager
def database_of(cloud: Cloud) -> Iterator[Database]:
    db = Database(load(cloud.config).db_url)
    try:
        yield db
    finally:
        db.dispose()


def unfinished(cloud: Cloud) -> int:
    with database_of(cloud) as db, db.read() as session:
        query = select(func.count()).where(Operation.state.in_(operations.UNFINISHED))
        return session.scalar(query) or 0
