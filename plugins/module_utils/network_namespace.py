"""The namespace of a network on a host: a cable into its bridge, its addresses and its services.

Two services run in it: dnsmasq, and the metadata server, each as a user of its own without
privileges. Every host has a namespace for each network that its guests use, with the same addresses
and the same MAC, so a guest that moves finds them at its new host.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from typing import Any

from . import (
    filter_base,
    filter_tables,
    names,
    network_files,
    network_links,
    network_rules,
    network_services,
    network_standing,
    service_units,
    subnets,
    work,
)

NETNS_FOLDER = network_links.NETNS_FOLDER
INSIDE = names.NAMESPACE_INTERFACE

# Inside the namespace; IPv6 is on where the network has it. Nothing is routed between networks, and
# the metadata server binds port 80 without any privilege.
SYSCTLS = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
    # It hears the advertisements of its own dnsmasq.
    "net.ipv6.conf.default.accept_ra": "0",
    f"net.ipv6.conf.{INSIDE}.accept_ra": "0",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.ip_unprivileged_port_start": "80",
}

ARGUMENT_SPEC: dict[str, Any] = {
    "network_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "bridge": {"type": "str"},
    "mtu": {"type": "int", "default": 1500},
    "subnets": {"type": "list", "elements": "dict", "default": []},
    "port_ids": {"type": "list", "elements": "str", "default": []},
    "state_path": {"type": "path", "default": network_files.STATE_PATH},
    "service_backend": {
        "type": "str",
        "choices": ["auto", "systemd", "s6"],
        "default": "auto",
    },
    "dhcp_user": {"type": "str", "default": "dnsmasq"},
    "metadata_user": {"type": "str", "default": "novella-metadata"},
    "only_if_unused": {"type": "bool", "default": False},
}
SPEC_RULES: dict[str, Any] = {}

Diff = list[dict[str, str]]

# What this process made sure of: of each network, with which parameters, and how it stood then.
# Used under the networks' lock.
_made_sure: dict[str, tuple[dict[str, Any], network_standing.Standing]] = {}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the namespace of `params` (see ARGUMENT_SPEC) into its state; the module's work."""
    files = network_files.NetworkFiles(params["network_id"], params["state_path"])
    work_of_state = _present if params["state"] == "present" else _absent
    if check_mode:
        return work_of_state(params, files, check_mode)
    with work.locked(network_links.NETWORKS_LOCK):
        return work_of_state(params, files, check_mode)


def _present(
    params: dict[str, Any], files: network_files.NetworkFiles, check_mode: bool
) -> dict[str, Any]:
    bridge = params["bridge"] or names.bridge_name(files.network_id)
    if not check_mode and _is_as_made(params, files, bridge):
        undo_args = _undo_args(params, files)
        network_files.claim(bridge, params["port_ids"])
        uplinks = list(_made_sure[files.network_id][1].uplinks)
        # Rules are nowhere among what shows that the network stands; they are known, as a rule.
        rules = _have_rules(files.network_id, subnets.parse(params["subnets"]), uplinks, False)
        diffs = [rules] if rules["before"] != rules["after"] else []
        namespace = names.namespace_name(files.network_id)
        same = {"changed": bool(diffs), "diff": diffs, "namespace": namespace}
        return {**same, "undo_args": undo_args} if undo_args else same
    served = subnets.parse(params["subnets"])
    look = _look(files.network_id)
    if bridge not in look.outside and not check_mode:
        raise work.WorkError(
            f"Cannot make the namespace of network {files.network_id}: its bridge {bridge} is not "
            "there. Make it first (linux_bridge)."
        )
    metadata_server = network_services.METADATA_SERVER
    if not os.path.exists(metadata_server):
        raise work.WorkError(
            f"Cannot serve metadata to network {files.network_id}: {metadata_server} is not on "
            "this host. Enrol the host (playbooks/host_enroll.yml)."
        )
    if check_mode:
        return _make(params, files, bridge, served, look, check_mode)
    undo_args = _undo_args(params, files)
    network_files.claim(bridge, params["port_ids"])
    try:
        result = _make(params, files, bridge, served, look, check_mode)
    except BaseException:
        if undo_args:
            with contextlib.suppress(work.WorkError):
                _absent({**params, **undo_args}, files, check_mode)
        raise
    return {**result, "undo_args": undo_args} if undo_args else result


def _is_as_made(params: dict[str, Any], files: network_files.NetworkFiles, bridge: str) -> bool:
    """Whether this process made sure of this very network, and nobody has touched it since."""
    made = _made_sure.pop(files.network_id, None)
    if made is None or made[0] != _of_network(params):
        return False
    pids = tuple(pid for pid, _ in made[1].services)
    if network_standing.seen(files, bridge, pids) != made[1]:
        return False
    _made_sure[files.network_id] = made
    return True


def _of_network(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "port_ids"}


def _undo_args(params: dict[str, Any], files: network_files.NetworkFiles) -> dict[str, Any] | None:
    """What takes this run's work back: for a network, or for ports, that were not here before.

    A namespace that was there, unused, may be one that a delete has left for these ports. A port
    whose address is served already is a server's from before: its network stays.
    """
    new_ports = sorted(set(params["port_ids"]) - files.ports())
    netns = os.path.join(NETNS_FOLDER, names.namespace_name(files.network_id))
    if not new_ports and os.path.exists(netns):
        return None
    kept = {name: params[name] for name in ("network_id", "bridge", "state_path")}
    return {
        **{name: value for name, value in kept.items() if value is not None},
        "service_backend": params["service_backend"],
        "state": "absent",
        "only_if_unused": True,
        "port_ids": new_ports,
    }


def _make(
    params: dict[str, Any],
    files: network_files.NetworkFiles,
    bridge: str,
    served: list[subnets.Subnet],
    look: _Look,
    check_mode: bool,
) -> dict[str, Any]:
    links_diff = _have_links(params, files.network_id, bridge, served, look, check_mode)
    # What runs in a namespace that is gone, or on a cable that is, serves nobody.
    is_new = not links_diff["before"].startswith("cable")
    uplinks = network_links.uplinks(look.outside, bridge)
    # Services that know guests, as after a host's boot, would answer beyond the bridge without the
    # rules. Where they know none, the rules are set while they start.
    rules_first = bool(files.ports())
    if rules_first:
        rules = _have_rules(files.network_id, served, uplinks, check_mode)
    services_changed, service_diffs, listeners = network_services.have(
        params, files, served, is_new, check_mode
    )
    if not rules_first:
        rules = _have_rules(files.network_id, served, uplinks, check_mode)
    diffs = [links_diff, rules]
    pids = () if check_mode else network_services.wait(params, listeners)
    standing = None if check_mode else network_standing.seen(files, bridge, pids)
    # An uplink that came meanwhile has no rules yet.
    if standing is not None and standing.uplinks == tuple(uplinks):
        _made_sure[files.network_id] = (_of_network(params), standing)
    diffs = [diff for diff in diffs if diff["before"] != diff["after"]]
    return {
        "changed": bool(diffs) or services_changed,
        "diff": diffs + service_diffs,
        "namespace": names.namespace_name(files.network_id),
    }


def _have_links(
    params: dict[str, Any],
    network_id: str,
    bridge: str,
    served: list[subnets.Subnet],
    look: _Look,
    check_mode: bool,
) -> dict[str, str]:
    netns = names.namespace_name(network_id)
    before = _describe(look, network_id)
    after = _wanted(params["mtu"], bridge, network_id, served)
    if before != after and not check_mode:
        _make_links(params["mtu"], bridge, network_id, served, look)
    return work.text_diff(f"namespace {netns}", before, after)


@dataclass(frozen=True)
class _Look:
    """The interfaces of the host and of a namespace, by name, and the routes that we set in it.

    `inside` is empty when there is no namespace, or only half a one.
    """

    outside: network_links.Links
    inside: network_links.Links
    routes: list[str]


def _look(network_id: str) -> _Look:
    netns = names.namespace_name(network_id)
    if os.path.exists(os.path.join(NETNS_FOLDER, netns)):
        commands = [network_links.argv(), network_links.argv(netns), _routes_argv(netns)]
        try:
            outside, inside, routes = work.run_commands([(each, None) for each in commands])
        except work.WorkError:
            # A file that no namespace is mounted on, as an interrupted run leaves it; or a
            # namespace without the cable, which has no such routes.
            return _Look(network_links.links(), _inside(netns), [])
        return _Look(network_links.parsed(outside), network_links.parsed(inside), _own(routes))
    return _Look(network_links.links(), {}, [])


def _inside(netns: str) -> network_links.Links:
    try:
        return network_links.links(netns)
    except work.WorkError:
        return {}


def _sysctls(netns: str) -> dict[str, str]:
    def read() -> dict[str, str]:
        found = {name: work.read_file(_sysctl_path(name)) for name in SYSCTLS}
        return {name: value.strip() for name, value in found.items() if value is not None}

    return network_links.inside(netns, read)


def _wanted_sysctls(served: list[subnets.Subnet]) -> dict[str, str]:
    is_off = "0" if subnets.has_ipv6(served) else "1"
    return {
        name: is_off if name.endswith(".disable_ipv6") else value for name, value in SYSCTLS.items()
    }


def _set_sysctls(netns: str, served: list[subnets.Subnet]) -> None:
    def write() -> None:
        for name, value in _wanted_sysctls(served).items():
            # A kernel without IPv6 has none of its settings.
            with (
                contextlib.suppress(FileNotFoundError),
                open(_sysctl_path(name), "w", encoding="ascii") as file,
            ):
                file.write(f"{value}\n")

    network_links.inside(netns, write)


def _sysctl_path(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def _routes_argv(netns: str) -> list[str]:
    return ["ip", "-n", netns, "-j", "route", "show", "dev", INSIDE]


def _own(routes: str) -> list[str]:
    """Return the networks with a route that we set ourselves (the kernel's own are not listed)."""
    return sorted(
        route["dst"] for route in json.loads(routes or "[]") if route.get("protocol") != "kernel"
    )


def mac_address(network_id: str) -> str:
    """The MAC inside, the same on every host: it never leaves one, and guests may keep it."""
    digits = "0e" + names.veth_name(network_id)[len(names.VETH_PREFIX) :][:10]
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _text(outside: list[str], addresses: list[str], routes: list[str], sysctls: Any) -> str:
    lines = [*outside, *(f"address {address}" for address in addresses)]
    lines += [f"route {route}" for route in routes]
    lines += [f"{name} = {value}" for name, value in sorted(sysctls.items())]
    return "\n".join(lines) + "\n"


def _describe(look: _Look, network_id: str) -> str:
    if not look.inside:
        return ""
    sysctls = _sysctls(names.namespace_name(network_id))
    veth, own = look.outside.get(names.veth_name(network_id)), look.inside.get(INSIDE)
    if veth is None or own is None:
        return _text(["without a cable"], [], [], sysctls)
    outside = [
        f"cable {veth.get('master')} {veth['mtu']} {own['mtu']} {own['address']}",
        "up" if all("UP" in link["flags"] for link in (veth, own, look.inside["lo"])) else "down",
        f"ipv6 outside {'off' if network_links.is_ipv6_off(veth['ifname']) else 'on'}",
    ]
    return _text(outside, _addresses(own), look.routes, sysctls)


def _addresses(link: dict[str, Any]) -> list[str]:
    # A link-local one of IPv6 is the kernel's own, made of the MAC.
    return sorted(
        f"{a['local']}/{a['prefixlen']}"
        for a in link.get("addr_info", [])
        if not (a.get("family") == "inet6" and a.get("scope") == "link")
    )


def _wanted(mtu: int, bridge: str, network_id: str, served: list[subnets.Subnet]) -> str:
    outside = [f"cable {bridge} {mtu} {mtu} {mac_address(network_id)}", "up", "ipv6 outside off"]
    addresses = subnets.namespace_addresses(served)
    return _text(outside, addresses, subnets.on_link_routes(served), _wanted_sysctls(served))


def _make_links(
    mtu: int,
    bridge: str,
    network_id: str,
    served: list[subnets.Subnet],
    look: _Look,
) -> None:
    netns, veth = names.namespace_name(network_id), names.veth_name(network_id)
    if not look.inside:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(NETNS_FOLDER, netns))
        work.run_command(["ip", "netns", "add", netns])
    _set_sysctls(netns, served)
    lines = []
    if veth not in look.outside or INSIDE not in look.inside:
        # Half a cable: its other end went with another namespace.
        lines += [f"link delete dev {veth}"] if veth in look.outside else []
        lines += [f"link add name {veth} type veth peer name {INSIDE} netns {netns}"]
    lines += [
        f"link set dev {veth} mtu {mtu} addrgenmode none",
        f"link set dev {veth} master {bridge}",
    ]
    network_links.batch(lines)
    network_links.switch_off_ipv6(veth)
    network_links.batch([f"link set dev {veth} up"])
    _make_inside(mtu, network_id, served, look)


def _make_inside(mtu: int, network_id: str, served: list[subnets.Subnet], look: _Look) -> None:
    netns = names.namespace_name(network_id)
    present = set(_addresses(look.inside[INSIDE])) if INSIDE in look.inside else set()
    wanted = set(subnets.namespace_addresses(served))
    lines = [
        "link set dev lo up",
        f"link set dev {INSIDE} address {mac_address(network_id)} mtu {mtu}",
        f"link set dev {INSIDE} up",
        *(f"address delete {address} dev {INSIDE}" for address in sorted(present - wanted)),
        # Every host has the same: nobody is asked whether an address is free.
        *(
            f"address add {address} dev {INSIDE}{' nodad' if ':' in address else ''}"
            for address in sorted(wanted - present)
        ),
    ]
    routes = subnets.on_link_routes(served)
    lines += [f"route delete {r} dev {INSIDE}" for r in look.routes if r not in routes]
    lines += [f"route replace {r} dev {INSIDE} scope link" for r in routes]
    network_links.batch(lines, netns)


def _have_rules(
    network_id: str, served: list[subnets.Subnet], uplinks: list[str], check_mode: bool
) -> dict[str, str]:
    chains, entries = network_rules.network_tables(network_id, served, uplinks)

    def zone(present: filter_tables.Tables) -> filter_base.Entries:
        return network_rules.zone_entries(network_id, network_rules.zone(network_id, present))

    return filter_base.write(chains, entries, check_mode, zone)


def _absent(
    params: dict[str, Any], files: network_files.NetworkFiles, check_mode: bool
) -> dict[str, Any]:
    network_id, netns = files.network_id, names.namespace_name(files.network_id)
    bridge = params["bridge"] or names.bridge_name(network_id)
    look = _look(network_id)
    found = look.outside
    if not check_mode:
        network_files.give_up(bridge, params["port_ids"])
    users = files.ports() | network_files.claimants(bridge)
    users -= set(params["port_ids"])
    members = network_links.members(found, bridge)
    users |= {name for name in members if name.startswith(names.TAP_PREFIX)}
    if params["only_if_unused"] and users:
        return {"changed": False, "diff": [], "namespace": netns, "used_by": sorted(users)}
    diffs: Diff = []
    for service in (names.dhcp_service(network_id), names.metadata_service(network_id)):
        diffs += service_units.absent(service, params["service_backend"], check_mode)["diff"]
    diffs += _remove_links(network_id, look, check_mode)
    rules = _remove_rules(network_id, check_mode)
    diffs += [rules] if rules["before"] != rules["after"] else []
    if os.path.isdir(files.folder):
        diffs.append(work.text_diff(files.folder, "there\n", ""))
        if not check_mode:
            shutil.rmtree(files.folder)
    return {"changed": bool(diffs), "diff": diffs, "namespace": netns}


def _remove_rules(network_id: str, check_mode: bool) -> dict[str, str]:
    chains, entries = network_rules.absent_tables(network_id)
    return filter_base.write(chains, entries, check_mode)


def _remove_links(network_id: str, look: _Look, check_mode: bool) -> Diff:
    netns, veth = names.namespace_name(network_id), names.veth_name(network_id)
    is_there = os.path.exists(os.path.join(NETNS_FOLDER, netns))
    if not is_there and veth not in look.outside:
        return []
    before = _describe(look, network_id)
    if not check_mode:
        # The namespace itself goes a moment after its last process; the cable goes at once.
        if veth in look.outside:
            work.run_command(["ip", "link", "delete", "dev", veth])
        if is_there:
            work.run_command(["ip", "netns", "delete", netns])
    return [work.text_diff(f"namespace {netns}", before or "there\n", "")]
