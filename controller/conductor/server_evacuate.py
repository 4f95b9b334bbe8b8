"""server_evacuate: a server of a dead host, made anew on another one.

First the proof that the old host runs nothing: recorded, or brought by the operator's own fence
playbook. Then as a create, on a host of the scheduler's choice: with the same id, ports and
addresses, of its image, or with its own disk where hosts share them. What the old host has of it is
left to a clean-up, which gets through when the host is back, before that takes new servers
(reconcilers/fenced_hosts.py). Follows OpenStack Nova's evacuate, but for the proof.
"""

from dataclasses import replace
from typing import Any

from controller.conductor import server_cleanup, server_resize
from controller.conductor.made_on_host import MadeOnHost
from controller.conductor.server_resize import BindPorts, migration_of
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import disk_snapshots, host_fences, hosts, migrations, ports, transitions
from controller.errors import HostFailed
from controller.placement import allocations
from controller.settings import Settings
from controller.states import ACTIVE, STOPPED, TABLE

ROW = TABLE["evacuate"]
# An operator's own playbook, which the setting `fence_playbook` names; see runs.prepare.
FENCE = "host_fence"
NOT_FENCED = "The server is where it was: its host is not known to be off."
# What a failure for want of proof says to the flow.
UNFENCED = {"unfenced": True}
FAILED = "The server could not be made anew: the new host could not start it."


def entry_of(work: Work) -> dict[str, Any]:
    """Return what plays are told of the evacuation."""
    arguments = work.operation.arguments
    return {"evacuation": {"running": arguments["running"], "shared": arguments["shared"]}}


class FenceHost(Step):
    """Looked at again in each try: meanwhile the host may be back, and run its guests."""

    name = "fence_host"
    no_undo = "a host that is off stays off until somebody starts it"
    not_tried = "no host is fenced to try something out; whether it can be is not known"

    def do(self, work: Work) -> Play | None:
        host = hosts.get(work.session, migration_of(work).source_host_id)
        work.operation.host_id = host.id
        proof = host_fences.proof_of(host)
        if proof is not None:
            work.note(fence=proof.as_json())
            return None
        if hosts.is_up(host, work.settings, work.now):
            reason = f"host {host.name} is back"
            raise HostFailed(NOT_FENCED, reason=reason, found=UNFENCED)
        if not work.settings.fence_playbook:
            reason = (
                f"host {host.name} was heard of since it was fenced; `novella host fenced` says so "
                "anew"
            )
            raise HostFailed(NOT_FENCED, reason=reason, found=UNFENCED)
        return Play(FENCE, host.id, whole_host=True)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(NOT_FENCED, **UNFENCED)
        host = hosts.get(work.session, migration_of(work).source_host_id)
        host_fences.note(
            host, by=host_fences.BY_PLAYBOOK, reason=work.settings.fence_playbook, now=work.now
        )


class ChooseHost(server_resize.ChooseHost):
    def settings(self, work: Work) -> Settings:
        """A host that is forced is not asked whether it passes the others' filters."""
        if work.operation.arguments["force"]:
            return replace(work.settings, scheduler_filters=("ForcedHost",))
        return work.settings


class Spawn(MadeOnHost):
    name = "spawn"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        transitions.progress(work.server, ROW, "rebuild_spawning")
        migration.status = migrations.PREPARING
        work.operation.host_id = migration.dest_host_id
        work.note(spawned=True)
        return Play("server_evacuate", work.host_id, entry=entry_of(work))

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(FAILED)
        running = work.operation.arguments["running"]
        work.server.launched_at = work.now
        ports.set_status(work.session, work.server.id, "ACTIVE" if running else "DOWN")

    def host_of(self, work: Work) -> str:
        return str(migration_of(work).dest_host_id)

    def told(self, work: Work) -> dict[str, Any]:
        return entry_of(work)


class LeaveSource(Step):
    """The old host's room is the clean-up's until that has got through to it."""

    name = "leave_source"
    no_undo = "the last step: nothing after it can fail"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        source_id = migration.source_host_id
        left = server_cleanup.submit(
            work.session, work.settings, work.server, source_id, entry_of(work)
        )
        allocations.hand_over(work.session, migration.uuid, source_id, left.id)
        return None


class ServerEvacuate(Flow):
    kind = "server_evacuate"
    steps = (FenceHost(), ChooseHost(), BindPorts(), Spawn(), LeaveSource())
    cancellable = True

    def succeeded(self, work: Work) -> None:
        # Nova's word until the old host is clean; `completed` from then on.
        migration_of(work).status = migrations.DONE
        if not work.operation.arguments["shared"]:
            # Its disks were made anew.
            disk_snapshots.forget(work.session, work.server.id)
        state = ACTIVE if work.operation.arguments["running"] else STOPPED
        transitions.succeed(work.server, ROW, work.now, state)

    def failing(self, work: Work, failure: Failure) -> None:
        on_new_host = work.operation.host_id == migration_of(work).dest_host_id
        work.note(again=failure.host_failed and on_new_host)
        if work.noted("again"):
            work.note(tried=[*work.noted("tried", []), work.operation.host_id])

    def failed(self, work: Work, failure: Failure) -> Again | None:
        migration = migration_of(work)
        if work.noted("again") and work.operation.attempts + 1 < work.settings.create_attempts:
            return Again()
        migration.status = migrations.CANCELLED if failure.cancelled else migrations.FAILED
        if failure.cancelled:
            transitions.give_way(work.server, ROW)
            return None
        # Without proof nothing was done: it is what it was.
        state = work.operation.arguments["was"] if failure.found.get("unfenced") else None
        details = failure.details or failure.message
        transitions.fail(work.server, ROW, work.now, failure.message, details, state)
        return None
