"""The controller under load: its API while 50 creates run, and how many operations it gets done.

Hosts are simulated (`executor = "simulated"`): no host is touched and no playbook starts, so these
are figures of API, database and engine alone. They say so in their names.
"""

import http.client
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from lab.cloud import Cloud
from lab.memory import pss_mb
from lab.waiting import wait_until

CREATES = 50
CALLERS = 4
# What a real create takes on its host, about.
RUN_S = 1.0
ROUNDS = 3
OPERATIONS = 200
WORKERS = (1, 2, 4)
FACTS = {"cpus": 4000, "memory_mb": 1 << 24, "disk_gb": 1 << 20}
FLAVOR = {
    "id": "1", "name": "m1.nano", "vcpus": 1, "memory_mb": 128, "disk_gb": 1,
    "ephemeral_gb": 0, "swap_mb": 0, "extra_specs": {},
}  # fmt: skip


def measure(directory: Path, report: Report, password: str, blank: Path) -> None:
    """Add both to `report`, each on clouds of its own below `directory`."""
    _measure_api(directory / "api", report, password, blank)
    _measure_operations(directory / "operations", report, password)


# --- the API while creates run -----------------------------------------------------------------


def _measure_api(directory: Path, report: Report, password: str, blank: Path) -> None:
    cloud = _cloud(directory, password, delay_s=RUN_S)
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
        _add_times(report, times)
        for pid, what in sorted(cloud.processes().items()):
            report.add(f"memory under load: {what} (pid {pid})", "MB", [pss_mb(pid)])
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
            lambda: not _unfinished(cloud), what="the creates are done", timeout_s=300,
            interval_s=0.1,
        )  # fmt: skip
    times["took"].append(time.monotonic() - began)
    for server in caller.get("/compute/v2.1/servers")["servers"]:
        caller.timed_ms("DELETE", f"/compute/v2.1/servers/{server['id']}", None, 204)
    wait_until(
        lambda: not _unfinished(cloud), what="the deletes are done", timeout_s=300, interval_s=0.1
    )


def _add_times(report: Report, times: dict[str, list[float]]) -> None:
    about = f"{CALLERS} callers, simulated hosts"
    report.add(f"API read, nothing else going on ({about})", "ms", times["idle"])
    report.add(f"API read while {CREATES} creates run ({about})", "ms", times["busy"])
    report.add(f"create accepted meanwhile ({about})", "ms", times["accepted"])
    report.add(f"{CREATES} creates, until the last is ACTIVE ({about})", "s", times["took"])


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

    def timed_ms(self, method: str, path: str, body: Any, expected: int) -> float:
        began = time.monotonic()
        self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == expected, f"{method} {path}: {answer.status}"
        return (time.monotonic() - began) * 1000

    def get(self, path: str) -> Any:
        self._connection.request("GET", path, None, self._headers)
        return json.loads(self._connection.getresponse().read())


# --- operations per second ---------------------------------------------------------------------


def _measure_operations(directory: Path, report: Report, password: str) -> None:
    rates: dict[int, list[float]] = {count: [] for count in WORKERS}
    memory: dict[int, list[float]] = {count: [] for count in WORKERS}
    for number in range(ROUNDS):
        for count in WORKERS:
            cloud = _cloud(directory / f"{number}-{count}", password, delay_s=0.0)
            rate, pss = _rate(cloud, count)
            rates[count].append(rate)
            memory[count].extend(pss)
    for count in WORKERS:
        name = f"operations per second, {count} worker{'s' if count > 1 else ''}"
        report.add(f"{name} (server_create, SQLite, simulated hosts)", "1/s", rates[count])
    report.add(
        "memory of a worker after it (PSS)", "MB", [each for p in memory.values() for each in p]
    )


def _rate(cloud: Cloud, count: int) -> tuple[float, list[float]]:
    """Return creates per second by `count` workers from a full queue, and each one's memory."""
    _queue_creates(cloud, OPERATIONS)
    workers = [
        subprocess.Popen(
            [*cloud.command, "worker", "--name", f"w{number}"], stderr=subprocess.DEVNULL
        )
        for number in range(count)
    ]
    try:
        wait_until(
            lambda: not _unfinished(cloud), what="the queue is empty", timeout_s=300, interval_s=0.1
        )
        pss = [pss_mb(worker.pid) for worker in workers]
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            worker.wait(60)
    with _database(cloud) as db, db.read() as session:
        began, ended, failed = session.execute(
            select(
                func.min(Operation.started_at),
                func.max(Operation.finished_at),
                func.sum(Operation.state == operations.FAILED),
            )
        ).one()
    assert not failed, f"{failed} operations failed"
    return OPERATIONS / (ended - began).total_seconds(), pss


def _queue_creates(cloud: Cloud, count: int) -> None:
    """Accept creates as the API does, in one transaction."""
    settings = load(cloud.config)
    with _database(cloud) as db, db.write() as session:
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
            session.add(server)
            session.flush()
            operations.begin_action(
                session, settings, context, server, "create", secrets={"admin_pass": "x"}
            )


# --- what both need ----------------------------------------------------------------------------


def _cloud(directory: Path, password: str, *, delay_s: float) -> Cloud:
    """Return a cloud with four simulated hosts and room for everybody; nothing of it runs yet."""
    cloud = Cloud(directory)
    cloud.configure(executor="simulated", simulated_delay_s=delay_s)
    with cloud.config.open("a") as file:
        file.write("default_quota = {instances = 10000, cores = 10000, ram = 10000000}\n")
    cloud.prepare_database(password)
    settings = load(cloud.config)
    with _database(cloud) as db, db.write() as session:
        for number in range(4):
            host = hosts.enroll_record(
                session, f"h{number}", "192.0.2.1", host_keys=["ssh-ed25519 AAAA"],
                variables={"simulated_facts": {**FACTS, "virt_type": "qemu"}},
            )  # fmt: skip
            hosts.record_facts(session, settings, host, FACTS, utcnow() + timedelta(minutes=1))
    return cloud


@contextmanager
def _database(cloud: Cloud) -> Iterator[Database]:
    db = Database(load(cloud.config).db_url)
    try:
        yield db
    finally:
        db.dispose()


def _unfinished(cloud: Cloud) -> int:
    with _database(cloud) as db, db.read() as session:
        query = select(func.count()).where(Operation.state.in_(operations.UNFINISHED))
        return session.scalar(query) or 0
