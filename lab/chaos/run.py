"""One run of chaos on a cloud that is up."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab import memory
from lab.chaos import kills as kill
from lab.chaos.api import Api, Credentials
from lab.chaos.backing import Backing
from lab.chaos.kills import Killer
from lab.chaos.report import Report
from lab.chaos.stream import FLAVORS, Stream, run_actors, wait_all
from lab.chaos.watch import Watch, answered_meanwhile, silences
from lab.cloud import Cloud
from lab.errors import LabError
from lab.progress import step
from lab.waiting import wait_until

# Everything that is tried again later is tried within this time of a host's return.
QUIET_S = 300.0
AUDIT_TIMEOUT_S = 300.0

# Of these only what there is: a cloud on SQLite has no database server.
WEIGHTS: Mapping[str, int] = {
    "worker": 6,
    "api": 4,
    "fork-server": 4,
    "controller": 1,
    "restart": 1,
    "ssh": 6,
    "libvirtd": 4,
    "host": 3,
    "disk": 2,
    "database-lock": 2,
    "database-connections": 4,
    "database-server": 2,
    "rabbitmq": 2,
    "lost-queue": 3,
}


ALONE = Backing()


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what: accepted requests, kills, seconds between two kills, actors.

    Both numbers are reached, unless `limit_s` comes first.
    """

    operations: int = 300
    kills: int = 60
    pause_s: tuple[float, float] = (2.0, 10.0)
    actors: int = 4
    seed: int = 1
    # After so long nothing more is asked or killed, whatever is left.
    limit_s: float = 3000.0
    timeout_s: float = 3600.0
    weights: Mapping[str, int] = field(default_factory=lambda: dict(WEIGHTS))


def run(
    controllers: Sequence[Cloud],
    credentials: Credentials,
    create: dict[str, Any],
    plan: Plan,
    backing: Backing = ALONE,
) -> Report:
    """Stir the cloud of these controllers as `plan` says, let it come to rest, and report.

    The first controller has the lab. `create` is the body of a server to be made, without its name.
    Raises LabError when the run itself could not go on.
    """
    urls = [cloud.url for cloud in controllers]
    api = Api(urls, credentials)
    api.log_in()
    began = time.monotonic()
    known = {each["name"]: each["id"] for each in api.read("/flavors").body["flavors"]}
    flavors = {name: known[name] for name in FLAVORS}
    killer = Killer(controllers, backing, plan.weights, plan.seed, plan.pause_s, plan.kills)
    stream = Stream(
        api,
        create,
        flavors,
        plan.operations,
        ends_at=began + plan.limit_s,
        go_on=lambda: not killer.is_done(),
    )
    watch = Watch(urls if len(urls) > 1 else (), credentials)
    with step(f"stir: {plan.operations} operations, {plan.kills} kills, seed {plan.seed}"):
        watch.start()
        actors = run_actors(stream, plan.actors, plan.seed)
        killer.start()
        try:
            wait_all(actors, plan.timeout_s)
        finally:
            stream.stopping.set()
            killer.stop()
            watch.stop()
    with step("let it come to rest"):
        kill.bring_all_back(controllers)
        for actor in actors:
            actor.delete_all()
        busy = _rest(api)
    with step("audit"):
        audit = _audit(controllers[0])
    return Report(
        plan.seed, time.monotonic() - began, stream.asked, killer.kills, stream.refused,
        stream.away, busy, audit, _memory(controllers, backing), backing.database_kind,
        backing.queue_kind, len(controllers), silences(watch.looks, killer.kills),
        answered_meanwhile(watch.looks, killer.kills), killer.spared(),
    )  # fmt: skip


def _memory(controllers: Sequence[Cloud], backing: Backing) -> dict[str, list[float]]:
    """Return the MB of each process; a server's processes under the server's name."""
    servers = {pid: name for root, name in backing.roots().items() for pid in memory.family(root)}
    ours = {pid: name for cloud in controllers for pid, name in cloud.processes().items()}
    return memory.by_name(ours | servers)


def _rest(api: Api) -> list[str]:
    """Return the servers that are still busy when all should be at rest."""
    try:
        wait_until(
            lambda: not _busy(api),
            what="no server is in a task state", timeout_s=QUIET_S, interval_s=1.0,
        )  # fmt: skip
    except LabError:
        return _busy(api)
    return []


def _busy(api: Api) -> list[str]:
    servers = api.read("/servers/detail?all_tenants=1").body["servers"]
    return [
        f"{server['id']} {server['OS-EXT-STS:task_state']}"
        for server in servers
        if server["OS-EXT-STS:task_state"] is not None
    ]


def _audit(cloud: Cloud) -> dict[str, Any]:
    """Return what `novella audit` says once clean-ups that wait for their next try have ended."""
    deadline = time.monotonic() + QUIET_S
    while True:
        said = _ask_audit(cloud)
        if said.get("agrees") or time.monotonic() > deadline:
            return said
        time.sleep(5.0)


def _ask_audit(cloud: Cloud) -> dict[str, Any]:
    done = subprocess.run(
        [*cloud.command, "audit", "--json"],
        capture_output=True, text=True, check=False, timeout=AUDIT_TIMEOUT_S,
    )  # fmt: skip
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"agrees": False, "findings": [{"what": f"audit failed: {done.stderr[-2000:]}"}]}
    return said
