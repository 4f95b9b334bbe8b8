"""Live migrations: the action that asks for one, and what may be asked of one under way."""

from controller.api.common.calls import Call, Reply
from controller.api.compute.microversions import demand, has
from controller.api.compute.schemas.parameters import is_true
from controller.core import migrations, server_live_migration, server_locks, servers


def live_migrate(call: Call, server_id: str) -> Reply:
    asked = call.body["os-migrateLive"]
    host_name = asked["host"]
    if host_name is not None:
        call.authorize("os_compute_api:os-migrate-server:migrate_live:host")
    auto = asked["block_migration"] == "auto"
    # Before a named host was checked by the scheduler it was taken as it is.
    checked = has(call.version, "action.live_migrate_checked")
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        server_live_migration.live_migrate(
            session, call.settings, call.context, server,
            host_name=host_name,
            force=is_true(asked.get("force", False)) if checked else True,
            block_migration=None if auto else is_true(asked["block_migration"]),
        )  # fmt: skip
    return Reply(status=202)


def abort(call: Call, server_id: str, migration_id: str) -> Reply:
    demand(call.version, "route.server_migration_abort")
    allowed = {migrations.LIVE_RUNNING}
    if has(call.version, "migration.abort_before_running"):
        allowed |= {migrations.ACCEPTED, migrations.LIVE_PREPARING}
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        server_locks.check(call.context, server)
        found = migrations.get_of_server(session, server, migration_id)
        server_live_migration.abort(session, server, found, allowed)
    return Reply(status=202)


def force_complete(call: Call, server_id: str, migration_id: str) -> Reply:
    demand(call.version, "route.server_migrations")
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        server_locks.check(call.context, server)
        server_live_migration.force_complete(
            migrations.get_of_server(session, server, migration_id)
        )
    return Reply(status=202)
