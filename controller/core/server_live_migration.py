"""Live migrations as they are asked for, and what may be asked of one that is under way."""

from collections.abc import Collection

from sqlalchemy import update
from sqlalchemy.orm import Session

from controller.core import hosts, migrations, server_locks
from controller.core.context import Context
from controller.core.operations import UNFINISHED, begin_action, check_allowed
from controller.core.server_moves import check_destination
from controller.db.models import Host, Migration, Operation, Server
from controller.errors import BadRequest, Conflict
from controller.settings import Settings

KIND = "server_live_migrate"


def live_migrate(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    *,
    host_name: str | None = None,
    force: bool = False,
    block_migration: bool | None = None,
) -> Migration:
    """Accept the live migration of the server, to a host by name or to any other one.

    `force` takes the named host whatever the scheduler thinks of it; its room is claimed all the
    same. `block_migration` None copies disks unless all hosts share them. The server's row must be
    locked. Raises BadRequest for a host that can't take it, InvalidState.
    """
    server_locks.check(context, server)
    check_allowed(server, "live_migrate")
    source = session.get_one(Host, server.host_id)
    _refuse_down(settings, source)
    destination = None
    if host_name is not None:
        destination = check_destination(session, server, host_name)
        _refuse_down(settings, destination)
    _refuse_disks(settings, server, block_migration)
    migration = migrations.begin(session, context, server, migrations.LIVE)
    forced = destination is not None and force
    arguments = {
        "migration_id": migration.id,
        "forced_host": None if forced else host_name,
        "unchecked_host_id": destination.id if destination is not None and forced else None,
        "shared": settings.shared_instances_path,
    }
    begin_action(
        session, settings, context, server, "live_migrate",
        record_as="live-migration", arguments=arguments,
    )  # fmt: skip
    return migration


def abort(session: Session, server: Server, migration: Migration, allowed: Collection[str]) -> None:
    """Have the migration give up; the server runs on where it is. It is too late once it moved.

    Raises BadRequest unless its status is one of `allowed`, Conflict when it is ending already.
    """
    _refuse_unless(migration, allowed, "abort")
    done = session.execute(
        update(Operation)
        .where(
            Operation.kind == KIND,
            Operation.server_id == server.id,
            Operation.state.in_(UNFINISHED),
            Operation.undoing.is_(None),
        )
        .values(cancel_requested=True)
        .execution_options(synchronize_session=False)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        raise Conflict(
            f"Cannot abort migration {migration.id} of server {server.id}: it is ending by itself. "
            "Wait until the server's task state is gone."
        )


def force_complete(migration: Migration) -> None:
    """Have the migration be over with: its guest stands still for as long as the rest takes.

    Raises BadRequest unless memory or disks are on their way.
    """
    _refuse_unless(migration, (migrations.LIVE_RUNNING,), "force_complete")
    migration.force_complete = True


def _refuse_disks(settings: Settings, server: Server, block_migration: bool | None) -> None:
    """Refuse to copy disks that all hosts share, and not to copy others."""
    shared = settings.shared_instances_path
    if block_migration == shared:
        really = "share" if shared else "do not share"
        raise BadRequest(
            f"Cannot migrate server {server.id}: this cloud's hosts {really} servers' folders "
            f"(`shared_instances_path`), and block_migration is {str(block_migration).lower()}. "
            "Leave it to 'auto'."
        )


def _refuse_down(settings: Settings, host: Host) -> None:
    if not hosts.is_up(host, settings):
        raise BadRequest(
            f"Compute service of {host.name} is unavailable at this time: the host does not "
            "answer. Wait until it does, or choose another one."
        )


def _refuse_unless(migration: Migration, allowed: Collection[str], what: str) -> None:
    if migration.status not in allowed:
        raise BadRequest(
            f"Migration {migration.id} state of instance {migration.server_id} is "
            f"{migration.status}. Cannot {what} while the migration is in this state."
        )
