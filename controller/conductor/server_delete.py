"""server_delete: off its host, then out of the books. Tolerates whatever is gone already."""

from controller.conductor import backoff, server_cleanup
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import disk_snapshots, migrations, port_updates, transitions
from controller.placement import allocations
from controller.states import BY_OPERATION, TABLE

ROW = TABLE["delete"]
ATTEMPTS = 3


class Remove(Step):
    name = "remove"
    no_undo = "what is deleted can't be brought back"

    def do(self, work: Work) -> Play | None:
        # A build that found no host, or was undone, has nothing to remove anywhere.
        work.operation.host_id = work.server.host_id
        if work.server.host_id is None or work.noted("left_to_cleanup"):
            return None
        return Play("server_delete", work.server.host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        if outcome.unreachable:
            # The tenant need not wait for the host; its room and the addresses stay taken.
            server_cleanup.submit(work.session, work.settings, work.server, work.host_id)
            work.note(left_to_cleanup=True)
            return
        outcome.check("The server could not be deleted: its host could not remove it.")


class RemoveOldSides(Step):
    """What waits on an old host for a confirm or a revert goes too."""

    name = "remove_old_sides"
    no_undo = "what is deleted can't be brought back"

    def do(self, work: Work) -> Play | None:
        for migration in migrations.unsettled_of(work.session, work.server.id):
            if migration.source_host_id == work.server.host_id:
                # The play that removed the server has removed that as well.
                allocations.release(work.session, migration.uuid)
            else:
                operation = server_cleanup.submit(
                    work.session, work.settings, work.server, migration.source_host_id
                )
                allocations.hand_over(
                    work.session, migration.uuid, migration.source_host_id, operation.id
                )
            migration.status = migrations.CANCELLED
        return None


class Forget(Step):
    name = "forget"
    no_undo = "the last step: nothing after it can fail"

    def do(self, work: Work) -> Play | None:
        server_cleanup.release_ports(work.session, work.server.id)
        allocations.release(work.session, work.server.id)
        disk_snapshots.forget(work.session, work.server.id)
        return None


class ServerDelete(Flow):
    kind = "server_delete"
    steps = (Remove(), RemoveOldSides(), Forget())
    cancels = frozenset(BY_OPERATION) - {"server_delete"}

    def succeeded(self, work: Work) -> None:
        transitions.succeed(work.server, ROW, work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if work.operation.attempts + 1 < ATTEMPTS:
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        transitions.fail(work.server, ROW, work.now, failure.message, failure.details)
        if work.server.host_id is not None:
            # Updates of rules have left it out while it was being deleted.
            port_updates.submit_for_hosts(work.session, {work.server.host_id})
        return None
