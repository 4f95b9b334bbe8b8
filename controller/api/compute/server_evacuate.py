"""The action evacuate: from the body of the request to one call of the core."""

from sqlalchemy.orm import Session

from controller.api.common.calls import Call, Reply
from controller.api.compute.microversions import has
from controller.api.compute.schemas.parameters import is_true
from controller.core import hosts, server_evacuate, servers
from controller.core.server_evacuate import Evacuate
from controller.errors import BadRequest, NotFound


def evacuate(call: Call, server_id: str) -> Reply:
    """Answer 200: with the password up to 2.13, as upstream, and without a body from then on."""
    wanted = _wanted(call)
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        if wanted.host is not None:
            _check_is_there(session, wanted.host)
        server_evacuate.evacuate(session, call.settings, call.context, server, wanted)
    if has(call.version, "evacuate.on_shared_storage"):
        return Reply({"adminPass": wanted.admin_pass})
    return Reply()


def _check_is_there(session: Session, name: str) -> None:
    try:
        hosts.get_by_name(session, name)
    except NotFound as error:
        raise NotFound(
            f"Compute host {name} not found. `openstack hypervisor list` has those that are there."
        ) from error


def _wanted(call: Call) -> Evacuate:
    asked = call.body["evacuate"]
    force, host = is_true(asked.get("force")), asked.get("host")
    if force and host is None:
        raise BadRequest("Can't force to a non-provided destination. Name a host, or leave it out.")
    shared = is_true(asked["onSharedStorage"]) if "onSharedStorage" in asked else None
    if shared and "adminPass" in asked:
        raise BadRequest("admin password can't be changed on existing disk. Leave it out.")
    return Evacuate(
        host=host,
        force=force,
        admin_pass=None if shared else asked.get("adminPass") or servers.new_password(),
        on_shared_storage=shared,
        stopped=has(call.version, "evacuate.stopped"),
    )
