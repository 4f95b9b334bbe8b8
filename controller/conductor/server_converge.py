"""server_converge: the host is brought to what the database says of a server, without a restart."""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import transitions
from controller.states import BY_OPERATION

KIND = "server_converge"
ATTEMPTS = 3


class Converge(Step):
    name = "converge"
    no_undo = "the play describes what the database says; there is nothing to go back to"

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = work.server.host_id
        return None if work.server.host_id is None else Play(KIND, work.server.host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server's host could not be brought to what it should be.")


class ServerConverge(Flow):
    kind = KIND
    steps = (Converge(),)
    cancellable = True

    def succeeded(self, work: Work) -> None:
        transitions.succeed(work.server, BY_OPERATION[KIND], work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if failure.unreachable and work.operation.attempts + 1 < ATTEMPTS:
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        return None
