"""Claims of room for a server: the best host that the scheduler finds, before others take it."""

from collections.abc import Set
from typing import Any

from controller.conductor import server_cleanup
from controller.conductor.steps import Work
from controller.core.server_needs import request_of, resources
from controller.db.models import Host
from controller.errors import ConcurrentUpdate, NoValidHost
from controller.placement import allocations
from controller.scheduler.select import select
from controller.settings import Settings

# Claims that others win are tried on the next candidates, and these many times over.
CLAIM_ROUNDS = 3
NO_VALID_HOST = "No valid host was found. There are not enough hosts available."


def claim_best(
    work: Work,
    flavor: dict[str, Any],
    *,
    barred: Set[str] = frozenset(),
    settings: Settings | None = None,
) -> Host:
    """Claim room for the work's server, with `flavor`, at the best host; return that host.

    Hosts that failed it, that may still have something of it, or whose ids are `barred` are passed
    by. `settings` are what the scheduler goes by, where not the controller's. The operation notes
    the choice. Raises NoValidHost with what each filter rejected.
    """
    passed_by = {*work.noted("tried", []), *barred}
    passed_by |= server_cleanup.hosts_of(work.session, work.server.id)
    spec = request_of(
        work.session, work.settings, work.server, flavor, work.now,
        tried=passed_by, forced_host=work.operation.arguments.get("forced_host"),
    )  # fmt: skip
    for _ in range(CLAIM_ROUNDS):
        selection = select(work.session, settings or work.settings, spec)
        work.note(selection=selection.record())
        for candidate in selection.candidates:
            if claim(work, candidate.host, flavor):
                return candidate.host
        if not selection.candidates:
            counts = ", ".join(f"{name} {count}" for name, count in selection.rejected.items())
            raise NoValidHost(NO_VALID_HOST, rejected=selection.rejected, reason=counts)
    raise NoValidHost(NO_VALID_HOST, reason="every candidate was taken by others first")


def claim(work: Work, host: Host, flavor: dict[str, Any]) -> bool:
    """Claim room for the work's server at this host; return False when it is gone."""
    try:
        allocations.claim(work.session, work.server.id, host.id, resources(flavor))
    except ConcurrentUpdate:
        return False
    return True
