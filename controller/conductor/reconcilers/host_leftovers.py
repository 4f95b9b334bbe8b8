"""What hosts have left of deleted servers is removed, by a clean-up; all else is reported.

Removed is only what bears this cloud's id and has a record of its deletion. Disks are set aside for
a day first. A host that has seen newer runs than the database knows shows that this was restored
from a backup: nothing is removed there then, until somebody has looked.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from controller.conductor import server_cleanup
from controller.conductor.audit.findings import Finding
from controller.conductor.audit.looks import Auditor
from controller.core import port_departures, reaping
from controller.db.session import Database
from controller.runner.requests import Executor
from controller.settings import Settings

log = logging.getLogger(__name__)

# Said at most, of what can be a whole cloud's.
REPORTED_MAX = 100


def run(
    settings: Settings,
    db: Database,
    executor: Executor,
    clock: Callable[[], datetime],
    wait: Callable[[float], None],
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Audit the cloud, report what disagrees, and return how many clean-ups were submitted.

    `wait` passes the time between two looks.
    """
    audit = Auditor(settings, db, executor, clock, wait, stopping).audit()
    if stopping():
        # Hosts that were not asked to the end say nothing.
        return 0
    _report(audit.findings)
    newer = {
        each.host_id: each.what
        for each in audit.findings
        if each.kind == "database_is_older" and each.host_id
    }
    with db.write() as session:
        off = reaping.take_in(session, newer, audit.answered)
        if reaping.why_off(session) is not None:
            return 0
    places = {
        (each.server_id, each.host_id)
        for each in audit.findings
        if each.kind == "leftover" and each.server_id and each.host_id and each.host_id not in off
    }
    return sum(_submit(db, server_id, host_id) for server_id, host_id in sorted(places))


def _report(findings: Iterable[Finding]) -> None:
    for finding in list(findings)[:REPORTED_MAX]:
        log.warning("audit: %s: %s", finding.kind, finding.what)


def _submit(db: Database, server_id: str, host_id: str) -> bool:
    """Have what the host has left of a deleted server removed; False when that is under way."""
    with db.write() as session:
        departed = port_departures.of_servers(session, [server_id])
        ports = [
            {
                "id": port.port_id,
                "network_id": port.network_id,
                "mac_address": port.mac_address,
                "fixed_ips": [{"ip_address": address} for address in port.addresses],
            }
            for port in departed
        ]
        networks = [{"id": each} for each in sorted({port.network_id for port in departed})]
        entry = {"id": server_id, "ports": ports, "networks": networks, "quarantine": True}
        return server_cleanup.submit_for_deleted(session, server_id, host_id, entry)
