"""Diagnostics of a running server, in both of upstream's shapes, and its NUMA topology."""

from typing import Any

from sqlalchemy import select

from controller import host_names
from controller.api.common.calls import Call, Reply
from controller.api.compute.microversions import demand, has
from controller.console import diagnostics
from controller.console.diagnostics import Counters, Diagnostics
from controller.core import servers
from controller.core.port_records import serving
from controller.db.models import Host, Port, Server
from controller.errors import Conflict
from controller.states import POWER_PAUSED

_DISK = {
    "read_bytes": "rd.bytes",
    "read_requests": "rd.reqs",
    "write_bytes": "wr.bytes",
    "write_requests": "wr.reqs",
    "errors_count": "errors",
}
_OLD_DISK = {"_read_req": "rd.reqs", "_read": "rd.bytes", "_write_req": "wr.reqs"} | {
    "_write": "wr.bytes",
    "_errors": "errors",
}
_CARD = {
    f"{way}_{name}": f"{way}.{counter}"
    for way in ("rx", "tx")
    for name, counter in (
        ("octets", "bytes"), ("packets", "pkts"), ("errors", "errs"), ("drop", "drop"),
    )
}  # fmt: skip
_OLD_CARD = {
    f"_{way}{name}": f"{way}.{counter}"
    for way in ("rx", "tx")
    for name, counter in (
        ("", "bytes"), ("_packets", "pkts"), ("_errors", "errs"), ("_drop", "drop"),
    )
}  # fmt: skip


def show_diagnostics(call: Call, server_id: str) -> Reply:
    """Ask the server's host; the transaction is over before that."""
    with call.services.db.read() as session:
        server: Server = servers.get(session, call.context, server_id)
        host = session.get(Host, server.host_id) if server.host_id else None
        cards = {
            host_names.tap(port.id): port.mac_address
            for port in session.scalars(select(Port).where(serving([server.id])))
        }
    if host is None:
        raise Conflict(f"Instance {server_id} is not ready: it is on no host. Wait until it is.")
    found = diagnostics.read(call.settings, host, server.id)
    if not has(call.version, "server.diagnostics_standard"):
        return Reply(_old(found))
    return Reply(_standard(server, host, found, cards))


def show_topology(call: Call, server_id: str) -> Reply:
    """Answer as upstream for a server without a NUMA topology: none here has one."""
    demand(call.version, "route.server_topology")
    servers.get(call.session, call.context, server_id)
    return Reply({"nodes": [], "pagesize_kb": None})


def _standard(
    server: Server, host: Host, found: Diagnostics, macs: dict[str, str]
) -> dict[str, Any]:
    """Return the shape of 2.48 and later; null is what nobody counts."""
    used = found.memory.get("rss")
    return {
        "state": "paused" if server.power_state == POWER_PAUSED else "running",
        "driver": "libvirt",
        "hypervisor": host.facts.get("virt_type"),
        "hypervisor_os": "linux",
        "uptime": None if found.cpu_time_ns is None else found.cpu_time_ns // 1_000_000_000,
        "config_drive": server.config_drive,
        "num_cpus": len(found.cpus),
        "num_nics": len(found.cards),
        "num_disks": len(found.disks),
        "memory_details": {
            "maximum": _mib(found.memory.get("maximum")),
            "used": _mib(found.memory.get("current") if used is None else used),
        },
        "cpu_details": [
            {"id": index, "time": cpu.get("time"), "utilisation": None}
            for index, cpu in enumerate(found.cpus)
        ],
        "nic_details": [
            {"mac_address": macs.get(tap), "rx_rate": None, "tx_rate": None, **_named(_CARD, card)}
            for tap, card in found.cards
        ],
        "disk_details": [_named(_DISK, disk) for _, disk in found.disks],
    }


def _old(found: Diagnostics) -> dict[str, Any]:
    """Return the flat shape before 2.48, whose names are the hypervisor's."""
    view: dict[str, Any] = {
        f"cpu{index}_time": cpu.get("time") for index, cpu in enumerate(found.cpus)
    }
    for devices, names in ((found.disks, _OLD_DISK), (found.cards, _OLD_CARD)):
        for device, counters in devices:
            view |= {f"{device}{end}": value for end, value in _named(names, counters).items()}
    view["memory"] = found.memory.get("maximum")
    view |= {f"memory-{name}": value for name, value in found.memory.items() if name != "maximum"}
    return {name: value for name, value in view.items() if value is not None}


def _named(names: dict[str, str], counters: Counters) -> dict[str, int | None]:
    return {ours: counters.get(theirs) for ours, theirs in names.items()}


def _mib(kib: int | None) -> int | None:
    return None if kib is None else kib // 1024
