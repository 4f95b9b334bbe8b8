"""The action rebuild: from the body of the request to one call of the core."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute import servers as shown
from controller.api.compute.microversions import has
from controller.api.compute.schemas.parameters import is_true
from controller.api.compute.server_create import checked_user_data
from controller.core import server_rebuild, servers
from controller.core.sealing import unseal
from controller.db.models import Server
from controller.errors import NotBuilt

# What of the body is a column of the server's row, by the same name as in an update.
_COLUMNS = ("name", "description", "hostname", "accessIPv4", "accessIPv6", "OS-DCF:diskConfig")


def rebuild(call: Call, server_id: str) -> Reply:
    asked = call.body["rebuild"]
    for name in ("personality", "trusted_image_certificates"):
        if asked.get(name):
            raise NotBuilt(
                f"Cannot rebuild server {server_id}: {name} is part of this API, but this release "
                "of Novella does not have it yet. Leave it out."
            )
    wanted = _wanted(call, asked)
    with call.services.db.write() as session:
        call.session = session
        server = servers.get_to_act_on(session, call.context, server_id)
        server_rebuild.rebuild(session, call.settings, call.context, server, wanted)
        session.flush()
        view = _view(call, server)
    view["adminPass"] = wanted.admin_pass
    href = view["links"][0]["href"]
    return Reply({"server": view}, status=202, headers={"Location": href})


def _wanted(call: Call, asked: dict[str, Any]) -> server_rebuild.Rebuild:
    nullable = ("key_name", "user_data")
    given: dict[str, str | None] = {name: asked[name] for name in nullable if name in asked}
    if "user_data" in given:
        given["user_data"] = checked_user_data(given["user_data"])
    return server_rebuild.Rebuild(
        image_id=str(asked["imageRef"]).rsplit("/", maxsplit=1)[-1],
        admin_pass=asked.get("adminPass") or servers.new_password(),
        preserve_ephemeral=is_true(asked.get("preserve_ephemeral")),
        changes=shown.columns({name: asked[name] for name in _COLUMNS if name in asked}),
        metadata=asked.get("metadata"),
        given=given,
        zero_disk_allowed=call.allows("os_compute_api:servers:create:zero_disk_flavor"),
    )


def _view(call: Call, server: Server) -> dict[str, Any]:
    """Return the server as upstream answers a rebuild with, by microversion."""
    view = shown.shown_after_change(call, server)
    if has(call.version, "rebuild.key_name"):
        view["key_name"] = server.key_name
    if has(call.version, "rebuild.user_data"):
        view["user_data"] = unseal(call.settings, server.sealed_user_data).get("user_data")
    return view
