"""A server's metadata: all of it, or one item."""

from controller.api.common.calls import Call, Reply
from controller.core import server_metadata, servers
from controller.errors import BadRequest


def list_metadata(call: Call, server_id: str) -> Reply:
    return Reply({"metadata": servers.get(call.session, call.context, server_id).meta})


def show_item(call: Call, server_id: str, key: str) -> Reply:
    server = servers.get(call.session, call.context, server_id)
    return Reply({"meta": {key: server_metadata.item(server, key)}})


def add_items(call: Call, server_id: str) -> Reply:
    return _change(call, server_id, replace=False)


def replace_all(call: Call, server_id: str) -> Reply:
    return _change(call, server_id, replace=True)


def put_item(call: Call, server_id: str, key: str) -> Reply:
    item = call.body["meta"]
    if key not in item:
        raise BadRequest(f"Request body and URI mismatch: the body doesn't have the key {key!r}.")
    server = servers.get(call.session, call.context, server_id, lock=True)
    server_metadata.change(call.session, call.settings, call.context, server, item, replace=False)
    return Reply({"meta": item})


def delete_item(call: Call, server_id: str, key: str) -> Reply:
    server = servers.get(call.session, call.context, server_id, lock=True)
    server_metadata.remove_item(call.session, call.settings, call.context, server, key)
    return Reply(status=204)


def _change(call: Call, server_id: str, *, replace: bool) -> Reply:
    server = servers.get(call.session, call.context, server_id, lock=True)
    metadata = server_metadata.change(
        call.session,
        call.settings,
        call.context,
        server,
        call.body["metadata"],
        replace=replace,
    )
    return Reply({"metadata": metadata})
