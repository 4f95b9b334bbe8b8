"""Networks: who sees which, and what each stands on."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core import network_quotas, port_updates, subnets
from controller.core.context import Context
from controller.core.network_faults import (
    FlatNetworkInUse,
    InvalidInput,
    NetworkInUse,
    NetworkNotFound,
)
from controller.db.models import Network, Port, Subnet
from controller.settings import Settings

FLAT, LOCAL = "flat", "local"
MTU = 1500


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on Network rows that this caller is told of."""
    if context.is_admin:
        return true()
    return or_(Network.project_id == context.project_id, Network.shared, Network.external)


def get(session: Session, context: Context, network_id: str) -> Network:
    """Return a network that the caller may see, or raise NetworkNotFound."""
    network = session.scalar(select(Network).where(Network.id == network_id, visible(context)))
    if network is None:
        raise NetworkNotFound(
            f"Network {network_id} could not be found. Check the id and the project in use."
        )
    return network


def usable(context: Context, network: Network) -> bool:
    """Whether the caller may put ports on a network that it sees."""
    return context.may_see(network.project_id) or network.shared


def create(
    session: Session, settings: Settings, project_id: str, values: Mapping[str, Any]
) -> Network:
    """Return a new network of `project_id`.

    `values` has columns of Network. Without a physical network it is isolated: of each host alone.
    Raises OverQuota, InvalidInput, FlatNetworkInUse.
    """
    network_quotas.check(session, settings, project_id, "network")
    network = Network(project_id=project_id, **{"mtu": MTU, **values})
    _check_provider(network, values.get("network_type"))
    try:
        with session.begin_nested():
            session.add(network)
    except IntegrityError as error:
        raise FlatNetworkInUse(
            f"Unable to create the flat network. Physical network {network.physical_network} is in "
            "use. Share the network that has it, or name another physical network."
        ) from error
    return network


def _check_provider(network: Network, wanted_type: str | None) -> None:
    """Settle type, physical network and segment, or refuse them."""
    network.network_type = wanted_type or (FLAT if network.physical_network else LOCAL)
    if network.network_type not in (FLAT, LOCAL):
        raise InvalidInput(
            f"Unknown provider:network_type '{network.network_type}'. There are: {FLAT} (a "
            f"physical network of the hosts), {LOCAL} (isolated on each host)."
        )
    if network.segmentation_id is not None:
        raise InvalidInput(
            f"provider:segmentation_id is not for {network.network_type} networks. Leave it out."
        )
    if network.network_type == FLAT and not network.physical_network:
        raise InvalidInput("A flat network needs provider:physical_network: what it stands on.")
    if network.network_type == LOCAL and network.physical_network:
        raise InvalidInput("A local network has no provider:physical_network. Ask for flat.")
    if network.network_type == FLAT:
        network.segment = f"{FLAT}:{network.physical_network}"


def update(
    session: Session, context: Context, network: Network, values: Mapping[str, Any]
) -> Network:
    """Change columns of `network`; raises NetworkInUse when others' ports need it shared."""
    if network.shared and values.get("shared") is False:
        _refuse_foreign_ports(session, network)
    up_before = network.admin_state_up
    for name, value in values.items():
        setattr(network, name, value)
    network.revision_number += 1
    session.flush()
    if network.admin_state_up != up_before:
        bound = session.scalars(
            select(Port).where(Port.network_id == network.id, Port.host_id.is_not(None))
        )
        port_updates.ports_changed(session, bound, context)
    return network


def _refuse_foreign_ports(session: Session, network: Network) -> None:
    foreign = session.scalar(
        select(Port.id)
        .where(Port.network_id == network.id, Port.project_id != network.project_id)
        .limit(1)
    )
    if foreign:
        raise NetworkInUse(
            f"Unable to stop sharing network {network.id}: other projects have ports on it, such "
            f"as {foreign}. Delete those first."
        )


def remove(session: Session, network: Network) -> None:
    """Delete a network with its subnets; raises NetworkInUse while it has ports of others."""
    port = session.scalar(
        select(Port.id)
        .where(Port.network_id == network.id, Port.device_owner != subnets.DHCP_OWNER)
        .limit(1)
    )
    if port:
        raise NetworkInUse(
            f"Unable to complete operation on network {network.id}. There are one or more ports "
            f"still in use on the network, such as {port}. Delete the ports or their servers first."
        )
    subnets.remove_dhcp_ports(session, network_id=network.id)
    session.execute(delete(Subnet).where(Subnet.network_id == network.id))
    session.delete(network)
    session.flush()
