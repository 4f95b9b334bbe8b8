"""What a namespace of routing consists of, read and brought into its wanted state part by part.

Cables (veth pairs, one end inside), routes, permanent neighbours, proxies, kernel settings and
packet filter. The namespace is ours alone, so its tables are written whole.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import filter_tables, network_links, work

NETNS_FOLDER = network_links.NETNS_FOLDER

# Destination network, next hop (empty: on the link) and device.
Route = tuple[str, str, str]
# Program ("iptables", "ip6tables") to table to chains.
Rules = dict[str, dict[str, filter_tables.Chains]]


@dataclass(frozen=True)
class State:
    """A namespace as it is."""

    links: network_links.Links
    routes: frozenset[Route] = frozenset()
    # (device, address) to MAC
    neighbours: dict[tuple[str, str], str] = field(default_factory=dict)
    # (device, address) that ARP and neighbour discovery are answered for
    proxies: frozenset[tuple[str, str]] = frozenset()
    rules: Rules = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """What the end of a cable inside a namespace has. No `mac`: whichever the kernel gave it."""

    name: str
    mtu: int
    addresses: tuple[str, ...]
    mac: str | None = None


def is_there(netns: str) -> bool:
    return os.path.exists(os.path.join(NETNS_FOLDER, netns))


def read(netns: str) -> State | None:
    """Return the namespace as it is; None where there is none, or only its file."""
    if not is_there(netns):
        return None
    ip = ["ip", "-n", netns, "-j"]
    commands = [
        network_links.argv(netns),
        [*ip, "-4", "route", "show"],
        [*ip, "-6", "route", "show"],
        [*ip, "neigh", "show", "nud", "permanent"],
        [*ip, "neigh", "show", "proxy"],
        inside(netns, "iptables-save"),
        inside(netns, "ip6tables-save"),
    ]
    try:
        said = work.run_commands([(argv, None) for argv in commands])
    except work.WorkError:
        try:
            network_links.links(netns)
        except work.WorkError:
            return None
        raise
    return State(
        links=network_links.parsed(said[0]),
        routes=frozenset([*_routes(said[1], "0.0.0.0/0"), *_routes(said[2], "::/0")]),
        neighbours={
            (each["dev"], each["dst"]): each["lladdr"]
            for each in json.loads(said[3] or "[]")
            if "lladdr" in each
        },
        proxies=frozenset((each["dev"], each["dst"]) for each in json.loads(said[4] or "[]")),
        rules={
            "iptables": filter_tables.parse(said[5]),
            "ip6tables": filter_tables.parse(said[6]),
        },
    )


def inside(netns: str, *argv: str) -> list[str]:
    """Return the command that runs `argv` in the network namespace, the host's files beside it."""
    return ["nsenter", f"--net={os.path.join(NETNS_FOLDER, netns)}", *argv]


def _routes(said: str, default: str) -> list[Route]:
    found = []
    for route in json.loads(said or "[]"):
        destination = default if route["dst"] == "default" else route["dst"]
        if route.get("protocol") == "kernel" or destination.startswith(("fe80:", "ff00:")):
            continue
        network = str(ipaddress.ip_network(destination))
        found.append((network, route.get("gateway", ""), route.get("dev", "")))
    return found


def addresses(link: dict[str, Any], wanted: Iterable[str]) -> set[str]:
    """Return the addresses of a link; of the kernel's own link-local ones those in `wanted`."""
    found = {
        (f"{each['local']}/{each['prefixlen']}", each.get("scope"))
        for each in link.get("addr_info", [])
        if "local" in each
    }
    return {text for text, scope in found if scope != "link" or text in set(wanted)} | {
        text for text, _ in found if text.startswith("169.254.")
    }


def describe_end(state: State, end: End) -> list[str]:
    """Return the lines of a cable's end as it is."""
    link = state.links.get(end.name)
    if link is None:
        return []
    mac = link["address"] if end.mac else None
    found = addresses(link, end.addresses)
    return _end_lines(end.name, link["mtu"], mac, "UP" in link["flags"], found)


def wanted_end(end: End) -> list[str]:
    return _end_lines(end.name, end.mtu, end.mac, True, end.addresses)


def _end_lines(
    name: str, mtu: int, mac: str | None, is_up: bool, of_link: Iterable[str]
) -> list[str]:
    first = f"{name} mtu {mtu} {'up' if is_up else 'down'}" + (f" {mac}" if mac else "")
    return [first, *(f"{name} address {address}" for address in sorted(of_link))]


def end_lines(state: State | None, end: End) -> list[str]:
    """Return the `ip` commands that give a cable's end what it wants."""
    link = state.links.get(end.name, {}) if state else {}
    present = addresses(link, end.addresses)
    mac = f" address {end.mac}" if end.mac else ""
    return [
        f"link set dev {end.name}{mac} mtu {end.mtu}",
        f"link set dev {end.name} up",
        *(f"address delete {a} dev {end.name}" for a in sorted(present - set(end.addresses))),
        *(_add_address(a, end.name) for a in sorted(set(end.addresses) - present)),
    ]


def _add_address(address: str, device: str) -> str:
    # Every host has a gateway's address: whether it is taken is not a question.
    return f"address add {address} dev {device}{' nodad' if ':' in address else ''}"


def route_lines(present: Iterable[Route], wanted: Iterable[Route]) -> list[str]:
    """Return the `ip` commands that bring the routes of `present` to `wanted`."""
    have, want = set(present), set(wanted)
    kept = {route[0] for route in want}
    lines = [f"route delete {_route(route)}" for route in sorted(have) if route[0] not in kept]
    # Those to a next hop come after the ones that it is reached by.
    ordered = sorted(want - have, key=lambda route: (bool(route[1]), route))
    return lines + [f"route replace {_route(route)}" for route in ordered]


def _route(route: Route) -> str:
    destination, via, device = route
    return f"{destination}{f' via {via}' if via else ''} dev {device}"


def describe_route(route: Route) -> str:
    return f"route {_route(route)}"


def neighbour_lines(
    present: dict[tuple[str, str], str], wanted: dict[tuple[str, str], str]
) -> list[str]:
    gone = sorted(set(present) - set(wanted))
    new = sorted(key for key, mac in wanted.items() if present.get(key) != mac)
    return [
        *(f"neigh delete {address} dev {device}" for device, address in gone),
        *(
            f"neigh replace {address} lladdr {wanted[device, address]} dev {device} nud permanent"
            for device, address in new
        ),
    ]


def proxy_lines(present: Iterable[tuple[str, str]], wanted: Iterable[tuple[str, str]]) -> list[str]:
    have, want = set(present), set(wanted)
    return [
        *(f"neigh delete proxy {address} dev {device}" for device, address in sorted(have - want)),
        *(f"neigh add proxy {address} dev {device}" for device, address in sorted(want - have)),
    ]


def settings(netns: str, names: Iterable[str]) -> dict[str, str]:
    """Return those kernel settings of a namespace that its kernel has."""

    def read_all() -> dict[str, str]:
        found = {name: work.read_file(_setting_path(name)) for name in names}
        return {name: value.strip() for name, value in found.items() if value is not None}

    return network_links.inside(netns, read_all)


def have_settings(netns: str, wanted: dict[str, str]) -> None:
    def write_all() -> None:
        for name, value in wanted.items():
            # A kernel without IPv6 has none of its settings.
            with (
                contextlib.suppress(FileNotFoundError),
                open(_setting_path(name), "w", encoding="ascii") as file,
            ):
                file.write(f"{value}\n")

    network_links.inside(netns, write_all)


def _setting_path(name: str) -> str:
    # An interface's name may have a dot in it; our own have none.
    return "/proc/sys/" + name.replace(".", "/")


def describe_rules(present: Rules, wanted: Rules) -> tuple[list[str], list[str]]:
    """Return the lines of the tables of `wanted`, as they are and as they must be."""
    before, after = [], []
    for program, tables in wanted.items():
        for table, chains in tables.items():
            there = present.get(program, {}).get(table, {})
            for chain in sorted({*chains, *there}):
                new, old = chains.get(chain, []), there.get(chain, [])
                shown = new if filter_tables.is_same(old, new) else old
                before += [f"{program} {table}: -A {chain} {rule}" for rule in shown]
                after += [f"{program} {table}: -A {chain} {rule}" for rule in new]
    return before, after


def have_rules(netns: str, wanted: Rules) -> None:
    """Write the tables of `wanted`, each whole and at once."""
    for program, tables in wanted.items():
        text = "".join(_table_text(table, chains) for table, chains in tables.items())
        work.run_command(inside(netns, f"{program}-restore", "-w", "20"), input=text)


def _table_text(table: str, chains: filter_tables.Chains) -> str:
    lines = [f"*{table}", *(f":{chain} ACCEPT [0:0]" for chain in chains)]
    lines += [f"-A {chain} {rule}" for chain, rules in chains.items() for rule in rules]
    return "\n".join([*lines, "COMMIT"]) + "\n"


def make(netns: str, wanted_settings: dict[str, str]) -> None:
    """Have an empty namespace; what an interrupted run left of one is removed first."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(NETNS_FOLDER, netns))
    work.run_command(["ip", "netns", "add", netns])
    have_settings(netns, wanted_settings)
    network_links.batch(["link set dev lo up"], netns)


def plug(cable: tuple[str, str], bridge: str, mtu: int, netns: str, is_whole: bool) -> None:
    """Have a cable, (name in the bridge, name in the namespace); one that is not whole anew."""
    outside, name = cable
    lines = [f"link delete dev {outside}"] if not is_whole and _exists(outside) else []
    if not is_whole:
        lines.append(f"link add name {outside} type veth peer name {name} netns {netns}")
    lines += [
        f"link set dev {outside} mtu {mtu} addrgenmode none",
        f"link set dev {outside} master {bridge}",
    ]
    network_links.batch(lines)
    network_links.switch_off_ipv6(outside)
    network_links.batch([f"link set dev {outside} up"])


def _exists(name: str) -> bool:
    return os.path.exists(f"/sys/class/net/{name}")


def describe_plug(outside: network_links.Links, name: str) -> list[str]:
    """Return the line of a cable's end in a bridge, as it is."""
    link = outside.get(name)
    if link is None:
        return []
    is_up, ipv6_off = "UP" in link["flags"], network_links.is_ipv6_off(name)
    return [_plug_line(name, link.get("master"), link["mtu"], is_up, ipv6_off)]


def wanted_plug(name: str, bridge: str, mtu: int) -> list[str]:
    return [_plug_line(name, bridge, mtu, True, True)]


def _plug_line(name: str, bridge: str | None, mtu: int, is_up: bool, ipv6_off: bool) -> str:
    state = f"{'up' if is_up else 'down'} ipv6 {'off' if ipv6_off else 'on'}"
    return f"{name} in {bridge} mtu {mtu} {state}"


def text(lines: Iterable[str], rules: Iterable[str] = ()) -> str:
    """Return the lines of a diff: those that have no order sorted, `rules` as they stand."""
    return "".join(f"{line}\n" for line in [*sorted(lines), *rules])
