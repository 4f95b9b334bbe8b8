"""The ipsets that hold the addresses of security groups which rules name as remote."""

from __future__ import annotations

import re

from . import names, port_rules, work
from .filter_tables import IP4, IP6, Tables, Wanted

_MATCH_RE = re.compile(rf"--match-set ({names.IPSET_PREFIX}\S+)")

Sets = dict[str, set[str]]


def read() -> Sets:
    """Return our sets and their members, as networks with a prefix."""
    sets: Sets = {}
    for line in work.run_command(["ipset", "save"]).splitlines():
        words = line.split()
        if len(words) < 3 or not words[1].startswith(names.IPSET_PREFIX):
            continue
        if words[0] == "create":
            sets.setdefault(words[1], set())
        elif words[0] == "add":
            whole = "128" if ":" in words[2] else "32"
            address = words[2] if "/" in words[2] else f"{words[2]}/{whole}"
            sets.setdefault(words[1], set()).add(address)
    return sets


# hash:net takes no /0, but its two halves.
_HALVES = {"0.0.0.0/0": {"0.0.0.0/1", "128.0.0.0/1"}, "::/0": {"::/1", "8000::/1"}}


def wanted(group_ids: set[str], members: dict[str, list[str]], version: int = 4) -> Sets:
    """Return the sets of `group_ids` for an IP version; a group without members has an empty one.

    Raises WorkError for a member that is no address.
    """
    sets: Sets = {}
    for group_id in sorted(group_ids):
        found: set[str] = set()
        for address in members.get(group_id) or []:
            network = port_rules.ip_network(address, f"security group {group_id}", version)
            found |= _HALVES.get(network, {network}) if network else set()
        sets[names.group_set(group_id, version)] = found
    return sets


def unused(sets: Sets, present: Tables, changed: Wanted) -> list[str]:
    """Return those of our `sets` that no rule names once `changed` is written."""
    chains = [
        rules for key in (IP4, IP6) for rules in {**present[key], **changed.get(key, {})}.values()
    ]
    used = {name for rules in chains for rule in rules or [] for name in _MATCH_RE.findall(rule)}
    # Those with the other hosts are filled before the rule that names them is written.
    return sorted(set(sets) - used - {names.underlay_set(4), names.underlay_set(6)})


def restore_lines(present: Sets, sets: Sets) -> list[str]:
    """Return what `ipset restore -exist` must read; additions first, so that nobody is missed."""
    lines = []
    for name, addresses in sorted(sets.items()):
        if name not in present:
            family = "inet6" if name.startswith(f"{names.IPSET_PREFIX}6") else "inet"
            lines.append(f"create {name} hash:net family {family}")
        lines += [f"add {name} {a}" for a in sorted(addresses - present.get(name, set()))]
        lines += [f"del {name} {a}" for a in sorted(present.get(name, set()) - addresses)]
    return lines


def restore(lines: list[str]) -> None:
    if lines:
        work.run_command(["ipset", "restore", "-exist"], input="\n".join(lines) + "\n")


def destroy(name: str) -> None:
    work.run_command(["ipset", "destroy", name])
