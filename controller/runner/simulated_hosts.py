"""What simulated hosts would have: told by the plays that were pretended, said when asked.

Kept in memory, so it is only as true as this process saw every run. Named as the executor is, so
that nobody takes it for the real thing.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller import host_names
from controller.runner.requests import Run
from controller.ssh import HostAccess

# What a playbook leaves a server's domain in.
_STATE_AFTER = {
    "server_create": "running",
    "server_start": "running",
    "server_reboot": "running",
    "server_hard_reboot": "running",
    "server_rebuild": "running",
    "server_rescue": "running",
    "server_unrescue": "running",
    "server_shelve": "stopped",
    "server_unshelve": "running",
    "server_stop": "stopped",
    "server_pause": "paused",
    "server_unpause": "running",
    "server_suspend": "stopped",
    "server_resume": "running",
    "server_soft_delete": "stopped",
    "server_restore": "running",
}
# Those that leave it as it is.
_KEEPING = frozenset(
    {
        "server_attach_interface",
        "server_detach_interface",
        "server_converge",
        "server_live_resize",
        "server_create_snapshot",
        "server_revert_snapshot",
        "server_delete_snapshot",
    }
)
BASE_CHAINS = ("nv-forward", "nv-input", "nv-output", "nv-egress", "nv-ingress")


@dataclass
class SimulatedServer:
    """A server on a simulated host, with the arguments that it was last told."""

    cloud_id: str
    entry: Mapping[str, Any]
    state: str


@dataclass
class SimulatedHost:
    """`servers` by id; `fences` server -> (owner, generation); `quarantine` ids of servers;
    `aside` server -> whether its folder is exported.
    """

    servers: dict[str, SimulatedServer] = field(default_factory=dict)
    fences: dict[str, tuple[str, int]] = field(default_factory=dict)
    quarantine: list[str] = field(default_factory=list)
    # Servers whose folder was set aside, with what was exported of it.
    aside: dict[str, bool] = field(default_factory=dict)
    # Servers for which all is there but the domain, which is to come while it runs.
    ready: set[str] = field(default_factory=set)
    # Servers of which all is there but the domain, which has gone to another host.
    left: set[str] = field(default_factory=set)
    boots: int = 1
    # What the last network_update told of all of the host: its routers, and its networks.
    networks: list[dict[str, Any]] = field(default_factory=list)
    routers: list[dict[str, Any]] = field(default_factory=list)

    def boot(self) -> None:
        """Be switched off and on again: nothing runs then."""
        self.boots += 1
        for server in self.servers.values():
            server.state = "stopped"


class SimulatedHosts:
    """All hosts, by their ids. Threads may share it."""

    def __init__(self) -> None:
        self.hosts: dict[str, SimulatedHost] = {}
        self._lock = threading.Lock()

    def take(self, run: Run, host: HostAccess, items: Iterable[Mapping[str, Any]]) -> None:
        """Note what the run did on the host: items that did not fail."""
        if run.check:
            return
        done = [item.get("id") for item in items if not item.get("failed")]
        cloud_id = str(run.arguments.get("cloud_id"))
        with self._lock:
            there = self.hosts.setdefault(host.id, SimulatedHost())
            for entry in run.arguments.get("servers", []):
                there.fences[entry["id"]] = (cloud_id, int(entry.get("generation") or 0))
                if entry["id"] in done and run.playbook == "server_live_migrate":
                    self._move(run, entry, there)
                elif entry["id"] in done and run.playbook == "host_adopt":
                    _give(there, cloud_id, entry)
                elif entry["id"] in done:
                    _apply(there, run.playbook, cloud_id, entry)

    def take_networks(self, run: Run, host: HostAccess, items: Iterable[Mapping[str, Any]]) -> None:
        """Note what the host was told of all its networks, unless it failed or was a check."""
        if run.check or any(item.get("failed") for item in items):
            return
        with self._lock:
            there = self.hosts.setdefault(host.id, SimulatedHost())
            if fence := run.arguments.get("host_fence"):
                owner = str(run.arguments.get("cloud_id"))
                there.fences[fence["id"]] = (owner, int(fence["generation"]))
            there.networks = list(run.arguments["networks"])
            there.routers = list(run.arguments["routers"])

    def has(self, host: HostAccess, server_id: str) -> bool:
        """Return whether the host has a domain of the server."""
        with self._lock:
            return server_id in self.hosts.setdefault(host.id, SimulatedHost()).servers

    def _move(self, run: Run, entry: Mapping[str, Any], source: SimulatedHost) -> None:
        """Bring the server to the run's second host, unless the run only asks where it is."""
        server_id = entry["id"]
        destination = self.hosts.setdefault(run.hosts[1].id, SimulatedHost())
        destination.fences[server_id] = source.fences[server_id]
        if not entry["move"]["settle"] and server_id in source.servers:
            destination.servers[server_id] = source.servers.pop(server_id)
            destination.ready.discard(server_id)
            source.left.add(server_id)

    def audit(self, host: HostAccess) -> dict[str, Any]:
        """Return what host_audit_info would say."""
        with self._lock:
            there = self.hosts.setdefault(host.id, SimulatedHost())
            return _audit(there)

    def boot_id(self, host: HostAccess) -> str:
        """Return what is another text after each boot."""
        with self._lock:
            return f"simulated/{self.hosts.setdefault(host.id, SimulatedHost()).boots}"

    def domains(self, host: HostAccess) -> dict[str, str]:
        """Return the states of the host's domains, by server."""
        with self._lock:
            there = self.hosts.setdefault(host.id, SimulatedHost())
            return {server_id: server.state for server_id, server in there.servers.items()}


def _give(there: SimulatedHost, cloud_id: str, entry: Mapping[str, Any]) -> None:
    """Have a server that ran already belong to the cloud, or to the one that it is given to."""
    owner, server_id = str(entry.get("mark_cloud_id") or cloud_id), entry["id"]
    there.servers[server_id] = SimulatedServer(owner, entry, "running")
    there.fences[server_id] = (owner, there.fences[server_id][1])


def _apply(there: SimulatedHost, playbook: str, cloud_id: str, entry: Mapping[str, Any]) -> None:
    server_id, move = entry["id"], entry.get("move") or {}
    if playbook == "server_move_out":
        there.servers.pop(server_id, None)
        there.aside[server_id] = bool(move.get("export"))
    elif playbook == "server_confirm_resize":
        there.aside[server_id] = False
        if not move.get("keep_aside"):
            del there.aside[server_id]
    elif playbook in ("server_resize", "server_revert_resize"):
        state = "running" if move.get("running", True) else "stopped"
        there.servers[server_id] = SimulatedServer(cloud_id, entry, state)
        if playbook == "server_revert_resize":
            there.aside.pop(server_id, None)
    elif playbook == "server_evacuate":
        state = "running" if entry["evacuation"]["running"] else "stopped"
        there.servers[server_id] = SimulatedServer(cloud_id, entry, state)
    elif playbook == "server_receive":
        there.ready |= {server_id} - there.servers.keys()
    elif playbook in ("server_delete", "server_shelve_offload"):
        there.ready.discard(server_id)
        there.left.discard(server_id)
        if not move.get("keep_aside"):
            there.aside.pop(server_id, None)
        if there.servers.pop(server_id, None) and entry.get("quarantine"):
            there.quarantine.append(server_id)
    elif playbook in _KEEPING and server_id in there.servers:
        there.servers[server_id].entry = entry
    elif playbook in _STATE_AFTER:
        there.servers[server_id] = SimulatedServer(cloud_id, entry, _STATE_AFTER[playbook])


def _audit(there: SimulatedHost) -> dict[str, Any]:
    servers = there.servers
    ports = [
        (server_id, port)
        for server_id, server in servers.items()
        for port in server.entry.get("ports") or []
    ]
    networks = {
        network["id"]: network
        for server in servers.values()
        for network in server.entry.get("networks") or []
    }
    return {
        "unread": {},
        "truncated": [],
        "domains": [_domain(server_id, server) for server_id, server in servers.items()],
        "folders": [
            *(_folder(server_id, server.entry) for server_id, server in servers.items()),
            *({"name": each, "server_id": each, "files": []} for each in there.ready | there.left),
            *({"name": f"{each}_resize", "server_id": each, "files": []} for each in there.aside),
        ],
        "quarantine": [{"server_id": each, "since": 0} for each in there.quarantine],
        "bases": [],
        "networks": sorted(networks),
        "dhcp_hosts": [
            {
                "network_id": port["network_id"],
                "port_id": port["id"],
                "lines": [f"{port['mac_address']},{each['ip_address']}" for each in _ips(port)],
            }
            for _, port in ports
        ],
        "metadata": [
            {"network_id": port["network_id"], "address": each["ip_address"]}
            for _, port in ports
            for each in _ips(port)
        ],
        "fences": [
            {"server_id": server_id, "owner": owner, "generation": generation}
            for server_id, (owner, generation) in there.fences.items()
        ],
        "journal": [],
        "links": _links(servers, ports, networks),
        "namespaces": sorted(networks),
        "claims": [],
        "chains": _chains(ports),
        "sets": [],
        "services": [
            {"name": name(network_id), "state": "up"}
            for network_id in networks
            for name in (host_names.metadata_service, host_names.dhcp_service)
        ],
    }


def _domain(server_id: str, server: SimulatedServer) -> dict[str, Any]:
    taps = [host_names.tap(port["id"]) for port in server.entry.get("ports") or []]
    return {
        "id": server_id,
        "name": host_names.domain(server_id),
        "cloud_id": server.cloud_id,
        "state": server.state,
        "persistent": True,
        "disks": [],
        "taps": taps,
        "autostart": False,
    }


def _folder(server_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    flavor = entry.get("flavor") or {}
    names = ["disk", "libvirt.xml"]
    names += ["disk.local"] if flavor.get("ephemeral_gb") else []
    names += ["disk.swap"] if flavor.get("swap_mb") else []
    names += ["disk.config"] if entry.get("config_drive") else []
    files = [{"name": name, "size_bytes": 0, "allocated_bytes": 0} for name in names]
    return {"name": server_id, "server_id": server_id, "files": files}


def _links(
    servers: Mapping[str, SimulatedServer],
    ports: list[tuple[str, Any]],
    networks: Mapping[str, Any],
) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = []
    for network_id in networks:
        bridge = host_names.bridge(network_id)
        links.append({"name": bridge, "kind": "bridge", "bridge": None})
        links.append({"name": host_names.veth(network_id), "kind": "veth", "bridge": bridge})
    for server_id, port in ports:
        if servers[server_id].state != "stopped":
            bridge = host_names.bridge(port["network_id"])
            links.append({"name": host_names.tap(port["id"]), "kind": "tap", "bridge": bridge})
    return links


def _chains(ports: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    taps = sorted(host_names.tap(port["id"]) for _, port in ports)
    chains: list[dict[str, Any]] = [{"table": "iptables", "name": name} for name in BASE_CHAINS]
    chains[-1]["taps"] = taps
    return chains


def _ips(port: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(port.get("fixed_ips") or [])
