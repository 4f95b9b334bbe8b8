"""Migrations: what was moved where, and how far a live one is."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute import links
from controller.api.compute.microversions import demand, has
from controller.api.compute.times import parse, seconds_fraction
from controller.core import hypervisors, migrations, servers
from controller.db.models import Migration
from controller.errors import BadRequest

# What the list may be narrowed by, from 2.59 on; upstream ignores other names before.
_FILTERS = {
    "host": "host",
    "status": "status",
    "migration_type": "type",
    "source_compute": "source_host",
    "instance_uuid": "server_id",
}


def list_migrations(call: Call) -> Reply:
    by_uuid = has(call.version, "migration.uuid")
    limit, marker = links.page(call) if by_uuid else (None, None)
    values: dict[str, Any] = {
        ours: call.query[theirs] for theirs, ours in _FILTERS.items() if theirs in call.query
    }
    if has(call.version, "migration.owner"):
        values |= {
            name: call.query[name] for name in ("user_id", "project_id") if name in call.query
        }
    if by_uuid:
        values |= _times(call)
    found = migrations.list_migrations(
        call.session, migrations.Filters(**values), limit=limit, marker=marker
    )
    view: dict[str, Any] = {"migrations": [_listed(call, each) for each in found]}
    if limit is not None:
        last = found[-1].uuid if found else ""
        view |= links.next_page(call, "os-migrations", found, limit, last)
    return Reply(view)


def list_of_server(call: Call, server_id: str) -> Reply:
    demand(call.version, "route.server_migrations_read")
    server = servers.get(call.session, call.context, server_id)
    found = migrations.of_server(call.session, server)
    return Reply({"migrations": [_of_server(call, each) for each in found]})


def show_of_server(call: Call, server_id: str, migration_id: str) -> Reply:
    demand(call.version, "route.server_migrations_read")
    server = servers.get(call.session, call.context, server_id)
    found = migrations.get_of_server(call.session, server, migration_id)
    return Reply({"migration": _of_server(call, found)})


def _times(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = {}
    names = [("changes-since", "changes_since")]
    if has(call.version, "migration.changes_before"):
        names.append(("changes-before", "changes_before"))
    for theirs, ours in names:
        if theirs in call.query:
            found[ours] = parse(call.query[theirs], theirs)
    if len(found) == 2 and found["changes_before"] < found["changes_since"]:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    return found


def _listed(call: Call, migration: Migration) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": migration.id,
        **_places(migration),
        "status": migration.status,
        "instance_uuid": migration.server_id,
        "old_instance_type_id": _number(migration.old_flavor),
        "new_instance_type_id": _number(migration.new_flavor),
        "created_at": seconds_fraction(migration.created_at),
        "updated_at": seconds_fraction(migration.updated_at),
    }
    if has(call.version, "migration.type_and_links"):
        view["migration_type"] = migration.type
        if migration.type == migrations.LIVE and migration.status in migrations.UNDER_WAY:
            path = f"{links.base(call)}/servers/{migration.server_id}/migrations/{migration.id}"
            bookmark = path.replace("/compute/v2.1/", "/compute/")
            view["links"] = [
                {"rel": "self", "href": path},
                {"rel": "bookmark", "href": bookmark},
            ]
    return view | _identity(call, migration)


def _of_server(call: Call, migration: Migration) -> dict[str, Any]:
    progress = migration.progress
    numbers = {
        f"{kind}_{part}_bytes": int(progress.get(f"{kind}_{part}_bytes", 0))
        for kind in ("memory", "disk")
        for part in ("total", "processed", "remaining")
    }
    return {
        "id": migration.id,
        **_places(migration),
        "status": migration.status,
        "server_uuid": migration.server_id,
        "created_at": seconds_fraction(migration.created_at),
        "updated_at": seconds_fraction(migration.updated_at),
        **numbers,
        **_identity(call, migration),
    }


def _places(migration: Migration) -> dict[str, Any]:
    return {
        "source_compute": migration.source_host,
        "source_node": migration.source_host,
        "dest_compute": migration.dest_host,
        "dest_node": migration.dest_host,
        "dest_host": migration.dest_host,
    }


def _identity(call: Call, migration: Migration) -> dict[str, Any]:
    view: dict[str, Any] = {}
    if has(call.version, "migration.uuid"):
        view["uuid"] = migration.uuid
    if has(call.version, "migration.owner"):
        view |= {"user_id": migration.user_id, "project_id": migration.project_id}
    return view


def _number(flavor: dict[str, Any]) -> int:
    """Return a number for the flavor, as upstream's has one inside: its id where that is one."""
    flavor_id = str(flavor.get("id", ""))
    if flavor_id.isascii() and flavor_id.isdigit():
        return int(flavor_id[:9])
    return hypervisors.number_of(flavor_id.encode().hex().ljust(8, "0"))
