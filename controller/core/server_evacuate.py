"""Evacuate: a server of a dead host, made anew on another one with its id, ports and addresses."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from controller.core import host_fences, hosts, migrations, server_locks, server_moves
from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.base import utcnow
from controller.db.models import Migration, Server
from controller.errors import BadRequest, InvalidState
from controller.settings import Settings
from controller.states import STOPPED

ACTION = "evacuate"


@dataclass(frozen=True, slots=True)
class Evacuate:
    """What is asked for, as checked by the dialect.

    `host` is a name; `force` passes by the scheduler's filters. `on_shared_storage` None leaves it
    to the settings. `stopped` has it be off afterwards whatever it was.
    """

    host: str | None = None
    force: bool = False
    admin_pass: str | None = None
    on_shared_storage: bool | None = None
    stopped: bool = False


def evacuate(
    session: Session, settings: Settings, context: Context, server: Server, wanted: Evacuate
) -> Migration:
    """Accept the evacuation of the server, whose row must be locked.

    Raises InvalidState; BadRequest while its host is up, and for a host that can't be; Conflict
    without proof that its host runs nothing (see core.host_fences).
    """
    server_locks.check(context, server)
    check_allowed(server, ACTION)
    if server.host_id is None:
        raise InvalidState(
            f"Cannot evacuate server {server.id}: it is on no host. Delete it and create it again."
        )
    source = hosts.get(session, server.host_id)
    if wanted.host is not None:
        server_moves.check_destination(session, server, wanted.host)
    if hosts.is_up(source, settings, utcnow()):
        raise BadRequest(
            f"Compute service of {source.name} is still in use. Move the server off it with "
            "migrate, or switch the host off first."
        )
    if wanted.on_shared_storage not in (None, settings.shared_instances_path):
        really = "shared" if settings.shared_instances_path else "not shared"
        raise BadRequest(
            f"Cannot evacuate server {server.id}: its host's files are {really} "
            "(`shared_instances_path`), and onSharedStorage says otherwise."
        )
    host_fences.check_proof(session, settings, source.id, server.id)
    migration = migrations.begin(session, context, server, migrations.EVACUATION)
    begin_action(
        session, settings, context, server, ACTION,
        arguments={
            "migration_id": migration.id,
            "was": server.state,
            "running": not (wanted.stopped or server.state == STOPPED),
            "forced_host": wanted.host,
            "force": wanted.force,
            "shared": settings.shared_instances_path,
        },
        secrets={"admin_pass": wanted.admin_pass} if wanted.admin_pass else None,
    )  # fmt: skip
    return migration
