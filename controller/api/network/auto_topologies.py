"""Get me a network: ask whether one can be had, have it made, and delete it again."""

from controller.api.common.calls import Call, Reply
from controller.core import auto_topologies
from controller.core.network_faults import BadNetworkRequest

DRY_RUN = "dry-run"


def _project(call: Call, project_id: str, rule: str) -> str:
    """Return the project that is meant; older clients send "None" for their own."""
    named = call.context.project_id or "" if project_id == "None" else project_id
    call.authorize(rule, {"project_id": named})
    return named


def show_topology(call: Call, project_id: str) -> Reply:
    """Answer with the project's network, which is made if it isn't there: so Neutron has it."""
    named = _project(call, project_id, "get_auto_allocated_topology")
    fields = set(call.request.args.getlist("fields"))
    if DRY_RUN in fields:
        auto_topologies.check(call.session, named)
        return _reply("dry-run=pass", named)
    if fields:
        raise BadNetworkRequest(
            f"Bad auto_allocate request: Unrecognized field. Ask for {DRY_RUN}, or for none."
        )
    network_id = auto_topologies.find(call.session, named)
    if network_id is None:
        call.authorize("create_network", {"project_id": named})
        network_id = auto_topologies.allocate(call.session, call.settings, call.context, named)
    return _reply(network_id, named)


def _reply(network_id: str, project_id: str) -> Reply:
    topology = {"id": network_id, "project_id": project_id, "tenant_id": project_id}
    return Reply({"auto_allocated_topology": topology})


def delete_topology(call: Call, project_id: str) -> Reply:
    named = _project(call, project_id, "delete_auto_allocated_topology")
    auto_topologies.remove(call.session, call.context, named)
    return Reply(status=204)
