"""Hosts are asked, all in one run, whether they are there and what they have.

A host that is up is asked every `heartbeat_s`; one that is down more often, so that it is of use
soon after it is back, and what waited for it (clean-ups, rules) goes at once.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from controller.conductor.flows import UNORDERED
from controller.core import host_access, hosts
from controller.core.operations import QUEUED
from controller.db.base import new_id
from controller.db.models import Host, Operation
from controller.db.session import Database, wake_after
from controller.errors import ConcurrentUpdate, HostFailed
from controller.runner.requests import Executor, HostResult, Run
from controller.settings import Settings

log = logging.getLogger(__name__)

PLAYBOOK = "host_info"
DOWN_LOOK_S = 15.0
# A host that accepts a connection and then says nothing must not hold up the next heartbeat.
TIMEOUT_S = 60


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
    result = executor.run(
        Run(
            id=new_id(),
            playbook=PLAYBOOK,
            hosts=tuple(host_access.of_host(settings, host) for host in due),
            arguments={},
            timeout_s=TIMEOUT_S,
            cancelled=stopping,
        )
    )
    if stopping():
        return 0
    answered = 0
    for host in due:
        answered += _take_in(settings, db, host.id, result.of(host.id), clock())
    return answered


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


def _take_in(
    settings: Settings, db: Database, host_id: str, result: HostResult, now: datetime
) -> bool:
    """Record what the host said; return whether it said something that can be true."""
    if not result.facts:
        log.warning("host %s is %s: %s", host_id, result.status, result.message)
        return False
    try:
        with db.write() as session:
            host = hosts.get(session, host_id)
            was_up = hosts.is_up(host, settings, now)
            hosts.record_facts(session, settings, host, result.facts, now)
            if not was_up:
                log.info("host %s is up", host.name)
                _hurry(session, host_id, now)
    except (HostFailed, ConcurrentUpdate) as error:
        log.warning("host %s: %s", host_id, getattr(error, "details", None) or error)
        return False
    return True


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
