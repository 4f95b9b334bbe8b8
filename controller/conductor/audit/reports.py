"""Reports: what a host says that it has, checked and bounded.

All of it comes from the host. What is not of the shape that host_audit_info gives is dropped, and
what is too much is cut: a host can lie about itself, but not make the controller fail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from controller import host_names
from controller.conductor.audit.books import Mentioned

LIST_MAX = 20000
TEXT_MAX = 300

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Domain:
    id: str
    cloud_id: str | None
    state: str
    taps: tuple[str, ...]
    autostart: bool


@dataclass(frozen=True, slots=True)
class Folder:
    """A server's folder. `files` are names; `lost_bases` the files that disks stand on no more."""

    name: str
    server_id: str | None
    files: frozenset[str]
    lost_bases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    network_id: str
    port_id: str
    # Each a MAC and an address.
    pairs: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Fence:
    server_id: str
    owner: str | None
    generation: int | None


@dataclass(frozen=True, slots=True)
class Router:
    """A router's namespace: its cables in the host, and the external networks it leads to."""

    id: str
    legs: tuple[str, ...]
    external: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host has of ours. `unread` says why a part is empty that need not be."""

    unread: dict[str, str]
    domains: tuple[Domain, ...]
    folders: tuple[Folder, ...]
    fences: dict[str, Fence]
    networks: frozenset[str]
    reservations: tuple[Reservation, ...]
    # Each a network and an address.
    metadata: frozenset[tuple[str, str]]
    # name -> the bridge it is in
    taps: dict[str, str | None]
    bridges: frozenset[str]
    veths: frozenset[str]
    namespaces: frozenset[str]
    routers: tuple[Router, ...]
    external_networks: frozenset[str]
    # Cables of routers -> the bridge each is in
    legs: dict[str, str | None]
    # Each a bridge and a port.
    claims: frozenset[tuple[str, str]]
    # Each a table and a chain.
    chains: frozenset[tuple[str, str]]
    # Taps that the chains hand out by.
    filtered_taps: frozenset[str]
    missing_jumps: tuple[str, ...]
    sets: frozenset[str]
    # name -> up or down
    services: dict[str, str]

    def mentioned(self) -> Mentioned:
        """Return the ids that the host speaks of."""
        servers = {domain.id for domain in self.domains} | set(self.fences)
        servers |= {folder.server_id for folder in self.folders if folder.server_id}
        ports = {each.port_id for each in self.reservations} | {port for _, port in self.claims}
        shorts = {host_names.short(port) for port in ports} | self.port_shorts()
        networks = self.networks | self.namespaces | {each for each, _ in self.metadata}
        return Mentioned(frozenset(servers), frozenset(shorts), frozenset(networks))

    def port_shorts(self) -> set[str]:
        """Return the beginnings of ids that taps and ports' own chains are named by."""
        taps = {tap[len(host_names.TAP) :] for tap in (*self.taps, *self.filtered_taps)}
        return taps | {
            chain[5:] for _, chain in self.chains if chain[:5] in ("nv-i-", "nv-o-", "nv-s-")
        }


def parse(facts: Mapping[str, Any]) -> HostReport:
    """Return the report in what the module said."""
    links = _items(facts, "links", _link)
    chains = _items(facts, "chains", _chain)
    unread = {str(part)[:TEXT_MAX]: str(why)[:TEXT_MAX] for part, why in _pairs(facts, "unread")}
    unread |= {str(part)[:TEXT_MAX]: "too long, and cut" for part in _list(facts, "truncated")}
    return HostReport(
        unread=unread,
        domains=tuple(_items(facts, "domains", _domain)),
        folders=tuple(_items(facts, "folders", _folder)),
        fences={each.server_id: each for each in _items(facts, "fences", _fence)},
        networks=frozenset(_texts(facts, "networks")),
        reservations=tuple(_items(facts, "dhcp_hosts", _reservation)),
        metadata=frozenset(
            _items(facts, "metadata", lambda one: (_text(one["network_id"]), _text(one["address"])))
        ),
        taps={name: bridge for kind, name, bridge in links if kind == "tap"},
        bridges=frozenset(name for kind, name, _ in links if kind == "bridge"),
        veths=frozenset(name for kind, name, _ in links if kind == "veth"),
        namespaces=frozenset(_texts(facts, "namespaces")),
        routers=tuple(_items(facts, "routers", _router)),
        external_networks=frozenset(_texts(facts, "external_networks")),
        legs={name: bridge for kind, name, bridge in links if kind == "leg"},
        claims=frozenset(
            _items(facts, "claims", lambda one: (_text(one["bridge"]), _text(one["port_id"])))
        ),
        chains=frozenset((table, name) for table, name, _, jump in chains if not jump),
        filtered_taps=frozenset(tap for _, _, taps, _ in chains for tap in taps),
        missing_jumps=tuple(f"{table}: {jump}" for table, _, _, jump in chains if jump),
        sets=frozenset(_items(facts, "sets", lambda one: _text(one["name"]))),
        services=dict(
            _items(facts, "services", lambda one: (_text(one["name"]), _text(one["state"])))
        ),
    )


def _domain(one: Mapping[str, Any]) -> Domain:
    cloud = one.get("cloud_id")
    return Domain(
        _text(one["id"]),
        None if cloud is None else _text(cloud),
        _text(one["state"]),
        tuple(_text(tap) for tap in _list(one, "taps")),
        bool(one.get("autostart")),
    )


def _folder(one: Mapping[str, Any]) -> Folder:
    files = [each for each in _list(one, "files") if isinstance(each, dict)]
    server_id = one.get("server_id")
    return Folder(
        _text(one["name"]),
        None if server_id is None else _text(server_id),
        frozenset(_text(each.get("name")) for each in files if each.get("name")),
        tuple(
            _text(each.get("backing_file"))
            for each in files
            if each.get("backing_file") and not each.get("backing_is_there")
        ),
    )


def _router(one: Mapping[str, Any]) -> Router:
    return Router(
        _text(one["id"]),
        tuple(_text(leg) for leg in _list(one, "legs")),
        tuple(_text(network) for network in _list(one, "external")),
    )


def _fence(one: Mapping[str, Any]) -> Fence:
    owner, generation = one.get("owner"), one.get("generation")
    return Fence(
        _text(one["server_id"]),
        None if owner is None else _text(owner),
        generation if type(generation) is int else None,
    )


def _reservation(one: Mapping[str, Any]) -> Reservation:
    pairs = [_text(line).split(",") for line in _list(one, "lines")]
    return Reservation(
        _text(one["network_id"]),
        _text(one["port_id"]),
        frozenset((pair[0].lower(), pair[1]) for pair in pairs if len(pair) > 1),
    )


def _link(one: Mapping[str, Any]) -> tuple[str, str, str | None]:
    bridge = one.get("bridge")
    return _text(one["kind"]), _text(one["name"]), None if bridge is None else _text(bridge)


def _chain(one: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...], str]:
    taps = tuple(_text(tap) for tap in _list(one, "taps"))
    return _text(one["table"]), _text(one["name"]), taps, _text(one.get("missing_jump") or "")


def _items(facts: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
    found = []
    for one in _list(facts, name):
        try:
            found.append(read(one))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError):
            continue
    return found


def _texts(facts: Mapping[str, Any], name: str) -> list[str]:
    return [one[:TEXT_MAX] for one in _list(facts, name) if isinstance(one, str)]


def _list(facts: Mapping[str, Any], name: str) -> list[Any]:
    found = facts.get(name)
    return found[:LIST_MAX] if isinstance(found, list) else []


def _pairs(facts: Mapping[str, Any], name: str) -> list[tuple[Any, Any]]:
    found = facts.get(name)
    return list(found.items())[:TEXT_MAX] if isinstance(found, dict) else []


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value[:TEXT_MAX]
