"""Get me a network: a network, its subnets and a router to the outside, made for a project at once.

Follows OpenStack Neutron's auto_allocated_topology. Everything is of one transaction: all is there,
or nothing; and of two requests for a project, the second finds what the first one made.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from controller.core import (
    network_shares,
    networks,
    router_interfaces,
    routers,
    subnet_pools,
    subnets,
)
from controller.core.context import Context
from controller.core.network_faults import AutoAllocationFailure
from controller.core.router_ports import INTERFACE
from controller.db.models import AutoTopology, Network, Port, Project, SubnetPool
from controller.errors import BadRequest, NotFound
from controller.settings import Settings

NETWORK, ROUTER, SUBNET = (f"auto_allocated_{noun}" for noun in ("network", "router", "subnet"))
# Guests make their own addresses where the prefix lets them; else DHCPv6 gives them out.
SLAAC_PREFIX = 64


def find(session: Session, project_id: str) -> str | None:
    """Return the network that was made for the project, None for none."""
    query = select(AutoTopology.network_id).where(AutoTopology.project_id == project_id)
    return session.scalar(query)


def check(session: Session, project_id: str) -> None:
    """Raise AutoAllocationFailure unless the cloud has what one is made of."""
    _default_way_out(session, project_id)
    _default_pools(session, project_id)


def allocate(session: Session, settings: Settings, context: Context, project_id: str) -> str:
    """Return the project's network, made now if it isn't there.

    Raises NotFound for a project that isn't there, AutoAllocationFailure, OverQuota and what the
    cloud has run out of.
    """
    _lock(session, project_id)
    present = find(session, project_id)
    if present is not None:
        return present
    way_out = _default_way_out(session, project_id)
    pools = _default_pools(session, project_id)
    network = networks.create(session, settings, project_id, {"name": NETWORK})
    try:
        made = [
            subnets.create(session, settings, network, project_id, _subnet(pool), pool)
            for pool in pools
        ]
    except BadRequest as error:
        raise _failure("Unable to provide tenant private network", error) from error
    try:
        router = routers.create(
            session,
            settings,
            context,
            project_id,
            {"name": ROUTER, "external_gateway_info": {"network_id": way_out}},
        )
        for subnet in made:
            router_interfaces.add_subnet(session, settings, context, router, subnet.id)
    except (BadRequest, NotFound) as error:
        raise _failure("Unable to provide external connectivity", error) from error
    session.add(AutoTopology(project_id=project_id, network_id=network.id, router_id=router.id))
    session.flush()
    return network.id


def remove(session: Session, context: Context, project_id: str) -> None:
    """Delete what was made for the project, if anything was; all of it, or nothing.

    Raises what keeps a router, its interfaces or a network: RouterInUse, NetworkInUse and so on.
    """
    _lock(session, project_id)
    topology = session.get(AutoTopology, project_id)
    if topology is None:
        return
    network = session.get_one(Network, topology.network_id)
    if topology.router_id is not None:
        router = routers.get(session, context, topology.router_id, lock=True)
        interfaces = select(Port.id).where(
            Port.device_id == router.id,
            Port.device_owner == INTERFACE,
            Port.network_id == network.id,
        )
        for port_id in session.scalars(interfaces).all():
            router_interfaces.remove(session, context, router, port_id=port_id)
        routers.remove(session, context, router)
    networks.remove(session, network)


def _lock(session: Session, project_id: str) -> None:
    """Keep others from making one for the project until we have committed."""
    if not session.scalar(select(Project.id).where(Project.id == project_id).with_for_update()):
        raise NotFound(f"Project {project_id} could not be found. Check the id.")


def _default_way_out(session: Session, project_id: str) -> str:
    opened = network_shares.network_ids(project_id, *network_shares.ACTIONS)
    found = session.scalar(
        select(Network.id)
        .where(Network.external, Network.is_default)
        .where(or_(Network.project_id == project_id, Network.id.in_(opened)))
        .order_by(Network.created_at, Network.id)
        .limit(1)
    )
    if found is None:
        raise AutoAllocationFailure(
            "Deployment error: No default router:external network. Ask your operator for one "
            "(`openstack network set --external --default`)."
        )
    return found


def _default_pools(session: Session, project_id: str) -> Sequence[SubnetPool]:
    found = subnet_pools.defaults(session, project_id)
    if not found:
        raise AutoAllocationFailure(
            "Deployment error: No default subnetpools defined. Ask your operator for one "
            "(`openstack subnet pool create --share --default`)."
        )
    return found


def _subnet(pool: SubnetPool) -> dict[str, Any]:
    values = {"name": f"{SUBNET}_v{pool.ip_version}", "ip_version": pool.ip_version}
    if pool.ip_version == 4:
        return values
    # Neutron leaves the modes out, and then no guest ever learns of its address.
    mode = "slaac" if pool.default_prefixlen == SLAAC_PREFIX else "dhcpv6-stateful"
    return {**values, "ipv6_ra_mode": mode, "ipv6_address_mode": mode}


def _failure(what: str, cause: BadRequest | NotFound) -> AutoAllocationFailure:
    return AutoAllocationFailure(f"Deployment error: {what}: {cause.message}")
