"""RBAC policies: with which projects a network is shared, and who sees it as a way out."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.network import bodies, lists
from controller.core import network_shares, networks
from controller.core.network_faults import InvalidInput
from controller.db.models import Network, NetworkShare

LISTING = lists.Listing(
    NetworkShare,
    {
        "id": NetworkShare.id,
        "project_id": NetworkShare.project_id,
        "tenant_id": NetworkShare.project_id,
        "object_id": NetworkShare.network_id,
        "action": NetworkShare.action,
        "target_tenant": NetworkShare.target_project_id,
    },
    constants={"object_type": network_shares.OBJECT_TYPE},
)


def _view(call: Call, row: NetworkShare) -> dict[str, Any]:
    view = {
        "id": row.id,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "object_type": network_shares.OBJECT_TYPE,
        "object_id": row.network_id,
        "action": row.action,
        "target_tenant": row.target_project_id,
    }
    return lists.chosen(call, view)


def list_policies(call: Call) -> Reply:
    page = lists.fetch(call, LISTING, network_shares.visible(call.context))
    return Reply(page.body("rbac_policies", (_view(call, row) for row in page.rows)))


def show_policy(call: Call, policy_id: str) -> Reply:
    share = network_shares.get(call.session, call.context, policy_id)
    return Reply({"rbac_policy": _view(call, share)})


def create_policy(call: Call) -> Reply:
    wanted = call.body["rbac_policy"]
    if wanted["object_type"] != network_shares.OBJECT_TYPE:
        raise InvalidInput(
            f"RBAC policies for {wanted['object_type'][:50]} are not there: networks are what can "
            "be shared. Ask for object_type network."
        )
    if wanted["action"] not in network_shares.ACTIONS:
        raise InvalidInput(
            f"Invalid action '{wanted['action'][:50]}' for object type network. Valid actions: "
            f"{', '.join(network_shares.ACTIONS)}."
        )
    network = networks.get(call.session, call.context, wanted["object_id"])
    target = network_shares.check_target(wanted["target_tenant"])
    call.authorize("create_rbac_policy", {"project_id": network.project_id})
    if target == network_shares.ALL or wanted["action"] == network_shares.EXTERNAL:
        call.authorize("create_rbac_policy:target_tenant")
    share = network_shares.create(
        call.session,
        call.settings,
        bodies.owner(call, wanted),
        network,
        {"action": wanted["action"], "target_project_id": target},
    )
    return Reply({"rbac_policy": _view(call, share)}, 201)


def _for_change(call: Call, policy_id: str, rule: str) -> NetworkShare:
    share = network_shares.get(call.session, call.context, policy_id)
    owner = call.session.get_one(Network, share.network_id).project_id
    call.authorize(rule, {"project_id": owner})
    return share


def update_policy(call: Call, policy_id: str) -> Reply:
    share = _for_change(call, policy_id, "update_rbac_policy")
    target = network_shares.check_target(call.body["rbac_policy"]["target_tenant"])
    if target == network_shares.ALL:
        call.authorize("update_rbac_policy:target_tenant")
    network_shares.move(call.session, share, target)
    return Reply({"rbac_policy": _view(call, share)})


def delete_policy(call: Call, policy_id: str) -> Reply:
    share = _for_change(call, policy_id, "delete_rbac_policy")
    network_shares.remove(call.session, share)
    return Reply(status=204)
