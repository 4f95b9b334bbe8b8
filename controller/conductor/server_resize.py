"""server_resize: a server to another size or host, by way of its folder. Also a cold migration.

The source shuts it down and sets its folder aside; the destination pulls the disks, makes them as
large as the flavor says and starts it. The folder waits for confirm or revert. What the server
takes at the source is held by the migration meanwhile, as in OpenStack Nova.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from typing import Any

from controller.conductor import server_cleanup
from controller.conductor.host_claim import claim_best
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import hosts, live_sizes, migrations, port_updates, ports, transitions
from controller.db.models import Migration
from controller.errors import HostFailed
from controller.placement import allocations
from controller.settings import Settings
from controller.states import ACTIVE, ERROR, TABLE

# Both rows of this operation show the same task states.
ROW = TABLE["resize"]
FILES_MAX = 16
COPY_FAILED = "The server could not be moved: its disks could not be brought to the new host."
SOURCE_FAILED = "The server could not be moved: its host could not set it aside."


def migration_of(work: Work) -> Migration:
    """Return the record of the operation's move."""
    return work.session.get_one(Migration, work.operation.arguments["migration_id"])


def on_one_host(migration: Migration) -> bool:
    return migration.dest_host_id == migration.source_host_id


def peer(work: Work, host_id: str | None) -> dict[str, Any]:
    """Return what a play is told of the other host."""
    host = hosts.get(work.session, str(host_id))
    return {"peer_name": host.name, "peer_address": host.address}


def was_running(migration: Migration) -> bool:
    return migration.old_state == ACTIVE


def show_ports(work: Work) -> None:
    """Say that the server's ports carry traffic, if it runs as it did before."""
    running = was_running(migration_of(work))
    ports.set_status(work.session, work.server.id, "ACTIVE" if running else "DOWN")


def back_at_source(work: Work, migration: Migration, *, starts: bool = True) -> Play:
    """Return the play that brings the server back to its folder at the source."""
    work.operation.host_id = migration.source_host_id
    running = starts and was_running(migration)
    entry = {"flavor": sizes(migration.old_flavor), "move": {"running": running}}
    return Play("server_revert_resize", migration.source_host_id, entry=entry)


def sizes(flavor: dict[str, Any]) -> dict[str, Any]:
    """Return what hosts need of a flavor that isn't the server's present one."""
    names = ("vcpus", "memory_mb", "disk_gb", "ephemeral_gb", "swap_mb")
    known = {name: int(flavor.get(name, 0)) for name in names}
    return {"name": flavor.get("name", "")} | known | live_sizes.for_hosts(flavor)


class ChooseHost(Step):
    name = "choose_host"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if migration.dest_host_id is not None:
            return None
        # The old side's room is the migration's from here on; the new side is the server's.
        allocations.hand_over(
            work.session, work.server.id, migration.source_host_id, migration.uuid
        )
        stays = work.settings.allow_resize_to_same_host and migration.type == migrations.RESIZE
        barred = set() if stays else {migration.source_host_id}
        settings = self.settings(work)
        host = claim_best(work, migration.new_flavor, barred=barred, settings=settings)
        migration.dest_host_id, migration.dest_host = host.id, host.name
        work.server.host_id, work.server.flavor = host.id, migration.new_flavor
        return None

    def undo(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if migration.dest_host_id is None:
            return None
        allocations.release(work.session, work.server.id, migration.dest_host_id)
        allocations.hand_over(
            work.session, migration.uuid, migration.source_host_id, work.server.id
        )
        work.server.flavor = migration.old_flavor
        work.operation.host_id = work.server.host_id = migration.source_host_id
        migration.dest_host_id = migration.dest_host = None
        return None

    def settings(self, work: Work) -> Settings:
        """Return what the scheduler goes by."""
        return work.settings


class BindPorts(Step):
    name = "bind_ports"

    def do(self, work: Work) -> Play | None:
        ports.bind(work.session, work.server.id, str(migration_of(work).dest_host_id))
        return None

    def undo(self, work: Work) -> Play | None:
        ports.bind(work.session, work.server.id, migration_of(work).source_host_id)
        return None


class MoveOut(Step):
    name = "move_out"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        transitions.progress(work.server, ROW, "resize_migrating")
        migration.status = migrations.RUNNING
        work.operation.host_id = migration.source_host_id
        move: dict[str, Any] = {}
        if not on_one_host(migration):
            move = {"export": True, **peer(work, migration.dest_host_id)}
        entry = {"flavor": sizes(migration.old_flavor), "move": move}
        work.note(moved_out=True)
        return Play("server_move_out", migration.source_host_id, entry=entry)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(SOURCE_FAILED)
        work.note(export=_export(outcome, on_one_host(migration_of(work))))
        ports.set_status(work.session, work.server.id, "DOWN")

    def undo(self, work: Work) -> Play | None:
        if not work.noted("moved_out"):
            return None
        return back_at_source(work, migration_of(work))

    def undone(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server could not be brought back to its host.")
        work.note(moved_out=False)
        show_ports(work)


class BringIn(Step):
    name = "bring_in"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        transitions.progress(work.server, ROW, "resize_finish")
        migration.status = migrations.ARRIVING
        work.operation.host_id = migration.dest_host_id
        move = {"running": was_running(migration), **work.noted("export")}
        if not on_one_host(migration):
            move |= peer(work, migration.source_host_id)
        work.note(brought_in=True)
        return Play(
            "server_resize", str(migration.dest_host_id), entry={"move": move},
            timeout_s=work.settings.move_timeout_s,
        )  # fmt: skip

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(COPY_FAILED)
        if was_running(migration_of(work)):
            ports.set_status(work.session, work.server.id, "ACTIVE")

    def undo(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if not work.noted("brought_in"):
            return None
        if Failure.of_json(work.operation.error).unreachable and not on_one_host(migration):
            self._leave_to_cleanup(work, migration)
            return None
        work.operation.host_id = migration.dest_host_id
        entry = {"move": {"keep_aside": on_one_host(migration)}}
        return Play("server_delete", str(migration.dest_host_id), entry=entry)

    def undone(self, work: Work, outcome: Outcome) -> None:
        migration = migration_of(work)
        if outcome.ok:
            work.note(brought_in=False)
        elif on_one_host(migration):
            outcome.check("What was made at the new size could not be removed.")
        else:
            self._leave_to_cleanup(work, migration)

    def _leave_to_cleanup(self, work: Work, migration: Migration) -> None:
        host_id = str(migration.dest_host_id)
        server_cleanup.submit(work.session, work.settings, work.server, host_id)
        work.note(brought_in=False)


class EndExport(Step):
    name = "end_export"
    no_undo = "the folder stays aside; what brings it back needs no export"

    def do(self, work: Work) -> Play | None:
        migration = migration_of(work)
        if on_one_host(migration):
            return None
        work.operation.host_id = migration.source_host_id
        entry = {"move": {"keep_aside": True}}
        return Play("server_confirm_resize", migration.source_host_id, entry=entry)

    def finished(self, work: Work, outcome: Outcome) -> None:
        # The server runs where it is to run; its certificate ends the export too, and so does
        # confirm or revert.
        work.operation.host_id = work.server.host_id


class ServerResize(Flow):
    kind = "server_resize"
    steps = (ChooseHost(), BindPorts(), MoveOut(), BringIn(), EndExport())
    cancellable = True

    def succeeded(self, work: Work) -> None:
        migration_of(work).status = migrations.FINISHED
        transitions.succeed(work.server, ROW, work.now)
        transitions.seen_power(work.server, runs=was_running(migration_of(work)))

    def failing(self, work: Work, failure: Failure) -> None:
        if failure.host_failed and work.operation.host_id == migration_of(work).dest_host_id:
            work.note(tried=[*work.noted("tried", []), work.operation.host_id])

    def failed(self, work: Work, failure: Failure) -> Again | None:
        migration = migration_of(work)
        migration.status = migrations.CANCELLED if failure.cancelled else migrations.FAILED
        if failure.cancelled:
            transitions.give_way(work.server, ROW)
            return None
        not_undone = work.noted("not_undone")
        details = "; ".join([failure.details or failure.message, *(not_undone or [])])
        # Whoever could not be brought back is in error; the others are what they were.
        state = ERROR if not_undone else None
        transitions.fail(work.server, ROW, work.now, failure.message, details, state)
        port_updates.submit_for_hosts(work.session, {migration.source_host_id})
        return None


def _export(outcome: Outcome, one_host: bool) -> dict[str, Any]:
    """Return where the source exports which files. What a host says is untrusted.

    On one host all that was set aside is taken, and what it stands on is there.
    """
    if one_host:
        return {"files": [], "needs_base": False}
    found: Any = None
    for step in outcome.items[0].get("steps") or []:
        result = step.get("result") if isinstance(step, dict) else None
        if isinstance(result, dict) and isinstance(result.get("export"), dict):
            found = result["export"]
    try:
        files = [
            {"name": str(each["name"])[:64], "size_bytes": int(each["size_bytes"])}
            for each in found["files"][:FILES_MAX]
        ]
        port = int(found["port"])
    except (TypeError, KeyError, ValueError) as error:
        raise HostFailed(
            SOURCE_FAILED, reason=f"the host did not say where it exports which files: {error}"
        ) from error
    return {"files": files, "port": port, "needs_base": bool(found.get("needs_base", True))}
