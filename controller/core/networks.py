"""Networks: who sees which, and what each stands on."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, true
from sqlalchemy.orm import Session

from controller.core import (
    agent_gateways,
    network_quotas,
    network_shares,
    network_updates,
    port_updates,
    resource_tags,
    segments,
    subnets,
)
from controller.core.context import Context
from controller.core.network_faults import (
    DefaultExternalNetworkExists,
    ExternalNetworkInUse,
    InvalidInput,
    NetworkInUse,
    NetworkNotFound,
)
from controller.core.router_ports import AGENT_GATEWAY, FLOATING, GATEWAY
from controller.db.models import AutoTopology, Network, Port, Subnet
from controller.settings import Settings

DEFAULT_DRIVER = "bridge"
# What opens a network to all, by the attribute that says so.
OPENINGS = {network_shares.SHARED: "shared", network_shares.EXTERNAL: "external"}


def visible(context: Context) -> ColumnElement[bool]:
    """Return the condition on Network rows that this caller is told of."""
    if context.is_admin:
        return true()
    opened = network_shares.network_ids(
        context.project_id, network_shares.SHARED, network_shares.EXTERNAL
    )
    return or_(Network.project_id == context.project_id, Network.id.in_(opened))


def get(session: Session, context: Context, network_id: str) -> Network:
    """Return a network that the caller may see, or raise NetworkNotFound."""
    network = session.scalar(select(Network).where(Network.id == network_id, visible(context)))
    if network is None:
        raise NetworkNotFound(
            f"Network {network_id} could not be found. Check the id and the project in use."
        )
    return network


def usable(session: Session, context: Context, network: Network) -> bool:
    """Whether the caller may put ports on a network that it sees, for a transaction that does."""
    if context.may_see(network.project_id):
        return True
    network_shares.keep(session, network.id)
    return network_shares.is_shared(session, context.project_id, network.id)


def create(
    session: Session, settings: Settings, project_id: str, values: Mapping[str, Any]
) -> Network:
    """Return a new network of `project_id`.

    `values` has columns of Network, and `shared`. What they say of type, physical network and
    segmentation id is completed by what is free. Raises OverQuota, and what `segments.insert` does.
    """
    network_quotas.check(session, settings, project_id, "network")
    driver = values.get("network_driver", DEFAULT_DRIVER)
    if driver not in segments.DRIVERS:
        raise InvalidInput(
            f"Unknown network_driver '{driver}'. There is: {', '.join(segments.DRIVERS)}."
        )
    columns = {name: value for name, value in values.items() if name != "shared"}
    network = Network(project_id=project_id, **columns)
    segments.insert(session, settings, network)
    _refuse_second_default(session, network)
    for action, name in OPENINGS.items():
        if values.get(name):
            network_shares.set_open(session, network, action, wanted=True)
    return network


def update(
    session: Session,
    settings: Settings,
    context: Context,
    network: Network,
    values: Mapping[str, Any],
) -> Network:
    """Change columns of `network`.

    Raises InvalidSharedSetting when others need it shared, ExternalNetworkInUse when something
    leads to it, and DefaultExternalNetworkExists.
    """
    if "mtu" in values:
        segments.check_mtu(settings, network, values["mtu"])
        _refuse_ipv6(session, network, values["mtu"])
    if "shared" in values:
        wanted = bool(values["shared"])
        network_shares.set_open(session, network, network_shares.SHARED, wanted=wanted)
    # One that some projects alone are told of stays theirs when it is called external again.
    if values.get("external", network.external) != network.external:
        if network.external:
            _refuse_routers(session, network)
            network_shares.close_way_out(session, network)
        else:
            network_shares.set_open(session, network, network_shares.EXTERNAL, wanted=True)
    up_before, mtu_before = network.admin_state_up, network.mtu
    for name, value in values.items():
        if name != "shared":
            setattr(network, name, value)
    network.revision_number += 1
    session.flush()
    _refuse_second_default(session, network)
    if network.admin_state_up != up_before:
        bound = session.scalars(
            select(Port).where(Port.network_id == network.id, Port.host_id.is_not(None))
        )
        port_updates.ports_changed(session, bound, context)
    if network.mtu != mtu_before:
        network_updates.networks_changed(session, [network.id], context)
    return network


def get_way_out(session: Session, context: Context, network_id: str) -> Network:
    """Return a network as `get` does, for what leads to it.

    It stays external, and shared with whom it is, until the transaction ends.
    """
    network_shares.keep(session, network_id)
    return get(session, context, network_id)


def _refuse_second_default(session: Session, network: Network) -> None:
    if not (network.external and network.is_default):
        return
    other = session.scalar(
        select(Network.id)
        .where(Network.external, Network.is_default, Network.id != network.id)
        .limit(1)
    )
    if other:
        raise DefaultExternalNetworkExists(
            f"A default external network already exists: {other}. Take is_default off it first."
        )


def _refuse_ipv6(session: Session, network: Network, mtu: int) -> None:
    if mtu >= segments.IPV6_MTU_MIN:
        return
    session.execute(select(Network.id).where(Network.id == network.id).with_for_update())
    of_network = select(Subnet.id).where(Subnet.network_id == network.id, Subnet.ip_version == 6)
    subnet = session.scalar(of_network.limit(1))
    if subnet:
        raise InvalidInput(
            f"Requested MTU {mtu} is too small for IPv6, which needs {segments.IPV6_MTU_MIN}: "
            f"network {network.id} has subnet {subnet}. Ask for more, or delete that first."
        )


def _refuse_routers(session: Session, network: Network) -> None:
    session.execute(select(Network.id).where(Network.id == network.id).with_for_update())
    port = session.scalar(
        select(Port.id)
        .where(Port.network_id == network.id, Port.device_owner.in_((GATEWAY, FLOATING)))
        .limit(1)
    )
    if port:
        raise ExternalNetworkInUse(
            f"External network {network.id} cannot be updated to be made non-external, since it "
            "has existing gateway ports or floating IPs. Clear those gateways and delete those "
            "floating IPs first."
        )


def remove(session: Session, network: Network) -> None:
    """Delete a network with its subnets; raises NetworkInUse while it has ports of others."""
    port = session.scalar(
        select(Port.id)
        .where(
            Port.network_id == network.id,
            Port.device_owner.not_in((subnets.DHCP_OWNER, AGENT_GATEWAY)),
        )
        .limit(1)
    )
    if port:
        raise NetworkInUse(
            f"Unable to complete operation on network {network.id}. There are one or more ports "
            f"still in use on the network, such as {port}. Delete the ports or their servers first."
        )
    subnet_ids = session.scalars(select(Subnet.id).where(Subnet.network_id == network.id)).all()
    resource_tags.erase(session, [network.id, *subnet_ids])
    network_shares.erase(session, network.id)
    session.execute(delete(AutoTopology).where(AutoTopology.network_id == network.id))
    agent_gateways.forget_network(session, network.id)
    subnets.remove_dhcp_ports(session, network_id=network.id)
    session.execute(delete(Subnet).where(Subnet.network_id == network.id))
    session.delete(network)
    session.flush()
