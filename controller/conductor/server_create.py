"""server_create: choose a host and claim its room, bind the ports, spawn.

The host is committed before its play starts, so that whatever happens then, somebody knows where to
clean up. A host that fails is cleaned, its claim released, and the next candidate tried.
"""

from controller.conductor.host_claim import claim_best
from controller.conductor.made_on_host import MadeOnHost
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import ports, transitions
from controller.placement import allocations
from controller.states import TABLE

ROW = TABLE["create"]
BUILD_FAILED = "The server could not be built: its host could not start it."


class ChooseHost(Step):
    name = "choose_host"

    def do(self, work: Work) -> Play | None:
        if work.operation.host_id is not None:
            return None
        host = claim_best(work, work.server.flavor)
        work.operation.host_id = work.server.host_id = host.id
        return None

    def undo(self, work: Work) -> Play | None:
        if work.operation.host_id is not None:
            allocations.release(work.session, work.server.id, work.operation.host_id)
        work.operation.host_id = work.server.host_id = None
        return None


class BindPorts(Step):
    name = "bind_ports"

    def do(self, work: Work) -> Play | None:
        transitions.progress(work.server, ROW, "networking")
        ports.bind(work.session, work.server.id, work.host_id)
        return None

    def undo(self, work: Work) -> Play | None:
        ports.unbind(work.session, work.server.id)
        return None


class Spawn(MadeOnHost):
    name = "spawn"

    def do(self, work: Work) -> Play | None:
        transitions.progress(work.server, ROW, "spawning")
        # Kept until the host is known to be clean: from here on it may have something of ours.
        work.note(spawned=True)
        return Play("server_create", work.host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(BUILD_FAILED)
        ports.set_status(work.session, work.server.id, "ACTIVE")


class ServerCreate(Flow):
    kind = "server_create"
    steps = (ChooseHost(), BindPorts(), Spawn())
    cancellable = True

    def succeeded(self, work: Work) -> None:
        transitions.succeed(work.server, ROW, work.now)

    def failing(self, work: Work, failure: Failure) -> None:
        if failure.host_failed:
            work.note(
                tried=[*work.noted("tried", []), work.operation.host_id],
                failures=[*work.noted("failures", []), failure.details],
            )

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if failure.cancelled:
            transitions.give_way(work.server, ROW)
            return None
        tried = work.noted("failures", [])
        if failure.host_failed and work.operation.attempts + 1 < work.settings.create_attempts:
            transitions.progress(work.server, ROW, "scheduling")
            return Again()
        # Of several tries the tenant is told of the first: 'no valid host' would hide that
        # there was one, which failed.
        message = BUILD_FAILED if tried else failure.message
        details = "; ".join([*tried, *([] if failure.host_failed else [failure.details])])
        transitions.fail(work.server, ROW, work.now, message, details)
        return None
