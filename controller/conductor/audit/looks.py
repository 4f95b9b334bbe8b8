"""The audit of a live cloud: looks at books and hosts, twice where something disagrees.

What is being worked on is no disagreement: a finding counts only if nothing was done to its server
between the books' reading before the hosts answered and that after, and if it is still there in a
second look.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller.conductor import runs
from controller.conductor.arguments import cloud_id
from controller.conductor.audit import books as book
from controller.conductor.audit import database, host, reports
from controller.conductor.audit.books import Books
from controller.conductor.audit.database import Store
from controller.conductor.audit.findings import Finding
from controller.conductor.audit.reports import HostReport
from controller.conductor.server_cleanup import KIND as CLEANUP
from controller.core import host_access, hosts, image_store
from controller.core.network_updates import KIND as NETWORK_UPDATE
from controller.core.port_updates import KIND as PORT_UPDATE
from controller.db.base import new_id
from controller.db.models import Host
from controller.db.session import Database
from controller.runner.requests import OK, Executor, HostResult, Run
from controller.settings import Settings

PLAYBOOK = "host_audit"
RULES_PLAYBOOK = "port_update"
# What sets a host's rules, bridges and routers anew.
UPDATES = (PORT_UPDATE, NETWORK_UPDATE)
TIMEOUT_S = 120
# Hosts in one run: a dead one holds up no more than these.
BATCH = 32
RUNS_AT_ONCE = 4
PAUSE_S = 3.0


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found. `in_motion` counts what was left out because it was being worked on;
    `answered` are the ids of the hosts that could be asked, each time.
    """

    findings: list[Finding] = field(default_factory=list)
    hosts: int = 0
    servers: int = 0
    looks: int = 0
    in_motion: int = 0
    answered: frozenset[str] = frozenset()

    @property
    def agrees(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        return {
            "agrees": self.agrees,
            "hosts": self.hosts,
            "servers": self.servers,
            "looks": self.looks,
            "in_motion": self.in_motion,
            "findings": [finding.as_json() for finding in self.findings],
        }


class Auditor:
    """Audits of one cloud. `wait` passes the time between two looks; runs end when
    `cancelled`."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        executor: Executor,
        clock: Callable[[], datetime],
        wait: Callable[[float], None] = time.sleep,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings, self._db, self._executor = settings, db, executor
        self._clock, self._wait, self._cancelled = clock, wait, cancelled

    def audit(self, host_name: str | None = None) -> Audit:
        """Compare everything, or what is on one host. Raises NotFound for an unknown one."""
        first = self.look(host_name)
        if first.agrees:
            return first
        self._wait(PAUSE_S)
        second = self.look(host_name)
        keys = {finding.key for finding in first.findings}
        still = [finding for finding in second.findings if finding.key in keys]
        passed = len(second.findings) - len(still)
        return Audit(
            still, second.hosts, second.servers, 2, second.in_motion + passed,
            first.answered & second.answered,
        )  # fmt: skip

    def look(self, host_name: str | None = None) -> Audit:
        """Look once."""
        with self._db.read() as session:
            wanted = (
                [hosts.get_by_name(session, host_name)]
                if host_name
                # One that never answered is being enrolled: nothing of ours is there.
                else [one for one in hosts.list_hosts(session) if one.last_seen_at is not None]
            )
            before = book.read(session, self._clock())
        answers = self.ask(wanted)
        told = {each: reports.parse(said.facts) for each, said in answers.items() if said.facts}
        rules = self._check_rules([one for one in wanted if one.id in told])
        after = self._read_books(told.values())
        found = [*rules, *_silent(wanted, answers, told)]
        for host_id, report in told.items():
            if host_id in after.hosts:
                found += host.compare(after, after.hosts[host_id], report)
        if host_name is None:
            found += database.compare(after, self._store(), self._settings)
        moving = in_motion(before, after)
        still = [each for each in found if not _is_moving(each, moving)]
        still.sort(key=lambda each: (each.host or "", each.kind, each.subject))
        moved = len(found) - len(still)
        return Audit(still, len(wanted), len(after.servers), 1, moved, frozenset(told))

    def ask(self, wanted: Sequence[Host]) -> dict[str, HostResult]:
        """Return what each host says that it has, by its id."""
        batches = [wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)]
        answers: dict[str, HostResult] = {}
        with ThreadPoolExecutor(RUNS_AT_ONCE, "audit") as pool:
            for batch, result in zip(batches, pool.map(self._ask, batches), strict=True):
                answers |= {one.id: result.of(one.id) for one in batch}
        return answers

    def _ask(self, batch: Sequence[Host]) -> Any:
        return self._executor.run(
            Run(
                id=new_id(),
                playbook=PLAYBOOK,
                hosts=tuple(host_access.of_host(self._settings, one) for one in batch),
                arguments={},
                timeout_s=TIMEOUT_S,
                cancelled=self._cancelled,
            )
        )

    def _read_books(self, told: Any) -> Books:
        mentioned = [report.mentioned() for report in told]
        with self._db.read() as session:
            return book.read(
                session,
                self._clock(),
                book.Mentioned(
                    frozenset().union(*(each.server_ids for each in mentioned)),
                    frozenset().union(*(each.short_ids for each in mentioned)),
                    frozenset().union(*(each.network_ids for each in mentioned)),
                ),
            )

    def _check_rules(self, wanted: Sequence[Host]) -> list[Finding]:
        """Return the servers whose rules a play in check mode would change."""
        with ThreadPoolExecutor(RUNS_AT_ONCE, "audit") as pool:
            return [each for found in pool.map(self._check_rules_of, wanted) for each in found]

    def _check_rules_of(self, one: Host) -> list[Finding]:
        with self._db.read() as session:
            rules = runs.rules_of_host(session, one.id)
            settled = {
                each.id
                for each in book.read(session, self._clock()).of_host(one.id)
                if each.settled
            }
            arguments = {"cloud_id": cloud_id(session), **rules}
        if not settled:
            return []
        result = self._executor.run(
            Run(
                id=new_id(),
                playbook=RULES_PLAYBOOK,
                hosts=(host_access.of_host(self._settings, one),),
                arguments=arguments,
                check=True,
                timeout_s=TIMEOUT_S,
            )
        ).of(one.id)
        if result.status != OK and not result.items:
            what = f"the rules of {one.name} could not be compared: {result.message[:300]}"
            return [Finding("host_unread", "rules", what, None, one.name, one.id)]
        found = []
        for item in result.items:
            server_id = str(item.get("id"))
            if server_id not in settled or item.get("fenced"):
                continue
            if item.get("failed") or item.get("changed"):
                why = str(item.get("msg") or "a play would change them")[:300]
                what = f"the rules of server {server_id} on {one.name} differ: {why}"
                found.append(Finding("rules_differ", server_id, what, server_id, one.name, one.id))
        return found

    def _store(self) -> Store:
        files = {
            image_id: image_store.file_path(self._settings, image_id).stat().st_size
            for image_id in image_store.stored(self._settings)
        }
        folder = self._settings.artifacts_dir
        names = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
        # Enrolments keep theirs under the playbook and the host: host_enroll-compute1.
        ids = {name for name in names if "_" not in name}
        with self._db.read() as session:
            unknown = ids - book.known_operations(session, ids)
        return Store(files, len(names), tuple(sorted(unknown)))


@dataclass(frozen=True, slots=True)
class Motion:
    """What was worked on between two readings: servers, and hosts whose rules were set."""

    servers: frozenset[str]
    hosts: frozenset[str]
    # Each a server and a host that it is cleaned off.
    cleanups: frozenset[tuple[str | None, str | None]]


def in_motion(before: Books, after: Books) -> Motion:
    """Return what may look wrong because it was being worked on."""
    servers = before.busy_servers() | after.busy_servers()
    for server_id, server in after.servers.items():
        if before.servers.get(server_id) != server:
            servers.add(server_id)
    servers |= before.servers.keys() - after.servers.keys()
    operations = (*before.operations, *after.operations)
    updating = {each.host_id for each in operations if each.kind in UPDATES and each.host_id}
    cleanups = {(each.server_id, each.host_id) for each in operations if each.kind == CLEANUP}
    return Motion(frozenset(servers), frozenset(updating), frozenset(cleanups))


def _is_moving(finding: Finding, motion: Motion) -> bool:
    # That nobody works on it is what these say.
    if finding.kind == "task_without_operation":
        return False
    if finding.kind.startswith("rules_") and finding.host_id in motion.hosts:
        return True
    if finding.server_id is None:
        return False
    cleaned = (finding.server_id, finding.host_id) in motion.cleanups
    return cleaned or finding.server_id in motion.servers


def _silent(
    wanted: Sequence[Host], answers: dict[str, HostResult], told: dict[str, HostReport]
) -> list[Finding]:
    return [
        Finding(
            "host_silent", one.id,
            f"{one.name} did not say what it has: {answers[one.id].message[:300]}",
            None, one.name, one.id,
        )
        for one in wanted
        if one.id not in told
    ]  # fmt: skip
