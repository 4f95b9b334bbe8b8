"""What a heartbeat says of domains, against what servers should be.

A guest that shut itself down is stopped, and its owner is told so. One that runs although it is
stopped is stopped again, or only reported (`power_sync`). After a host's boot the guests that
should run are started: nothing starts by itself there.

Only servers that nobody worked on from before the host was asked until now are looked at: whatever
else is in flight knows better.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.conductor.flows import UNORDERED
from controller.conductor.reconcilers import rounds
from controller.core import network_updates, operations, port_updates, ports, transitions
from controller.core.context import Context
from controller.core.operations import UNFINISHED
from controller.db.base import new_id
from controller.db.models import Host, Operation, Server
from controller.settings import Settings
from controller.states import (
    ACTIVE,
    DOMAIN_STATES,
    OFF,
    PAUSED,
    POWER_RUNNING,
    RUNS,
    STOPPED,
    TABLE,
)

log = logging.getLogger(__name__)

REPAIR = "repair"


@dataclass(frozen=True, slots=True)
class Quiet:
    """A server that nothing is being done to, as it was before its host was asked."""

    host_id: str
    state: str
    power_state: int
    generation: int


def quiet_servers(session: Session, host_ids: Collection[str]) -> dict[str, Quiet]:
    """Return the servers on these hosts that nothing is being done to, by id."""
    query = select(
        Server.id, Server.host_id, Server.state, Server.power_state, Server.generation
    ).where(
        Server.host_id.in_(host_ids),
        Server.deleted_at.is_(None),
        Server.task_state.is_(None),
        Server.state.in_(DOMAIN_STATES),
        ~_worked_on(),
    )
    return {
        row.id: Quiet(str(row.host_id), row.state, row.power_state, row.generation)
        for row in session.execute(query)
    }


def take_in(
    session: Session,
    settings: Settings,
    host: Host,
    before: Mapping[str, Quiet],
    facts: Mapping[str, Any],
    now: datetime,
) -> None:
    """Put right, or report, where the host's domains are not as its servers should be.

    `facts` are the host's, as it said them: untrusted. Call it before they are recorded, for it
    compares the host's boot with the one before.
    """
    still = quiet_servers(session, [host.id])
    same = [server_id for server_id, quiet in still.items() if before.get(server_id) == quiet]
    if _has_booted(host, facts):
        _after_boot(session, settings, host, same, now)
        return
    states = facts.get("domain_states")
    if not isinstance(states, dict):
        return
    for server_id in same:
        said, should = states.get(server_id), still[server_id].state
        if not isinstance(said, str):
            continue
        runs, known = said == RUNS, still[server_id].power_state == POWER_RUNNING
        if should in TABLE["start_again"].allowed_in and runs != known:
            _note_power(session, server_id, runs=runs)
        if said in DOMAIN_STATES[should]:
            continue
        if should in (ACTIVE, PAUSED) and said in OFF:
            _note_off(session, host, server_id, now)
        elif should == STOPPED and said == RUNS:
            _note_running(session, settings, host, server_id, now)
        else:
            log.warning("server %s is %s, and %s on host %s", server_id, should, said, host.name)


def _has_booted(host: Host, facts: Mapping[str, Any]) -> bool:
    known, said = host.facts.get("boot_id"), facts.get("boot_id")
    return bool(known and said) and known != said


def _after_boot(
    session: Session, settings: Settings, host: Host, server_ids: Collection[str], now: datetime
) -> None:
    """Have the host's rules set and leftovers looked for, and start the servers that should run.

    Nothing runs there before: libvirt starts no domain by itself. Where they are not to be started
    (`resume_guests_on_host_boot`) they are stopped, as in OpenStack Nova. The memory of a paused
    one went with the boot: it is stopped too. That of a suspended one is in a file. What ran and is
    rescued or resized keeps its state either way, so that its owner can still end that.
    """
    again = TABLE["start_again"].allowed_in
    port_updates.submit_for_hosts(session, {host.id})
    network_updates.host_booted(session, host.id)
    rounds.hasten(session, rounds.LEFTOVERS, now)
    started = 0
    for server in _locked(session, server_ids):
        if server.state == ACTIVE and settings.resume_guests_on_host_boot:
            _begin(session, settings, server, "hard_reboot")
            started += 1
        elif server.state in (ACTIVE, PAUSED):
            transitions.seen_off(server, now)
            ports.set_status(session, server.id, "DOWN")
        elif server.state in again and server.power_state == POWER_RUNNING:
            transitions.seen_power(server, runs=False)
            ports.set_status(session, server.id, "DOWN")
            if settings.resume_guests_on_host_boot:
                _begin(session, settings, server, "start_again")
                started += 1
    log.warning("host %s has booted; %d servers are started again", host.name, started)


def _note_off(session: Session, host: Host, server_id: str, now: datetime) -> None:
    for server in _locked(session, [server_id]):
        log.warning("server %s is off on host %s; it is stopped now", server_id, host.name)
        transitions.seen_off(server, now)
        ports.set_status(session, server_id, "DOWN")


def _note_power(session: Session, server_id: str, *, runs: bool) -> None:
    for server in _locked(session, [server_id]):
        transitions.seen_power(server, runs=runs)


def _note_running(
    session: Session, settings: Settings, host: Host, server_id: str, now: datetime
) -> None:
    if settings.power_sync != REPAIR:
        log.warning("server %s is stopped, and runs on host %s", server_id, host.name)
        return
    for server in _locked(session, [server_id]):
        log.warning("server %s ran on host %s though stopped; it is stopped", server_id, host.name)
        transitions.seen_running(server, now)
        _begin(session, settings, server, "stop")


def _begin(session: Session, settings: Settings, server: Server, action: str) -> None:
    context = Context(f"req-{new_id()}", project_id=server.project_id, is_admin=True)
    record_as = {"hard_reboot": "reboot", "start_again": "start"}.get(action)
    # After a power failure the starts may be more than the queue has room for; a heartbeat that
    # failed for it would make the host look down.
    operations.begin_action(
        session, settings, context, server, action, record_as=record_as, bounded=False
    )


def _locked(session: Session, server_ids: Collection[str]) -> list[Server]:
    """Return those of the servers that are still quiet, their rows locked till the commit."""
    query = select(Server).where(Server.id.in_(server_ids), Server.task_state.is_(None))
    return list(session.scalars(query.with_for_update().order_by(Server.id)))


def _worked_on() -> Any:
    return (
        select(Operation.id)
        .where(
            Operation.server_id == Server.id,
            Operation.state.in_(UNFINISHED),
            Operation.kind.not_in(UNORDERED),
        )
        .exists()
    )
