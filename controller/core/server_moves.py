"""Moves of servers as they are asked for: resize, migrate, and what becomes of them."""

from sqlalchemy.orm import Session

from controller.core import flavors, hosts, migrations, quotas, server_locks
from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.models import Host, Migration, Server
from controller.errors import BadRequest, NotFound
from controller.settings import Settings


def resize(
    session: Session, settings: Settings, context: Context, server: Server, flavor_id: str
) -> Migration:
    """Accept the resize of the server to a flavor. Its row must be locked.

    Raises BadRequest for a flavor that isn't there, is the server's own, or has less disk;
    QuotaExceeded; InvalidState, as the state table has it.
    """
    _refuse_unless_allowed(context, server, "resize")
    try:
        flavor = flavors.get(session, context, flavor_id)
    except NotFound as error:
        raise BadRequest(f"Unable to locate requested flavor {flavor_id}.") from error
    wanted = flavors.snapshot(flavor)
    if wanted["id"] == server.flavor.get("id"):
        raise BadRequest("When resizing, instances must change flavor! Choose another one.")
    _refuse_shrinking(server, wanted)
    quotas.admit_resize(session, settings, server.project_id, server.flavor, wanted)
    migration = migrations.begin(session, context, server, migrations.RESIZE, new_flavor=wanted)
    begin_action(
        session, settings, context, server, "resize", arguments={"migration_id": migration.id}
    )
    return migration


def migrate(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    host_name: str | None = None,
) -> Migration:
    """Accept the cold migration of the server, to a host by name or to any other one.

    Raises BadRequest for a host that isn't there or is the server's own, InvalidState.
    """
    _refuse_unless_allowed(context, server, "migrate")
    if host_name is not None:
        check_destination(session, server, host_name)
    migration = migrations.begin(session, context, server, migrations.COLD)
    arguments = {"migration_id": migration.id, "forced_host": host_name}
    begin_action(session, settings, context, server, "migrate", arguments=arguments)
    return migration


def confirm(session: Session, settings: Settings, context: Context, server: Server) -> None:
    """Accept that the server stays as it was resized. Raises InvalidState, BadRequest."""
    _end(session, settings, context, server, "confirm_resize", "confirmResize")


def revert(session: Session, settings: Settings, context: Context, server: Server) -> None:
    """Accept that the server becomes what it was before its resize."""
    _end(session, settings, context, server, "revert_resize", "revertResize")


def _refuse_unless_allowed(context: Context, server: Server, action: str) -> None:
    """Raise what `begin_action` would, before rows are written that it would leave."""
    server_locks.check(context, server)
    check_allowed(server, action)


def check_destination(session: Session, server: Server, host_name: str) -> Host:
    """Return the host that a server is to go to. Raises BadRequest."""
    try:
        host = hosts.get_by_name(session, host_name)
    except NotFound as error:
        raise BadRequest(
            f"Compute host {host_name} could not be found. `openstack hypervisor list` has those "
            "that are there."
        ) from error
    if host.id == server.host_id:
        raise BadRequest(
            f"Cannot move server {server.id} to host {host_name}: it is there. Choose another, or "
            "leave the host out."
        )
    return host


def _end(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    action: str,
    record_as: str,
) -> None:
    _refuse_unless_allowed(context, server, action)
    migration = migrations.finished_of(session, server.id)
    if migration is None:
        raise BadRequest(f"Instance {server.id} has not been resized.")
    begin_action(
        session, settings, context, server, action,
        record_as=record_as, arguments={"migration_id": migration.id},
    )  # fmt: skip


def _refuse_shrinking(server: Server, wanted: dict[str, object]) -> None:
    for name, what in (("disk_gb", "disk"), ("ephemeral_gb", "ephemeral disk")):
        now, then = int(server.flavor.get(name, 0)), int(str(wanted.get(name, 0)))
        if then < now:
            raise BadRequest(
                f"Cannot resize server {server.id}: its {what} has {now} GB, and flavor "
                f"{wanted['name']} has {then}. A disk is never made smaller; choose a flavor with "
                f"at least {now} GB."
            )
