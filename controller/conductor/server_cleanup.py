"""server_cleanup: what a failed host may still have of a server, until it is confirmed gone.

Unreachable is not dead: the host may run the server still. So the clean-up holds the server's room
there, under the operation's own id, and tries until a play says that nothing is left.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from sqlalchemy.orm import Session

from controller.conductor import backoff
from controller.conductor.arguments import server_arguments
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import ports
from controller.core.operations import FORMAT_VERSION
from controller.db.base import new_id
from controller.db.models import Operation, Server
from controller.db.session import wake_after
from controller.placement import allocations
from controller.settings import Settings

KIND = "server_cleanup"


def submit(
    session: Session,
    settings: Settings,
    server: Server,
    host_id: str,
    *,
    release_ports: bool = False,
) -> Operation:
    """Write the clean-up of `server` on the host, and hand the server's room there over to it.

    What the play needs is kept with it: ports and networks may be gone by the time it gets through.
    `release_ports` is for a server that is deleted: its addresses stay taken until nobody can be
    using them any more.
    """
    operation = Operation(
        id=new_id(),
        kind=KIND,
        format_version=FORMAT_VERSION,
        server_id=server.id,
        host_id=host_id,
        project_id=server.project_id,
        user_id=server.user_id,
        arguments={
            "server": server_arguments(session, settings, [server])[server.id],
            "release_ports": release_ports,
        },
    )
    session.add(operation)
    session.flush()
    allocations.hand_over(session, server.id, host_id, operation.id)
    wake_after(session)
    return operation


class CleanUp(Step):
    name = "clean_up"
    no_undo = "what was removed was to be removed; it is tried again until all is"

    def do(self, work: Work) -> Play | None:
        return Play("server_delete", work.host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The clean-up on the host failed.")
        allocations.release(work.session, work.operation.id)
        if work.operation.arguments.get("release_ports"):
            ports.release(work.session, work.server.id)


class ServerCleanup(Flow):
    kind = KIND
    steps = (CleanUp(),)
    # The server goes on elsewhere meanwhile; the fence on each host keeps them apart.
    ordered = False

    def failed(self, work: Work, failure: Failure) -> Again | None:
        first_s = work.settings.retry_backoff_s
        return Again(backoff.delay_s(first_s, work.operation.attempts + 1))
