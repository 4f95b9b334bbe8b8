"""A router's gateway: its own addresses on an external network, and whether it translates."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import (
    addresses,
    networks,
    port_records,
    router_ports,
    subnet_ranges,
)
from controller.core.context import Context
from controller.core.network_faults import (
    BadNetworkRequest,
    RouterExternalGatewayInUseByFloatingIp,
)
from controller.core.router_ports import GATEWAY
from controller.db.models import FloatingIP, Network, Port, Router


def change(
    session: Session, context: Context, router: Router, wanted: Mapping[str, Any] | None
) -> None:
    """Give the router the gateway asked for; None or an empty one takes it away.

    `wanted` has `network_id` and, perhaps, `enable_snat` and `external_fixed_ips`. On the same
    network the addresses stay unless others are named. Raises what the network can't give,
    BadNetworkRequest, RouterExternalGatewayInUseByFloatingIp.
    """
    present = session.get(Port, router.gateway_port_id) if router.gateway_port_id else None
    if not wanted:
        _clear(session, router, present)
        router.enable_snat = True
        return
    network = _external(session, context, wanted["network_id"])
    if present is not None and present.network_id != network.id:
        _clear(session, router, present)
        present = None
    named = wanted.get("external_fixed_ips") or []
    if present is None:
        _make(session, router, network, named)
    elif named:
        addresses.release(session, [present.id])
        _give(session, router, network, present, named)
    router.enable_snat = wanted.get("enable_snat", True)


def _external(session: Session, context: Context, network_id: str) -> Network:
    network = networks.get_way_out(session, context, network_id)
    if not network.external:
        raise BadNetworkRequest(
            f"Bad router request: Network {network_id} is not an external network. Choose one that "
            "is (`openstack network list --external`)."
        )
    return network


def _make(session: Session, router: Router, network: Network, named: list[Any]) -> None:
    port = router_ports.insert(session, network.id, GATEWAY, router.id)
    _give(session, router, network, port, named)
    router.gateway_port_id = port.id


def _give(session: Session, router: Router, network: Network, port: Port, named: list[Any]) -> None:
    available = subnet_ranges.of_network(session, network.id)
    if not available:
        raise BadNetworkRequest(
            f"Bad router request: external network {network.id} has no subnet, and so no address "
            "for a router. Have one made, or use another network."
        )
    router_ports.give_addresses(session, network, available, port, named)
    inside = router_ports.subnets_of(session, router.id, (router_ports.INTERFACE,))
    router_ports.check_apart(available, inside)


def _clear(session: Session, router: Router, port: Port | None) -> None:
    if port is None:
        return
    floating_ip = session.scalar(
        select(FloatingIP.floating_ip_address)
        .where(FloatingIP.router_id == router.id, FloatingIP.floating_network_id == port.network_id)
        .limit(1)
    )
    if floating_ip:
        raise RouterExternalGatewayInUseByFloatingIp(
            f"Gateway cannot be updated for router {router.id}, since a gateway to external "
            f"network {port.network_id} is required by one or more floating IPs, such as "
            f"{floating_ip}. Disassociate them first."
        )
    router.gateway_port_id = None
    session.flush()
    port_records.erase(session, [port.id])
