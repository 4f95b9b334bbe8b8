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
    NetworkInUse,
    RbacPolicyAlreadyExists,
    RbacPolicyInUse,
    RbacPolicyNotFound,
)
from controller.db.models import Network, NetworkShare, Port
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
    """Have the share be another project's."""
    if share.target_project_id == target_project_id:
        return
    _refuse_used(session, share)
    try:
        with session.begin_nested():
            share.target_project_id = target_project_id
    except IntegrityError as error:
        raise RbacPolicyAlreadyExists(
            f"Network {share.network_id} is open to {target_project_id} by {share.action} already."
            " Delete this policy instead."
        ) from error


def remove(session: Session, share: NetworkShare) -> None:
    """Take a share back; raises RbacPolicyInUse while ports of others need it."""
    _refuse_used(session, share)
    session.delete(share)
    session.flush()


def set_open(session: Session, network: Network, action: str, *, wanted: bool) -> None:
    """Open the network to all, or not to all any more; raises NetworkInUse if others need it."""
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
        port_id = _user_of(session, share)
        if port_id:
            raise NetworkInUse(
                f"Unable to stop sharing network {network.id}: other projects have ports on it, "
                f"such as {port_id}. Delete those first."
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


def _refuse_used(session: Session, share: NetworkShare) -> None:
    port_id = _user_of(session, share)
    if port_id:
        raise RbacPolicyInUse(
            f"RBAC policy on object {share.network_id} cannot be removed because other objects "
            f"depend on it, such as port {port_id}. Delete those first."
        )


def _user_of(session: Session, share: NetworkShare) -> str | None:
    """Return a port of another project that is on the network by this share alone."""
    if share.action != SHARED:
        return None
    others = set(
        session.scalars(
            select(NetworkShare.target_project_id).where(
                NetworkShare.network_id == share.network_id,
                NetworkShare.action == SHARED,
                NetworkShare.id != share.id,
            )
        )
    )
    if ALL in others:
        return None
    owner = select(Network.project_id).where(Network.id == share.network_id).scalar_subquery()
    foreign = [Port.network_id == share.network_id, Port.project_id != owner]
    if share.target_project_id != ALL:
        foreign.append(Port.project_id == share.target_project_id)
    query = select(Port.id).where(*foreign, Port.project_id.not_in(others)).limit(1)
    return session.scalar(query)
