"""The step that makes something of a server on a host, and what takes it away again."""

from typing import Any

from controller.conductor import server_cleanup
from controller.conductor.steps import Failure, Outcome, Play, Step, Work


class MadeOnHost(Step):
    """Notes `noted_as` before its play begins: from then on the host may have something of ours.

    Undone by the play `removal`, or by a clean-up, which is tried until the host confirms it, where
    that fails or the host can't be reached.
    """

    noted_as = "spawned"
    removal = "server_delete"

    def host_of(self, work: Work) -> str:
        return work.host_id

    def told(self, work: Work) -> dict[str, Any]:  # noqa: ARG002 -- for those that tell more
        """Return what whoever removes it is told besides."""
        return {}

    def undo(self, work: Work) -> Play | None:
        if not work.noted(self.noted_as):
            return None
        if Failure.of_json(work.operation.error).unreachable:
            self._leave_to_cleanup(work)
            return None
        work.operation.host_id = self.host_of(work)
        return Play(self.removal, self.host_of(work), entry=self.told(work))

    def undone(self, work: Work, outcome: Outcome) -> None:
        if outcome.ok:
            work.note(**{self.noted_as: False})
        else:
            self._leave_to_cleanup(work)

    def _leave_to_cleanup(self, work: Work) -> None:
        host_id = self.host_of(work)
        server_cleanup.submit(work.session, work.settings, work.server, host_id, self.told(work))
        work.note(**{self.noted_as: False})
