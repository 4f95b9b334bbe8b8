"""The tags of a server: all of them, or one."""

from urllib.parse import quote

from controller.api.common.calls import Call, Reply
from controller.api.common.validation import check
from controller.api.compute.links import base
from controller.api.compute.microversions import demand
from controller.api.compute.schemas.parameters import TAG
from controller.core import server_tags, servers
from controller.db.models import Server

ROW = "route.server_tags"


def list_tags(call: Call, server_id: str) -> Reply:
    return Reply({"tags": server_tags.of_server(call.session, _server(call, server_id))})


def replace_tags(call: Call, server_id: str) -> Reply:
    server = _server(call, server_id, lock=True)
    return Reply({"tags": server_tags.replace(call.session, server, call.body["tags"])})


def remove_tags(call: Call, server_id: str) -> Reply:
    server_tags.remove_all(call.session, _server(call, server_id, lock=True))
    return Reply(status=204)


def show_tag(call: Call, server_id: str, tag: str) -> Reply:
    server_tags.check_has(call.session, _server(call, server_id), tag)
    return Reply(status=204)


def add_tag(call: Call, server_id: str, tag: str) -> Reply:
    server = _server(call, server_id, lock=True)
    check(tag, TAG, call.version)
    if not server_tags.add(call.session, server, tag):
        return Reply(status=204)
    location = f"{base(call)}/servers/{server_id}/tags/{quote(tag, safe='')}"
    return Reply(status=201, headers={"Location": location})


def remove_tag(call: Call, server_id: str, tag: str) -> Reply:
    server_tags.remove(call.session, _server(call, server_id, lock=True), tag)
    return Reply(status=204)


def _server(call: Call, server_id: str, *, lock: bool = False) -> Server:
    demand(call.version, ROW)
    return servers.get(call.session, call.context, server_id, lock=lock)
