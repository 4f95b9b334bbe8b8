"""server_update_metadata: the owner's items, as the guest is served them, while it runs or not."""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from controller.conductor.power import PowerFlow
from controller.conductor.steps import Outcome, Play, Step, Work

KIND = "server_update_metadata"


class PushMetadata(Step):
    name = "push_metadata"
    no_undo = "the metadata follow the database; the next push or start tells what is right then"

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = work.server.host_id
        # A server that is on no host by now is told all when it comes to one.
        return Play(KIND, work.server.host_id) if work.server.host_id else None

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The metadata could not be pushed: the server's host failed to take them.")


class UpdateMetadata(PowerFlow):
    def __init__(self) -> None:
        super().__init__(KIND)
        self.steps = (PushMetadata(),)
