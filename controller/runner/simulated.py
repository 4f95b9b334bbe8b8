"""SimulatedExecutor: no host is touched. For tests of the engine and the API, and for scale.

Named so wherever it shows (`executor = "simulated"`), so that nobody takes it for the real thing.
"""

import hashlib
import random
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from controller import metrics
from controller.runner.requests import (
    CANCELLED,
    FAILED,
    OK,
    TIMEOUT,
    UNREACHABLE,
    HostResult,
    Run,
    RunResult,
)
from controller.runner.simulated_hosts import SimulatedHosts
from controller.ssh import HostAccess

# What a simulated host says of itself, unless its variables have `simulated_facts`.
FACTS: dict[str, Any] = {
    "cpus": 64,
    "memory_mb": 262144,
    "disk_gb": 4096,
    "architecture": "x86_64",
    "virt_type": "qemu",
}
# How far a simulated live migration is when somebody is told.
PROGRESS = {"memory_total_bytes": 128 << 20, "memory_processed_bytes": 64 << 20}


class SimulatedExecutor:
    """Answers as a host would. Threads may share it.

    `delay_s` is what each run takes; `failure_rate` the share of items that fail. `fails` decides
    by itself: it gets the run and an item's id, and returns a message or None; `drops` likewise,
    whether the connection is lost before that item. Hosts whose name is in `unreachable` don't
    answer. `runs` has all that was asked, for tests to read.
    """

    def __init__(
        self,
        delay_s: float = 0.0,
        failure_rate: float = 0.0,
        fails: Callable[[Run, str], str | None] | None = None,
    ) -> None:
        self.delay_s = delay_s
        self.failure_rate = failure_rate
        self.fails = fails
        self.drops: Callable[[Run, str], bool] | None = None
        self.unreachable: set[str] = set()
        self.runs: list[Run] = []
        self.hosts = SimulatedHosts()
        self._lock = threading.Lock()

    def run(self, run: Run) -> RunResult:
        """Wait as long as a run takes, then answer for each host and item."""
        with self._lock:
            self.runs.append(run)
        started = time.monotonic()
        ended = self._wait(run, started)
        hosts = {} if ended else {host.id: self._host(run, host) for host in run.hosts}
        status = ended or _summary({result.status for result in hosts.values()})
        message = "; ".join(result.message for result in hosts.values() if result.message)
        took_s = time.monotonic() - started
        metrics.RUNS.labels(run.playbook, status).observe(took_s)
        return RunResult(status, hosts, message, duration_s=took_s)

    def clean_up(self) -> None:
        """Nothing is left behind by what never ran."""

    def close(self) -> None:
        """Nothing is held."""

    def _wait(self, run: Run, started: float) -> str | None:
        """Return why the run ended early, or None."""
        delay_s = self.delay_s
        while (passed := time.monotonic() - started) < delay_s:
            if run.cancelled():
                return CANCELLED
            if passed > run.timeout_s:
                return TIMEOUT
            time.sleep(min(0.02, delay_s - passed))
        return None

    def _host(self, run: Run, host: HostAccess) -> HostResult:
        if host.name in self.unreachable:
            return HostResult(UNREACHABLE, message="Simulated: no route to host")
        if run.playbook == "server_live_migrate" and host != run.hosts[0]:
            # The destination, which the source is told of; it has no play of its own.
            return HostResult(OK)
        if run.playbook == "network_update":
            items = [self._item(run, host.id)]
            self.hosts.take_networks(run, host, items)
            message = items[0]["msg"]
            return HostResult(FAILED if message else OK, items, {}, message)
        items = []
        for server in run.arguments.get("servers", []):
            if self.drops and self.drops(run, server["id"]):
                # What was not handed out by now is lost with the connection.
                return HostResult(UNREACHABLE, message="Simulated: the connection is lost")
            if run.reports_progress:
                run.on_item(host.id, {"id": server["id"], "progress": PROGRESS})
            item = self._item(run, server["id"])
            if not item["failed"] and not run.check:
                item |= _fetched(server.get("snapshot") or {})
            items.append(item)
            if run.is_batch:
                run.on_item(host.id, item)
        failed = [item["msg"] for item in items if item["failed"]]
        self.hosts.take(run, host, items)
        return HostResult(
            FAILED if failed else OK,
            items,
            self._facts(run, host),
            "; ".join(failed),
            failed[0] if failed and run.playbook == "server_hooks" else "",
        )

    def _facts(self, run: Run, host: HostAccess) -> dict[str, Any]:
        if run.playbook == "host_audit":
            return self.hosts.audit(host)
        if run.playbook == "host_domains":
            # Simulated hosts have none that nobody knows, unless told so.
            domains = host.variables.get("simulated_domains", [])
            return {"state_path": "/var/lib/novella", "domains": domains}
        said = dict(host.variables.get("simulated_facts", FACTS))
        states = {"domain_states": self.hosts.domains(host), "boot_id": self.hosts.boot_id(host)}
        return said | states if run.playbook == "host_info" else said

    def _moved(self, run: Run, server_id: str, failed: bool) -> dict[str, Any]:
        """Return where a server is that was to be migrated, or was only asked for."""
        (entry,) = [each for each in run.arguments["servers"] if each["id"] == server_id]
        arrived = self.hosts.has(run.hosts[1], server_id)
        if any(each.name in self.unreachable for each in run.hosts):
            return {"where": None}
        there = arrived or not (failed or entry["move"]["settle"])
        return {"where": "destination" if there else "source", "downtime_ms": 100}

    def _item(self, run: Run, server_id: str) -> dict[str, Any]:
        message = self.fails(run, server_id) if self.fails else None
        if message is None and random.random() < self.failure_rate:  # noqa: S311 -- a test's dice
            message = "Simulated: failed by chance"
        step = {"name": "Pretend", "changed": True, "failed": bool(message), "msg": message or ""}
        if run.playbook == "server_move_out":
            files = [{"name": "disk", "size_bytes": 1}]
            step["result"] = {"export": {"port": 49216, "files": files}}
        if run.playbook == "server_live_migrate":
            step["result"] = self._moved(run, server_id, bool(message))
        return {
            "id": server_id,
            # A check finds what was pretended to be as it was told.
            "changed": not run.check,
            "failed": bool(message),
            "msg": message or "",
            "steps": [step],
        }


def _fetched(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Leave an empty disk of 1 GiB where a play would leave the copy of one, and say so."""
    if not snapshot.get("fetch_to") or snapshot.get("state") == "absent":
        return {}
    disk = struct.pack(">4sIQIIQIIQ24x", b"QFI\xfb", 2, 0, 0, 16, 1 << 30, 0, 0, 0)
    Path(snapshot["fetch_to"]).write_bytes(disk)
    sums = {"md5": hashlib.md5(disk, usedforsecurity=False).hexdigest()}
    sums |= {name: hashlib.new(name, disk).hexdigest() for name in ("sha256", "sha512")}
    return {"image": {"size_bytes": len(disk), **sums}}


def _summary(statuses: set[str]) -> str:
    if statuses == {UNREACHABLE}:
        return UNREACHABLE
    return OK if statuses <= {OK} else FAILED
