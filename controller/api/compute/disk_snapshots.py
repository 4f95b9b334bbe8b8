"""Our own extension: snapshots inside a server's disks. See docs/extensions.md."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute.schemas.parameters import NAME, UUID, Schema
from controller.api.compute.times import zulu
from controller.core import disk_snapshots, servers
from controller.db.models import DiskSnapshot

REVERT = "novella:revert_snapshot"
REVERT_BODY: Schema = {
    "type": "object",
    "properties": {"snapshot": UUID},
    "required": ["snapshot"],
    "additionalProperties": False,
}
CREATE_BODY: Schema = {
    "type": "object",
    "properties": {
        "snapshot": {
            "type": "object",
            "properties": {"name": NAME},
            "required": ["name"],
            "additionalProperties": False,
        }
    },
    "required": ["snapshot"],
    "additionalProperties": False,
}


def list_snapshots(call: Call, server_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id)
    found = disk_snapshots.of_server(call.session, server)
    return Reply({"snapshots": [_view(each) for each in found]})


def show_snapshot(call: Call, server_id: str, snapshot_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id)
    return Reply({"snapshot": _view(disk_snapshots.get(call.session, server, snapshot_id))})


def create_snapshot(call: Call, server_id: str) -> Reply:
    server = servers.get_to_act_on(call.session, call.context, server_id)
    name = call.body["snapshot"]["name"]
    made = disk_snapshots.create(call.session, call.settings, call.context, server, name)
    return Reply({"snapshot": _view(made)}, status=202)


def delete_snapshot(call: Call, server_id: str, snapshot_id: str) -> Reply:
    server = servers.get_to_act_on(call.session, call.context, server_id)
    disk_snapshots.remove(call.session, call.settings, call.context, server, snapshot_id)
    return Reply(status=202)


def revert(call: Call, server_id: str) -> Reply:
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        snapshot_id = call.body[REVERT]["snapshot"]
        disk_snapshots.revert(session, call.settings, call.context, server, snapshot_id)
    return Reply(status=202)


def _view(snapshot: DiskSnapshot) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "status": snapshot.status,
        "created_at": zulu(snapshot.created_at),
    }
