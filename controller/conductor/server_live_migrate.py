"""server_live_migrate: a server to another host while it runs, or while it is paused.

The destination is made ready, libvirt moves the domain, and what the source has left is removed.
Until the domain is there the server is the source's in the database: what it takes there is held by
the migration, and what it will take at the destination by the server, as in OpenStack Nova. Where a
run ended without a word the hosts are asked, never the database (docs/adr/0011).
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from typing import Any

from controller.conductor import server_cleanup
from controller.conductor.host_claim import NO_VALID_HOST, claim, claim_best
from controller.conductor.made_on_host import MadeOnHost
from controller.conductor.server_resize import migration_of, peer
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import migrations, port_updates, ports, transitions
from controller.db.models import Host, Migration
from controller.errors import HostFailed, NoValidHost
from controller.placement import allocations
from controller.states import TABLE

ROW = TABLE["live_migrate"]
PLAYBOOK = "server_live_migrate"
NOT_READY = "The server could not be migrated: its new host could not make ready for it."
NOT_MOVED = "The server could not be migrated: it runs on where it was."
NOT_SETTLED = "It can't be told yet on which host the server is."
# How soon hosts that can't say which of them has a server are asked again.
ASK_AGAIN_S = 60.0
SOURCE, DESTINATION = "source", "destination"


def shared(work: Work) -> bool:
    """Whether both hosts have the server's folder, so that none of its disks is copied."""
    return bool(work.operation.arguments["shared"])


class ChooseHost(Step):
    name = "choose_host"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        migration.status = migrations.LIVE_PREPARING
        if migration.dest_host_id is not None:
            return None
        allocations.hand_over(
            work.session, work.server.id, migration.source_host_id, migration.uuid
        )
        host = self._claimed(work, migration)
        migration.dest_host_id, migration.dest_host = host.id, host.name
        return None

    def undo(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if work.noted("where") == DESTINATION or work.noted("unsettled"):
            return None
        if migration.dest_host_id is not None:
            allocations.release(work.session, work.server.id, migration.dest_host_id)
            allocations.hand_over(
                work.session, migration.uuid, migration.source_host_id, work.server.id
            )
        work.operation.host_id = migration.source_host_id
        migration.dest_host_id = migration.dest_host = None
        return None

    def _claimed(self, work: Work, migration: Migration) -> Host:
        forced = work.operation.arguments.get("unchecked_host_id")
        if forced is None:
            return claim_best(work, work.server.flavor, barred={migration.source_host_id})
        host = work.session.get_one(Host, forced)
        if not claim(work, host, work.server.flavor):
            raise NoValidHost(NO_VALID_HOST, reason="the host that was asked for has no room")
        return host


class MakeReady(MadeOnHost):
    """Networks, rules, DHCP and metadata at the destination, and disks to be filled."""

    name = "make_ready"
    noted_as = "made_ready"

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = self.host_of(work)
        ports.expect(work.session, work.server.id, self.host_of(work))
        work.note(made_ready=True, tried_to_move=False)
        return Play("server_receive", self.host_of(work), entry=self.told(work))

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(NOT_READY)

    def host_of(self, work: Work) -> str:
        return str(migration_of(work).dest_host_id)

    def told(self, work: Work) -> dict[str, Any]:
        return {"move": {"shared": shared(work)}}

    def undo(self, work: Work) -> Play | None:
        if work.noted("where") == DESTINATION or work.noted("unsettled"):
            return None
        ports.expect_no_longer(work.session, work.server.id)
        return super().undo(work)


class Migrate(Step):
    name = "migrate"

    def do(self, work: Work) -> Play | None:
        work.note(tried_to_move=True)
        return _play(work, settle=False)

    def finished(self, work: Work, outcome: Outcome) -> None:
        if _where(outcome) == DESTINATION:
            arrive(work, outcome)
            return
        outcome.check(NOT_MOVED)
        raise HostFailed(NOT_MOVED, reason="the hosts did not say that it has moved")

    def undo(self, work: Work) -> Play | None:
        """Ask the hosts which of them has it, and have that be so at both."""
        if not work.noted("tried_to_move") or work.noted("where"):
            return None
        work.note(unsettled=True)
        return _play(work, settle=True)

    def undone(self, work: Work, outcome: Outcome) -> None:
        where = _where(outcome)
        if where is None:
            raise HostFailed(NOT_SETTLED, reason=f"{NOT_SETTLED} {outcome.message}")
        work.note(unsettled=False, tried_to_move=False)
        if where == DESTINATION:
            arrive(work, outcome)


class SettleIn(Step):
    """The definition is written down at the destination, and rules are what they are by now."""

    name = "settle_in"
    no_undo = (
        "the server has moved; a host that does not keep its definition is no reason to go back"
    )
    not_tried = "it compares with what has come to the new host, and nothing has"

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = work.server.host_id
        return Play("server_converge", str(work.server.host_id))

    def finished(self, work: Work, outcome: Outcome) -> None:
        if not outcome.ok:
            port_updates.submit_for_hosts(work.session, {str(work.server.host_id)})


class LeaveSource(Step):
    name = "leave_source"
    no_undo = "the server has moved; what its old host does not remove now is a clean-up's"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        work.operation.host_id = migration.source_host_id
        entry = {"move": {"shared": shared(work)}}
        return Play("server_delete", migration.source_host_id, entry=entry)

    def finished(self, work: Work, outcome: Outcome) -> None:
        migration = migration_of(work)
        work.operation.host_id = work.server.host_id
        if outcome.ok:
            allocations.release(work.session, migration.uuid)
        else:
            leave_source_to_cleanup(work, migration)


class ServerLiveMigrate(Flow):
    kind = "server_live_migrate"
    steps = (ChooseHost(), MakeReady(), Migrate(), SettleIn(), LeaveSource())
    cancellable = True

    def succeeded(self, work: Work) -> None:
        migration_of(work).status = migrations.COMPLETED
        transitions.succeed(work.server, ROW, work.now)

    def failing(self, work: Work, failure: Failure) -> None:
        migration = migration_of(work)
        # Only what is its own fault: a migration that fails may be the guest's, or the source's.
        if failure.host_failed and work.operation.host_id == migration.dest_host_id:
            work.note(
                tried=[*work.noted("tried", []), migration.dest_host_id],
                failures=[*work.noted("failures", []), failure.details],
                another=not work.noted("tried_to_move"),
            )

    def failed(self, work: Work, failure: Failure) -> Again | None:
        migration = migration_of(work)
        if work.noted("unsettled"):
            # Both keep their room, and nobody starts it anywhere, until they have said.
            work.operation.host_id = migration.source_host_id
            return Again(ASK_AGAIN_S)
        if work.noted("where") == DESTINATION:
            # It had moved when it was given up: then it has, and the rest needs no hurry.
            leave_source_to_cleanup(work, migration)
            work.operation.host_id = work.server.host_id
            port_updates.submit_for_hosts(work.session, {str(work.server.host_id)})
            self.succeeded(work)
            return None
        port_updates.submit_for_hosts(work.session, {migration.source_host_id})
        if failure.cancelled:
            migration.status = migrations.CANCELLED
            transitions.give_way(work.server, ROW)
            return None
        if self._another_host(work):
            return Again()
        tried = work.noted("failures", [])
        details = "; ".join([*tried, *([] if failure.details in tried else [failure.details])])
        moving = failure.message in (NOT_MOVED, NOT_SETTLED)
        migration.status = migrations.LIVE_FAILED if moving else migrations.FAILED
        transitions.fail(work.server, ROW, work.now, failure.message, details)
        return None

    def _another_host(self, work: Work) -> bool:
        """Whether the next best host is tried: nobody named this one, and nothing was moved."""
        named = {"forced_host", "unchecked_host_id"} & {
            name for name, value in work.operation.arguments.items() if value
        }
        left = work.operation.attempts + 1 < work.settings.create_attempts
        another = work.noted("another", False)
        work.note(another=False)
        return bool(another and left and not named)


def arrive(work: Work, outcome: Outcome) -> None:
    """Write down that the server is at the destination; once."""
    migration = migration_of(work)
    work.note(where=DESTINATION)
    downtime_ms = _found(outcome).get("downtime_ms")
    if isinstance(downtime_ms, int):
        migration.progress = {**migration.progress, "downtime_ms": downtime_ms}
    migration.status = migrations.ARRIVING
    work.server.host_id = migration.dest_host_id
    ports.bind(work.session, work.server.id, str(migration.dest_host_id))


def leave_source_to_cleanup(work: Work, migration: Migration) -> None:
    """Leave the source's side to a clean-up, which holds its room until the host has confirmed."""
    besides = {"move": {"shared": shared(work)}}
    operation = server_cleanup.submit(
        work.session, work.settings, work.server, migration.source_host_id, besides
    )
    allocations.hand_over(work.session, migration.uuid, migration.source_host_id, operation.id)


def _play(work: Work, *, settle: bool) -> Play:
    migration = migration_of(work)
    work.operation.host_id = migration.source_host_id
    move = {"shared": shared(work), "settle": settle}
    return Play(
        PLAYBOOK, migration.source_host_id,
        entry={"move": move | peer(work, migration.dest_host_id)},
        timeout_s=work.settings.move_timeout_s,
        peer_host_id=migration.dest_host_id, alone_for=work.operation.id,
    )  # fmt: skip


def _where(outcome: Outcome) -> str | None:
    """Return which host has the server; None where they did not say. What they say is untrusted."""
    where = _found(outcome).get("where")
    return where if where in (SOURCE, DESTINATION) else None


def _found(outcome: Outcome) -> dict[str, Any]:
    for item in outcome.items:
        for step in item.get("steps") or []:
            result = step.get("result") if isinstance(step, dict) else None
            if isinstance(result, dict) and "where" in result:
                return result
    return {}
