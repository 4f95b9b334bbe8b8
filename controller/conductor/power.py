"""The actions that are one play on the server's host, safe to repeat: start, stop, pause ..."""

# ruff: noqa: ARG002 -- a step need not use all that its interface gives it

from typing import Any

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import ports, transitions
from controller.errors import HostFailed
from controller.states import ACTIVE, BY_OPERATION, PAUSED, RESCUED, TABLE

# A lost connection is common, and the plays may run again: three tries, then it is a failure.
ATTEMPTS = 3
START_AGAIN = TABLE["start_again"]

# What a soft delete gives way to, or is itself.
DELETES = frozenset({"server_soft_delete", "server_delete"})


class PowerPlay(Step):
    no_undo = "the play describes a state of the server; running the next one is the way back"

    def __init__(self, kind: str) -> None:
        self.name = kind.removeprefix("server_")
        self._kind = kind

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = work.server.host_id
        if work.server.host_id is None:
            raise HostFailed(
                "The server was never built on a host. Delete it and create it again.",
                reason="the server has no host",
            )
        return Play(self._kind, work.server.host_id, entry=self.entry(work))

    def entry(self, work: Work) -> dict[str, Any]:
        """Return what the play is told of the server besides what the database says."""
        return {}

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(f"The server could not {self.name.replace('_', ' ')}: its host failed to.")
        after = BY_OPERATION[self._kind].after_success
        if after is not None:
            # A paused guest keeps its taps.
            plugged = after in (ACTIVE, PAUSED)
            ports.set_status(work.session, work.server.id, "ACTIVE" if plugged else "DOWN")


class Start(PowerPlay):
    def entry(self, work: Work) -> dict[str, Any]:
        # Its rescue disk is in its definition alone: the database knows the server without it.
        return {"as_defined": True} if work.server.state == RESCUED else {}


class PowerFlow(Flow):
    cancellable = True

    def __init__(
        self, kind: str, cancels: frozenset[str] = frozenset(), step: PowerPlay | None = None
    ) -> None:
        self.kind = kind
        self.steps = (step or PowerPlay(kind),)
        self.cancels = cancels
        self._row = BY_OPERATION[kind]

    def succeeded(self, work: Work) -> None:
        transitions.succeed(work.server, self._row, work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if failure.cancelled:
            transitions.give_way(work.server, self._row)
            return None
        if failure.unreachable and work.operation.attempts + 1 < ATTEMPTS:
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        transitions.fail(work.server, self._row, work.now, failure.message, failure.details)
        return None


class StartFlow(PowerFlow):
    """A start, also of what stays rescued or resized; one of those that fails does so too."""

    def __init__(self) -> None:
        super().__init__("server_start", step=Start("server_start"))

    def succeeded(self, work: Work) -> None:
        kept = work.server.state if work.server.state in START_AGAIN.allowed_in else None
        transitions.succeed(work.server, self._row, work.now, kept)
        transitions.seen_power(work.server, runs=True)


FLOWS = (
    StartFlow(),
    PowerFlow("server_stop"),
    PowerFlow("server_reboot"),
    PowerFlow("server_hard_reboot", cancels=frozenset({"server_reboot"})),
    PowerFlow("server_pause"),
    PowerFlow("server_unpause"),
    PowerFlow("server_suspend"),
    PowerFlow("server_resume"),
    PowerFlow("server_soft_delete", cancels=frozenset(BY_OPERATION) - DELETES),
    PowerFlow("server_restore"),
    PowerFlow("server_change_password"),
    PowerFlow("server_trigger_crash_dump"),
)
