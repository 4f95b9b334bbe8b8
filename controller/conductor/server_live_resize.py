"""server_live_resize: other sizes for a server that runs on, within its limits.

Until it has ended the server holds the larger of both sizes at its host: what a guest gives back
late must not be somebody else's yet.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from collections.abc import Mapping
from typing import Any

from controller.conductor.server_resize import sizes
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import transitions
from controller.core.server_needs import resources
from controller.errors import ConcurrentUpdate, NoValidHost
from controller.placement import allocations
from controller.states import BY_OPERATION, ERROR

KIND = "server_live_resize"
ROW = BY_OPERATION[KIND]
FAILED = "The server could not be given other sizes: its host or its guest did not go along."


def _hold(work: Work, wanted: Mapping[str, int]) -> None:
    """Have the server hold this at its host, in the place of what it holds. Raises NoValidHost."""
    allocations.release(work.session, work.server.id, work.host_id)
    try:
        allocations.claim(work.session, work.server.id, work.host_id, wanted)
    except ConcurrentUpdate as error:
        raise NoValidHost(
            "The server's host has no room for the larger sizes. Migrate it, or ask for less.",
            reason="the host has no room for the larger sizes",
        ) from error


def _flavor(work: Work, which: str) -> dict[str, Any]:
    return dict(work.operation.arguments[which])


class ClaimSize(Step):
    name = "claim_size"

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = work.server.host_id
        old, new = (resources(_flavor(work, which)) for which in ("old", "new"))
        _hold(work, {name: max(old[name], new[name]) for name in old})
        return None

    def undo(self, work: Work) -> Play | None:
        if work.operation.host_id is not None:
            _hold(work, resources(_flavor(work, "old")))
        return None


class ApplySize(Step):
    name = "apply_size"

    def do(self, work: Work) -> Play | None:
        work.note(applied=True)
        return Play(KIND, work.host_id, entry={"flavor": sizes(_flavor(work, "new"))})

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(FAILED)

    def undo(self, work: Work) -> Play | None:
        if not work.noted("applied"):
            return None
        return Play(KIND, work.host_id, entry={"flavor": sizes(_flavor(work, "old"))})

    def undone(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server could not be given its sizes back.")
        work.note(applied=False)


class ServerLiveResize(Flow):
    kind = KIND
    steps = (ClaimSize(), ApplySize())
    cancellable = True

    def succeeded(self, work: Work) -> None:
        new = _flavor(work, "new")
        _hold(work, resources(new))
        work.server.flavor = new
        transitions.succeed(work.server, ROW, work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if failure.cancelled:
            transitions.give_way(work.server, ROW)
            return None
        not_undone = work.noted("not_undone")
        details = "; ".join([failure.details or failure.message, *(not_undone or [])])
        state = ERROR if not_undone else None
        transitions.fail(work.server, ROW, work.now, failure.message, details, state)
        return None
