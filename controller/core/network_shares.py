"""Who shares a network: its RBAC policies, to use it or to see it as a way out."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, or_, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core import network_quotas
from controller.core.context import Context
from controller.core.network_faults import (
    InvalidInput,
    InvalidSharedSetting,
    RbacPolicyAlreadyExists,
    RbacPolicyInUse,
    RbacPolicyNotFound,
)
from controller.db.models import FloatingIP, Network, NetworkShare, Port, Router
from controller.settings import Settings

SHARED, EXTERNAL = "access_as_shared", "access_as_external"
ACTIONS = (SHARED, EXTERNAL)
ALL = "*"
OBJECT_TYPE = "network"


def network_ids(project_id: str | None, *actions: str) -> Select[Any]:
    """Return the query for the networks that are open to a project in one of these ways."""
    return select(NetworkShare.network_id).where(
        NetworkShare.action.in_(actions),
        NetworkShare.target_project_id.in_([project_id or ALL, ALL]),
    )


def shared_among(
    session: Session, project_id: str | None, wanted: Collection[str]
) -> frozenset[str]:
    """Return those of the networks `wanted` that are shared with the project."""
    query = network_ids(project_id, SHARED).where(NetworkShare.network_id.in_(wanted))
    return frozenset(session.scalars(query))


def keep(session: Session, network_id: str) -> None:
    """Keep a network external, and shared with whom it is, until the transaction ends.

    For who is to use another project's: whether it may, it asks after this.
    """
    session.execute(select(Network.id).where(Network.id == network_id).with_for_update(read=True))


def is_shared(session: Session, project_id: str | None, network_id: str) -> bool:
    return bool(shared_among(session, project_id, [network_id]))


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on shares: the caller's own, and of the caller's networks."""
    if context.is_admin:
        return true()
    own = select(Network.id).where(Network.project_id == context.project_id)
    return or_(NetworkShare.project_id == context.project_id, NetworkShare.network_id.in_(own))


def get(session: Session, context: Context, share_id: str) -> NetworkShare:
    """Return a share that the caller may see, or raise RbacPolicyNotFound."""
    share = session.scalar(
        select(NetworkShare).where(NetworkShare.id == share_id, visible(context))
    )
    if share is None:
        raise RbacPolicyNotFound(
            f"RBAC policy with ID {share_id} not found. Check the id and the project in use."
        )
    return share


def create(
    session: Session,
    settings: Settings,
    project_id: str,
    network: Network,
    values: Mapping[str, Any],
) -> NetworkShare:
    """Open `network` to a project, or to all ("*"). An external one is one from then on."""
    network_quotas.check(session, settings, project_id, "rbac_policy")
    share = NetworkShare(project_id=project_id, network_id=network.id, **values)
    try:
        with session.begin_nested():
            session.add(share)
    except IntegrityError as error:
        raise RbacPolicyAlreadyExists(
            f"Network {network.id} is open to {share.target_project_id} by {share.action} already. "
            "Nothing is left to do."
        ) from error
    if share.action == EXTERNAL:
        network.external = True
    return share


def move(session: Session, share: NetworkShare, target_project_id: str) -> None:
    """Have the share be another project's; raises as `remove` does."""
    if share.target_project_id == target_project_id:
        return
    _refuse_used(session, share, instead=target_project_id)
    try:
        with session.begin_nested():
            share.target_project_id = target_project_id
    except IntegrityError as error:
        raise RbacPolicyAlreadyExists(
            f"Network {share.network_id} is open to {target_project_id} by {share.action} already."
            " Delete this policy instead."
        ) from error


def remove(session: Session, share: NetworkShare) -> None:
    """Take a share back; raises RbacPolicyInUse while others need it."""
    _refuse_used(session, share)
    session.delete(share)
    session.flush()


def set_open(session: Session, network: Network, action: str, *, wanted: bool) -> None:
    """Open the network to all, or not any more; raises InvalidSharedSetting if others need it."""
    share = session.scalar(
        select(NetworkShare).where(
            NetworkShare.network_id == network.id,
            NetworkShare.action == action,
            NetworkShare.target_project_id == ALL,
        )
    )
    if wanted and share is None:
        session.add(
            NetworkShare(
                project_id=network.project_id,
                network_id=network.id,
                action=action,
                target_project_id=ALL,
            )
        )
    elif not wanted and share is not None:
        user = _user_of(session, share)
        if user:
            raise InvalidSharedSetting(
                f"Unable to reconfigure sharing settings for network {network.id}: other projects "
                f"use it, such as {user}. Delete those first, or share it with those projects."
            )
        session.delete(share)
    session.flush()


def erase(session: Session, network_id: str) -> None:
    """The network goes, and its shares with it."""
    session.execute(delete(NetworkShare).where(NetworkShare.network_id == network_id))


def check_target(target: str) -> str:
    """Return a project's id, or "*"; refuse an empty one."""
    if not target:
        raise InvalidInput(f"target_tenant is empty. Name a project, or {ALL} for all of them.")
    return target


def close_way_out(session: Session, network: Network) -> None:
    """The network is none that leads outside any more: nobody is told of it as one."""
    session.execute(
        delete(NetworkShare).where(
            NetworkShare.network_id == network.id, NetworkShare.action == EXTERNAL
        )
    )


def _refuse_used(session: Session, share: NetworkShare, instead: str | None = None) -> None:
    user = _user_of(session, share, instead)
    if user:
        raise RbacPolicyInUse(
            f"RBAC policy on object {share.network_id} cannot be removed because other objects "
            f"depend on it, such as {user}. Delete those first."
        )


def _user_of(session: Session, share: NetworkShare, instead: str | None = None) -> str | None:
    """Return what another project has on the network, or leads to it, by this share alone.

    `instead` is the project, or all, that it will be for. The network's row stays locked until the
    transaction ends, so that nobody begins to use it.
    """
    network_id = share.network_id
    owner = session.scalar(
        select(Network.project_id).where(Network.id == network_id).with_for_update()
    )
    others = [
        (row.action, row.target_project_id)
        for row in session.execute(
            select(NetworkShare.action, NetworkShare.target_project_id).where(
                NetworkShare.network_id == network_id, NetworkShare.id != share.id
            )
        )
    ]
    if instead:
        others.append((share.action, instead))
    # Either kind of share shows the way out; only one lets ports be there.
    routers = select(Router.id).join(Port, Port.id == Router.gateway_port_id)
    users: list[tuple[str, Any, Select[Any], Collection[str]]] = [
        ("router", Router, routers.where(Port.network_id == network_id), ACTIONS),
        (
            "floating IP",
            FloatingIP,
            select(FloatingIP.id).where(FloatingIP.floating_network_id == network_id),
            ACTIONS,
        ),
    ]
    if share.action == SHARED:
        ports = select(Port.id).where(Port.network_id == network_id)
        users.insert(0, ("port", Port, ports, [SHARED]))
    for noun, model, query, actions in users:
        kept = {target for action, target in others if action in actions}
        if ALL in kept:
            continue
        # The cloud's own ports are of no project.
        losing = [model.project_id.not_in([*kept, owner, ""])]
        if share.target_project_id != ALL:
            losing.append(model.project_id == share.target_project_id)
        found = session.scalar(query.where(*losing).limit(1))
        if found:
            return f"{noun} {found}"
    return None
