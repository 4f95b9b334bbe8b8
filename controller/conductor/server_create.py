"""server_create: choose a host and claim its room, bind the ports, spawn.

The host is committed before its play starts, so that whatever happens then, somebody knows where to
clean up. A host that fails is cleaned, its claim released, and the next candidate tried.
"""

from controller.conductor import server_cleanup
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import hosts, ports, transitions
from controller.core.server_needs import physical_networks, resources
from controller.errors import ConcurrentUpdate, NoValidHost
from controller.placement import allocations
from controller.scheduler.select import select as select_hosts
from controller.scheduler.spec import RequestSpec
from controller.states import TABLE

ROW = TABLE["create"]
# Claims that others win are tried on the next candidates, and these many times over.
CLAIM_ROUNDS = 3

NO_VALID_HOST = "No valid host was found. There are not enough hosts available."
BUILD_FAILED = "The server could not be built: its host could not start it."


class ChooseHost(Step):
    name = "choose_host"

    def do(self, work: Work) -> Play | None:
        if work.operation.host_id is not None:
            return None
        for _ in range(CLAIM_ROUNDS):
            selection = select_hosts(work.session, work.settings, _spec(work))
            work.note(selection=selection.record())
            for candidate in selection.candidates:
                if self._claim(work, candidate.host.id):
                    return None
            if not selection.candidates:
                counts = ", ".join(f"{name} {count}" for name, count in selection.rejected.items())
                raise NoValidHost(NO_VALID_HOST, rejected=selection.rejected, reason=counts)
        raise NoValidHost(NO_VALID_HOST, reason="every candidate was taken by others first")

    def undo(self, work: Work) -> Play | None:
        if work.operation.host_id is not None:
            allocations.release(work.session, work.server.id, work.operation.host_id)
        work.operation.host_id = work.server.host_id = None
        return None

    def _claim(self, work: Work, host_id: str) -> bool:
        try:
            allocations.claim(work.session, work.server.id, host_id, resources(work.server.flavor))
        except ConcurrentUpdate:
            return False
        work.operation.host_id = work.server.host_id = host_id
        return True


class BindPorts(Step):
    name = "bind_ports"

    def do(self, work: Work) -> Play | None:
        transitions.progress(work.server, ROW, "networking")
        ports.bind(work.session, work.server.id, work.host_id)
        return None

    def undo(self, work: Work) -> Play | None:
        ports.unbind(work.session, work.server.id)
        return None


class Spawn(Step):
    name = "spawn"

    def do(self, work: Work) -> Play | None:
        transitions.progress(work.server, ROW, "spawning")
        # Kept until the host is known to be clean: from here on it may have something of ours.
        work.note(spawned=True)
        return Play("server_create", work.host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(BUILD_FAILED)
        ports.set_status(work.session, work.server.id, "ACTIVE")

    def undo(self, work: Work) -> Play | None:
        if not work.noted("spawned"):
            return None
        if Failure.of_json(work.operation.error).unreachable:
            self._leave_to_cleanup(work)
            return None
        return Play("server_delete", work.host_id)

    def undone(self, work: Work, outcome: Outcome) -> None:
        if outcome.ok:
            work.note(spawned=False)
        else:
            self._leave_to_cleanup(work)

    def _leave_to_cleanup(self, work: Work) -> None:
        server_cleanup.submit(work.session, work.settings, work.server, work.host_id)
        work.note(spawned=False)


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


def _spec(work: Work) -> RequestSpec:
    server = work.server
    return RequestSpec(
        resources=resources(server.flavor),
        now=work.now,
        availability_zone=server.availability_zone,
        forced_host=work.operation.arguments.get("forced_host"),
        image_properties=server.image.get("properties") or {},
        physical_networks=physical_networks(work.session, server.id),
        tried=frozenset(work.noted("tried", [])) | server_cleanup.hosts_of(work.session, server.id),
        down_after_s=hosts.down_after_s(work.settings),
    )
