"""Hosts: the machines that run servers, as the controller knows them."""

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.orm import Session

from controller.core import agent_gateways, network_updates
from controller.core.operations import UNFINISHED
from controller.db.base import utcnow
from controller.db.models import (
    Allocation,
    Host,
    Inventory,
    Operation,
    Port,
    ResourceProvider,
    Server,
)
from controller.errors import BadRequest, HostFailed, InUse, NotFound
from controller.placement import inventories, providers
from controller.scheduler import liveness
from controller.settings import Settings
from controller.states import DELETED

# A role set for each; the others are refused at enrolment.
COMPUTE_DRIVERS = ("libvirt",)
# The name goes into inventories and known_hosts: a host name, and none that an inventory gives a
# meaning to.
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE)
RESERVED_NAMES = frozenset({"all", "ungrouped", "localhost", "compute_hosts", "controller"})

# What a host may claim to have; beyond that it errs, or lies.
_FACT_BOUNDS = {"cpus": 1 << 14, "memory_mb": 1 << 30, "disk_gb": 1 << 30}
_FACTS_KEPT = 64
_FACT_LENGTH = 1000


def get(session: Session, host_id: str) -> Host:
    """Return the host. Raises NotFound."""
    host = session.get(Host, host_id)
    if host is None:
        raise NotFound.of("host", host_id)
    return host


def get_by_name(session: Session, name: str) -> Host:
    """Return the host of that name. Raises NotFound."""
    host = session.scalar(select(Host).where(Host.name == name))
    if host is None:
        raise NotFound.of("host", name)
    return host


def list_hosts(session: Session) -> list[Host]:
    """Return all hosts by name."""
    return list(session.scalars(select(Host).order_by(Host.name)))


def down_after_s(settings: Settings) -> float:
    """Return how long a host may be silent before it counts as down, in seconds."""
    return float(settings.heartbeat_s * liveness.HEARTBEATS_MISSED)


def is_up(host: Host, settings: Settings, now: datetime | None = None) -> bool:
    """Return whether the host answered lately and isn't forced down."""
    return liveness.is_up(host, now or utcnow(), down_after_s(settings))


def are_up(settings: Settings, now: datetime) -> ColumnElement[bool]:
    """Return the condition on Host rows that `is_up` is true."""
    since = now - timedelta(seconds=down_after_s(settings))
    # A host that was never seen is not up, rather than neither.
    seen = and_(Host.last_seen_at.is_not(None), Host.last_seen_at >= since)
    return and_(Host.forced_down.is_(False), seen)


def enroll_record(
    session: Session,
    name: str,
    address: str,
    *,
    ssh_port: int = 22,
    ssh_user: str = "root",
    host_keys: list[str],
    compute_driver: str = "libvirt",
    availability_zone: str | None = None,
    variables: Mapping[str, Any] | None = None,
    tunnel_ip: str | None = None,
) -> Host:
    """Write or bring up to date the row of a host, and return it.

    `availability_zone` and `variables` None leave what is there. `tunnel_ip` is where other hosts
    reach its overlay networks, unless its variable compute_tunnel_ip says so; None is `address`,
    if that is one and no name. Raises BadRequest for a name that
    can't stand in an inventory, for a driver that we have no roles for, and for variables of the
    network that no play could use.
    """
    check_name(name)
    if compute_driver not in COMPUTE_DRIVERS:
        raise BadRequest(
            f"Cannot enrol host {name}: unknown compute_driver '{compute_driver}'. There is: "
            f"{', '.join(COMPUTE_DRIVERS)}."
        )
    host = session.scalar(select(Host).where(Host.name == name))
    if host is None:
        host = Host(name=name, variables={})
        session.add(host)
    host.address, host.ssh_port, host.ssh_user = address, ssh_port, ssh_user
    host.host_keys = list(host_keys)
    host.compute_driver = compute_driver
    if availability_zone is not None:
        host.availability_zone = availability_zone
    if variables is not None:
        host.variables = dict(variables)
    host.tunnel_ip = _tunnel_ip(host, tunnel_ip or address)
    _check_interfaces(host)
    session.flush()
    network_updates.host_enrolled(session, host.id)
    return host


def _tunnel_ip(host: Host, default: str) -> str | None:
    wanted = host.variables.get("compute_tunnel_ip", default)
    try:
        return str(ipaddress.ip_address(wanted))
    except ValueError as error:
        if "compute_tunnel_ip" not in host.variables:
            return None
        raise BadRequest(
            f"Cannot enrol host {host.name}: compute_tunnel_ip {wanted!r} is not an IP address."
        ) from error


def _check_interfaces(host: Host) -> None:
    for name in ("compute_flat_interfaces", "compute_vlan_interfaces"):
        interfaces = host.variables.get(name, {})
        texts = [*interfaces, *interfaces.values()] if isinstance(interfaces, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise BadRequest(
                f"Cannot enrol host {host.name}: {name} is {interfaces!r}; expected physical "
                'networks with an interface each, such as {"physnet1": "eth1"}.'
            )


def remove(session: Session, host: Host) -> None:
    """Forget a host that has nothing of ours any more.

    Raises InUse while servers are on it, or while a clean-up there has not been confirmed.
    """
    living = session.scalar(
        select(func.count())
        .select_from(Server)
        .where(Server.host_id == host.id, Server.state != DELETED)
    )
    held = session.scalar(
        select(func.count()).select_from(Allocation).where(Allocation.provider_id == host.id)
    )
    if living or held:
        raise InUse(
            f"Cannot remove host {host.name}: {living} servers are on it, and {held} allocations "
            "are held there. Delete the servers, and wait until the host has confirmed it."
        )
    clean_ups = session.scalar(
        select(func.count())
        .select_from(Operation)
        .where(
            Operation.host_id == host.id,
            Operation.kind == "server_cleanup",
            Operation.state.in_(UNFINISHED),
        )
    )
    if clean_ups:
        raise InUse(
            f"Cannot remove host {host.name}: {clean_ups} clean-ups there are not confirmed, so it "
            "may still have disks of deleted servers, or run them. Bring the host back, and wait "
            f"until `novella operation list --host {host.name} --kind server_cleanup` says that "
            "all have succeeded."
        )
    agent_gateways.forget_host(session, host.id)
    # The past keeps no host that isn't there; a finished operation still says what it did.
    for model in (Server, Operation, Port):
        session.execute(update(model).where(model.host_id == host.id).values(host_id=None))
    session.execute(delete(Inventory).where(Inventory.provider_id == host.id))
    session.execute(delete(ResourceProvider).where(ResourceProvider.id == host.id))
    session.delete(host)


def check_name(name: str) -> None:
    """Refuse a name that can't be a host's in an inventory. Raises BadRequest."""
    if not NAME.fullmatch(name) or name.lower() in RESERVED_NAMES:
        raise BadRequest(
            f"Cannot name a host {name!r}: a name has letters, digits, dots and dashes, and is "
            f"none of {', '.join(sorted(RESERVED_NAMES))}. Choose another."
        )


def note_unreachable(settings: Settings, host: Host, now: datetime) -> None:
    """Count the host as down from now on, until it answers again.

    A play could not reach it: new servers must not be sent there one after the other until the
    heartbeats notice.
    """
    silent_since = now - timedelta(seconds=down_after_s(settings) + 1)
    if host.last_seen_at is not None and host.last_seen_at > silent_since:
        host.last_seen_at = silent_since


def record_facts(
    session: Session, settings: Settings, host: Host, facts: Mapping[str, Any], now: datetime
) -> None:
    """Note that the host answered, and what it has: its row, its provider, its inventories.

    Raises HostFailed when the facts can't be true; nothing is written then.
    """
    known = _checked(host.name, facts)
    host.last_seen_at = now
    if host.facts != known:
        host.facts = known
    providers.ensure(session, host.id, host.name)
    inventories.replace(session, host.id, inventories.of_host(settings, known))


def _checked(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a host's facts is kept. What a host returns is untrusted."""
    kept = {
        str(key)[:_FACT_LENGTH]: value[:_FACT_LENGTH] if isinstance(value, str) else value
        for key, value in list(facts.items())[:_FACTS_KEPT]
        if isinstance(value, str | int | float | bool)
    }
    for key, most in _FACT_BOUNDS.items():
        value = kept.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise HostFailed(
                "The host's facts could not be read.",
                reason=f"host {name} says {key} is {value!r}, which no host has",
            )
    return kept
