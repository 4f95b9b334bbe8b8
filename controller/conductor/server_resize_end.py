"""server_confirm_resize and server_revert_resize: what becomes of a resized server's two sides."""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from controller.conductor import backoff, server_cleanup
from controller.conductor.server_resize import (
    back_at_source,
    migration_of,
    on_one_host,
    show_ports,
    sizes,
    was_running,
)
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import migrations, ports, transitions
from controller.db.models import Migration
from controller.placement import allocations
from controller.states import ACTIVE, POWER_SHUT_DOWN, RESIZED, STOPPED, TABLE

CONFIRM, REVERT = TABLE["confirm_resize"], TABLE["revert_resize"]
ATTEMPTS = 3
REVERT_FAILED = "The server could not be brought back to what it was before its resize."


def release_source(work: Work, migration: Migration) -> None:
    """Leave the old side to a clean-up, which holds its room until the host has confirmed it."""
    operation = server_cleanup.submit(
        work.session, work.settings, work.server, migration.source_host_id
    )
    allocations.hand_over(work.session, migration.uuid, migration.source_host_id, operation.id)


class RemoveOld(Step):
    name = "remove_old"
    no_undo = "what was confirmed is wanted no more; it is tried again, or left to a clean-up"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        migration.status = migrations.CONFIRMING
        work.operation.host_id = migration.source_host_id
        return Play("server_confirm_resize", migration.source_host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        migration = migration_of(work)
        if outcome.unreachable and not on_one_host(migration):
            release_source(work, migration)
            return
        outcome.check("The resize could not be confirmed: the old host could not clean up.")
        allocations.release(work.session, migration.uuid)


class ConfirmResize(Flow):
    kind = "server_confirm_resize"
    steps = (RemoveOld(),)

    def succeeded(self, work: Work) -> None:
        migration = migration_of(work)
        migration.status = migrations.CONFIRMED
        work.operation.host_id = work.server.host_id
        # Its guest may have ended meanwhile, or its host have booted.
        state = STOPPED if work.server.power_state == POWER_SHUT_DOWN else ACTIVE
        transitions.succeed(work.server, CONFIRM, work.now, state)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if work.operation.attempts + 1 < ATTEMPTS:
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        # Nothing is lost: it runs as it did, and can be confirmed again.
        migration_of(work).status = migrations.FINISHED
        transitions.fail(work.server, CONFIRM, work.now, failure.message, failure.details, RESIZED)
        return None


class StopNew(Step):
    """The new side is shut down before the old one starts; on one host it makes way at once."""

    name = "stop_new"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        migration.status = migrations.REVERTING
        work.operation.host_id = migration.dest_host_id
        if on_one_host(migration):
            return None
        return Play("server_stop", str(migration.dest_host_id))

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(REVERT_FAILED)

    def undo(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if on_one_host(migration) or not was_running(migration):
            return None
        work.operation.host_id = migration.dest_host_id
        return Play("server_start", str(migration.dest_host_id))

    def undone(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server could not be started again at its new size.")


class RemoveNewFirst(Step):
    name = "remove_new_first"
    no_undo = "on one host the new folder must go before the old one can come back"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if not on_one_host(migration):
            return None
        entry = {"move": {"keep_aside": True}}
        return Play("server_delete", str(migration.dest_host_id), entry=entry)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(REVERT_FAILED)


class SwitchBack(Step):
    """From here on the server is at its old host. What it takes at the new one it holds on to."""

    name = "switch_back"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if on_one_host(migration):
            allocations.release(work.session, work.server.id, migration.source_host_id)
        allocations.hand_over(
            work.session, migration.uuid, migration.source_host_id, work.server.id
        )
        work.server.flavor = migration.old_flavor
        work.server.host_id = migration.source_host_id
        ports.bind(work.session, work.server.id, migration.source_host_id)
        return None

    def undo(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if on_one_host(migration) or work.server.host_id == migration.dest_host_id:
            return None
        allocations.hand_over(
            work.session, work.server.id, migration.source_host_id, migration.uuid
        )
        work.server.flavor = migration.new_flavor
        work.server.host_id = migration.dest_host_id
        ports.bind(work.session, work.server.id, str(migration.dest_host_id))
        return None


class ReturnOld(Step):
    name = "return_old"

    def do(self, work: Work) -> Play | None:
        work.note(returning=True)
        return back_at_source(work, migration_of(work))

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(REVERT_FAILED)
        show_ports(work)

    def undo(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if not work.noted("returning") or on_one_host(migration):
            return None
        work.operation.host_id = migration.source_host_id
        entry = {"flavor": sizes(migration.old_flavor)}
        return Play("server_move_out", migration.source_host_id, entry=entry)

    def undone(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The old side could not be set aside again.")
        work.note(returning=False)


class RemoveNew(Step):
    name = "remove_new"
    no_undo = "the server is back; what is left of its new size is a clean-up's"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if on_one_host(migration):
            return None
        work.operation.host_id = migration.dest_host_id
        return Play("server_delete", str(migration.dest_host_id))

    def finished(self, work: Work, outcome: Outcome) -> None:
        host_id = str(migration_of(work).dest_host_id)
        work.operation.host_id = work.server.host_id
        if outcome.ok:
            allocations.release(work.session, work.server.id, host_id)
        else:
            server_cleanup.submit(work.session, work.settings, work.server, host_id)


class RevertResize(Flow):
    kind = "server_revert_resize"
    steps = (StopNew(), RemoveNewFirst(), SwitchBack(), ReturnOld(), RemoveNew())

    def succeeded(self, work: Work) -> None:
        migration = migration_of(work)
        migration.status = migrations.REVERTED
        state = ACTIVE if was_running(migration) else STOPPED
        transitions.succeed(work.server, REVERT, work.now, state)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        migration = migration_of(work)
        not_undone = work.noted("not_undone")
        details = "; ".join([failure.details or failure.message, *(not_undone or [])])
        back = work.server.host_id == migration.source_host_id
        if not_undone or (back and not on_one_host(migration)) or self._is_half(work, migration):
            migration.status = migrations.FAILED
            transitions.fail(work.server, REVERT, work.now, failure.message, details)
        else:
            # As it was before it was asked for; it can be reverted, or confirmed, again.
            migration.status = migrations.FINISHED
            transitions.fail(work.server, REVERT, work.now, failure.message, details, RESIZED)
        return None

    @staticmethod
    def _is_half(work: Work, migration: Migration) -> bool:
        """Whether, on one host, the new side is gone and the old one not back."""
        return on_one_host(migration) and work.server.flavor == migration.old_flavor
