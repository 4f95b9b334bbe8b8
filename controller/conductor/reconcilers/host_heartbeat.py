"""Hosts are asked, many in one run, whether they are there, what they have and what runs on them.

A host that is up is asked every `heartbeat_s`; one that is down more often, so that it is of use
soon after it is back, and what waited for it (clean-ups, rules) goes at once.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from controller.conductor import power_sync
from controller.conductor.flows import UNORDERED
from controller.conductor.power_sync import Quiet
from controller.core import host_access, hosts, posted_passwords
from controller.core.operations import QUEUED
from controller.db import failures
from controller.db.base import new_id
from controller.db.models import Host, Operation
from controller.db.session import Database, wake_after
from controller.errors import ConcurrentUpdate, HostFailed, NotFound
from controller.runner.requests import Executor, HostResult, Run
from controller.settings import Settings

log = logging.getLogger(__name__)

PLAYBOOK = "host_info"
DOWN_LOOK_S = 15.0
# A host that accepts a connection and then says nothing must not hold up the next heartbeat.
TIMEOUT_S = 60
# Hosts in one run, whose tasks wait for each other, and runs at once: hundreds of hosts take a few
# runs, and the thread of one that has just died is one of several.
BATCH = 32
RUNS_AT_ONCE = 4


def look_every_s(settings: Settings) -> float:
    """Return how often `run` looks which hosts are due."""
    return min(DOWN_LOOK_S, settings.heartbeat_s / 4)


def run(
    settings: Settings,
    db: Database,
    executor: Executor,
    clock: Callable[[], datetime],
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Ask the hosts that are due, and return how many answered; give up when `stopping`."""
    now = clock()
    with db.read() as session:
        known = hosts.list_hosts(session)
        if not any(_is_due(host, settings, now) for host in known):
            return 0
        # Those that will be due before long come along, so that one run stays one run.
        due = [host for host in known if _is_due(host, settings, now, share=0.5)]
        before = power_sync.quiet_servers(session, [host.id for host in due])
    round_ = _Round(settings, db, executor, clock, stopping, before)
    with ThreadPoolExecutor(RUNS_AT_ONCE, "heartbeat") as pool:
        return sum(pool.map(round_.ask, _batches(due, settings, now)))


def _batches(due: Sequence[Host], settings: Settings, now: datetime) -> list[list[Host]]:
    """Return the hosts of each run. One that is down is asked apart: it holds up nobody else."""
    up = [host for host in due if hosts.is_up(host, settings, now)]
    down = [host for host in due if not hosts.is_up(host, settings, now)]
    return [
        group[start : start + BATCH]
        for group in (up, down)
        for start in range(0, len(group), BATCH)
    ]


@dataclass(frozen=True, slots=True)
class _Round:
    """One round. `before` has the servers that nothing was being done to when it began."""

    settings: Settings
    db: Database
    executor: Executor
    clock: Callable[[], datetime]
    stopping: Callable[[], bool]
    before: Mapping[str, Quiet]

    def ask(self, batch: Sequence[Host]) -> int:
        """Ask these hosts in one run, and return how many answered."""
        if self.stopping():
            return 0
        result = self.executor.run(
            Run(
                id=new_id(),
                playbook=PLAYBOOK,
                hosts=tuple(host_access.of_host(self.settings, host) for host in batch),
                arguments={},
                timeout_s=TIMEOUT_S,
                cancelled=self.stopping,
            )
        )
        if self.stopping():
            return 0
        return sum(self._take_in(host.id, result.of(host.id)) for host in batch)

    def _take_in(self, host_id: str, result: HostResult) -> bool:
        """Record what the host said; return whether it said something that can be true."""
        if not result.facts:
            log.warning("host %s is %s: %s", host_id, result.status, result.message)
            return False
        now = self.clock()
        try:
            with self.db.write() as session:
                host = hosts.get(session, host_id)
                was_up = hosts.is_up(host, self.settings, now)
                power_sync.take_in(session, self.settings, host, self.before, result.facts, now)
                posted_passwords.take_in(session, host, result.facts)
                hosts.record_facts(session, self.settings, host, result.facts, now)
                if not was_up:
                    log.info("host %s is up", host.name)
                    _hurry(session, host_id, now)
        except (HostFailed, ConcurrentUpdate) as error:
            log.warning("host %s: %s", host_id, getattr(error, "details", None) or error)
            return False
        except NotFound:
            log.info("host %s was removed while it was asked", host_id)
            return False
        except Exception as error:
            # What one host says must not keep the others of its run from being recorded.
            if failures.is_away(error):
                self.db.outages.note(f"recording what host {host_id} says", error)
            else:
                log.exception("what host %s says could not be recorded", host_id)
            return False
        return True


def _is_due(host: Host, settings: Settings, now: datetime, share: float = 1.0) -> bool:
    """Whether `share` of the time to the host's next heartbeat is over."""
    if host.last_seen_at is None:
        # It is being enrolled, and doesn't know our key yet; enrolment takes in its first facts.
        return False
    if not hosts.is_up(host, settings, now):
        return True
    # A little early rather than a whole look too late.
    after_s = (settings.heartbeat_s - look_every_s(settings) / 2) * share
    return now - host.last_seen_at >= timedelta(seconds=after_s)


def _hurry(session: Session, host_id: str, now: datetime) -> None:
    """Let what waits for the host be tried at once."""
    session.execute(
        update(Operation)
        .where(
            Operation.host_id == host_id,
            Operation.state == QUEUED,
            Operation.kind.in_(UNORDERED),
            Operation.not_before > now,
        )
        .values(not_before=now)
        .execution_options(synchronize_session=False)
    )
    wake_after(session)
