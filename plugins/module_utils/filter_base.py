"""The chains that every host has: what passes them, in which order, and what is never let through.

    iptables  FORWARD -> nv-forward -> nv-egress   (from a tap)  -> nv-o-<port>, its sources nv-s-
                                    -> nv-ingress  (to a tap)    -> nv-i-<port>
              INPUT -> nv-input, OUTPUT -> nv-output: the host has no part in tenants' networks
                       nv-input -> nv-underlay: VXLAN packets of other hosts
    iptables  raw PREROUTING -> nv-zones: one for each network, what other bridges pass untracked
    ebtables  nat PREROUTING -> nv-egress -> nv-o-<port>  (before the bridge learns a source MAC)
              filter FORWARD -> nv-forward -> nv-networks -> nv-n-<network>, nv-r-<leg>
                                           -> nv-ingress (to a tap)    -> nv-i-<port>

nv-egress, nv-ingress and nv-networks hand out to ports and networks by interface, and the first
two end in a drop: a tap that we don't know passes nothing. ebtables knows no `-g`, so it has a
second rule for each tap, which leaves the chain.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from . import filter_tables, work
from .filter_tables import EB_FILTER, EB_NAT, IP4, IP4_RAW, IP6, IP6_RAW

BRIDGED = "-m physdev --physdev-is-bridged"
ROUTED = "-m physdev ! --physdev-is-bridged"

# Who jumps into our chains.
JUMPS = {
    (IP4, "FORWARD"): "-j nv-forward",
    (IP4, "INPUT"): "-j nv-input",
    (IP4, "OUTPUT"): "-j nv-output",
    (IP6, "FORWARD"): "-j nv-forward",
    (IP6, "INPUT"): "-j nv-input",
    (IP6, "OUTPUT"): "-j nv-output",
    (IP4_RAW, "PREROUTING"): "-j nv-zones",
    (IP6_RAW, "PREROUTING"): "-j nv-zones",
    (EB_NAT, "PREROUTING"): "-i nvt+ -j nv-egress",
    (EB_FILTER, "FORWARD"): "-j nv-forward",
    (EB_FILTER, "INPUT"): "-j nv-input",
    (EB_FILTER, "OUTPUT"): "-j nv-output",
}

_INET = {
    # A guest could address a frame to the bridge's own MAC: nothing is routed for it.
    "nv-forward": [
        f"-i nvb+ {ROUTED} -j DROP",
        f"-o nvb+ {ROUTED} -j DROP",
        "-m physdev --physdev-in nvt+ --physdev-is-bridged -j nv-egress",
        "-m physdev --physdev-out nvt+ --physdev-is-bridged -j nv-ingress",
        # Both ends have agreed: a dropping policy of the operator is not meant for these.
        f"-i nvb+ {BRIDGED} -j ACCEPT",
    ],
    "nv-input": [
        *(f"-i {ours}+ -j DROP" for ours in ("nvb", "nvt", "nvv", "nvr", "nve")),
        # See underlay.
        "-p udp -m udp --dport 4789 -j nv-underlay",
    ],
    "nv-output": [f"-o {ours}+ -j DROP" for ours in ("nvb", "nvt", "nvv", "nvr", "nve")],
}
FIXED: filter_tables.Wanted = {
    IP4: _INET,
    IP6: _INET,
    IP4_RAW: {},
    IP6_RAW: {},
    EB_NAT: {},
    EB_FILTER: {
        "nv-forward": ["-j nv-networks", "-o nvt+ -j nv-ingress"],
        "nv-input": [f"-i {ours}+ -j DROP" for ours in ("nvt", "nvv", "nvr", "nve")],
        "nv-output": [f"-o {ours}+ -j DROP" for ours in ("nvt", "nvv", "nvr", "nve")],
    },
}

# Chains that hand out by interface, and their last rule.
DISPATCH = {
    (IP4, "nv-egress"): ["-j DROP"],
    (IP4, "nv-ingress"): ["-j DROP"],
    (IP6, "nv-egress"): ["-j DROP"],
    (IP6, "nv-ingress"): ["-j DROP"],
    # Of a bridge that has no guests nobody asks how its connections stand.
    (IP4_RAW, "nv-zones"): ["-i nvb+ -j CT --notrack"],
    (IP6_RAW, "nv-zones"): ["-i nvb+ -j CT --notrack"],
    (IP4, "nv-underlay"): [],
    (IP6, "nv-underlay"): [],
    (EB_NAT, "nv-egress"): ["-j DROP"],
    (EB_FILTER, "nv-ingress"): ["-j DROP"],
    (EB_FILTER, "nv-networks"): [],
}
# The tap or bridge, or the chain of the network or leg, that a rule of such a chain is about.
_OWNER_RE = re.compile(r"\b(nv[tb][0-9a-f]{11}|nv-[nr]-[0-9a-f]{11}|nvs[46]-underlay)\b")

# (table, chain) to the rules of each owner (a tap, or the chain of a network or leg); None takes
# them out.
Entries = dict[tuple[str, str], dict[str, list[str] | None]]


def wanted(present: filter_tables.Tables, entries: Entries) -> filter_tables.Wanted:
    """Return the base chains as they must be with `entries` in, the others' entries kept."""
    chains: filter_tables.Wanted = {key: dict(fixed) for key, fixed in FIXED.items()}
    for (key, chain), last in DISPATCH.items():
        owners = _owners(present[key].get(chain, []))
        for owner, rules in entries.get((key, chain), {}).items():
            owners.pop(owner, None)
            if rules:
                owners[owner] = rules
        rules_of_all = [rule for owner in sorted(owners) for rule in owners[owner]]
        chains[key][chain] = [*rules_of_all, *last]
    return chains


def write(
    chains: filter_tables.Wanted,
    entries: Entries,
    check_mode: bool,
    more: Callable[[filter_tables.Tables], Entries] | None = None,
) -> dict[str, str]:
    """Have `chains`, and the base chains that lead there by `entries`; return the diff.

    `more` makes entries that depend on what others have.
    """
    with filter_tables.lock(check_mode):
        present = filter_tables.read()
        entries = {**entries, **more(present)} if more else entries
        is_removal = all(
            rules is None for of_table in chains.values() for rules in of_table.values()
        )
        if is_removal and not filter_tables.has_ours(present):
            return work.text_diff("packet filter", "", "")
        all_wanted = wanted(present, entries)
        for key, of_table in chains.items():
            all_wanted[key].update(of_table)
        changed = filter_tables.changes(present, all_wanted)
        extra = filter_tables.hooks(JUMPS, present)
        if not check_mode:
            filter_tables.restore(changed, present, extra)
    before, after = filter_tables.diff_texts(present, changed, extra)
    return work.text_diff("packet filter", before, after)


def _owners(rules: list[str]) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for rule in rules:
        found = _OWNER_RE.search(rule)
        if found:
            owners.setdefault(found.group(1), []).append(rule)
    return owners
