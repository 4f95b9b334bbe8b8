"""server_rescue and server_unrescue: started from another disk for a while, and back.

The host makes the rescue disk and keeps the definition aside before it touches the server. A rescue
that fails is taken back by the play of unrescue; the server is ERROR all the same, as in OpenStack
Nova, and runs as before if the host let it.
"""

from controller.conductor import backoff
from controller.conductor.arguments import image_entry
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import ports, transitions
from controller.errors import HostFailed
from controller.states import BY_OPERATION, STOPPED, Transition

ATTEMPTS = 3


def _host(work: Work) -> str:
    work.operation.host_id = work.server.host_id
    if work.server.host_id is None:
        raise HostFailed(
            "The server has no host. Delete it and create it again.",
            reason="the server has no host",
        )
    return work.server.host_id


class Rescue(Step):
    name = "rescue"

    def do(self, work: Work) -> Play | None:
        host_id = _host(work)
        work.note(rescuing=True)
        image = work.operation.arguments["image"]
        entry = {"rescue": {"image": image_entry(work.settings, image["id"], image)}}
        return Play("server_rescue", host_id, entry=entry)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server could not be rescued: its host failed to.")
        ports.set_status(work.session, work.server.id, "ACTIVE")

    def undo(self, work: Work) -> Play | None:
        failure = Failure.of_json(work.operation.error)
        if not work.noted("rescuing") or failure.cancelled or failure.unreachable:
            return None
        was_off = work.operation.arguments["was"] == STOPPED
        return Play("server_unrescue", work.host_id, entry={"stays_off": was_off})

    def undone(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The rescue could not be taken back: the server's host failed to.")
        work.note(rescuing=False)


class Unrescue(Step):
    name = "unrescue"
    no_undo = "the play describes the server as it was before; it may be run again"

    def do(self, work: Work) -> Play | None:
        return Play("server_unrescue", _host(work))

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server could not be brought back from its rescue: its host failed to.")
        ports.set_status(work.session, work.server.id, "ACTIVE")


class RescueFlow(Flow):
    cancellable = True

    def __init__(self, kind: str, step: Step) -> None:
        self.kind = kind
        self.steps = (step,)

    @property
    def _row(self) -> Transition:
        return BY_OPERATION[self.kind]

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


FLOWS = (RescueFlow("server_rescue", Rescue()), RescueFlow("server_unrescue", Unrescue()))
