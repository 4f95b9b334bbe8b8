"""Who may send VXLAN packets to this host: the hosts that its own devices send to, and nobody else.

A packet from anywhere else would be a frame in a tenant's network. Only what comes to the tunnel's
own address is judged: VXLANs of the operator on another one are his.
"""

from __future__ import annotations

import ipaddress

from . import address_sets, filter_base, filter_tables, names, work

PORT = 4789


def have(local: str, peers: set[str], check_mode: bool) -> list[dict[str, str]]:
    """Have packets to `local` come from `peers` alone; return the diffs of what changes."""
    version = ipaddress.ip_address(local).version
    name = names.underlay_set(version)
    length = 32 if version == 4 else 128
    wanted = {name: {f"{peer}/{length}" for peer in peers if (":" in peer) == (version == 6)}}
    with filter_tables.lock(check_mode):
        present = address_sets.read()
        if not check_mode:
            address_sets.restore(address_sets.restore_lines(present, wanted))
    diffs = []
    if present.get(name) != wanted[name]:
        texts = ("".join(f"{each}\n" for each in sorted(sets.get(name, ())))
                 for sets in (present, wanted))  # fmt: skip
        diffs.append(work.text_diff(f"ipset {name}", *texts))
    rules = [
        f"-d {local}/{length} -m set --match-set {name} src -j ACCEPT",
        f"-d {local}/{length} -m set ! --match-set {name} src -j DROP",
    ]
    key = filter_tables.IP4 if version == 4 else filter_tables.IP6
    written = filter_base.write({}, {(key, "nv-underlay"): {name: rules}}, check_mode)
    return [*diffs, *([written] if written["before"] != written["after"] else [])]


def end() -> None:
    """Take it all back: no VXLAN device of ours is left."""
    present = address_sets.read()
    for version, key in ((4, filter_tables.IP4), (6, filter_tables.IP6)):
        name = names.underlay_set(version)
        if name in present:
            filter_base.write({}, {(key, "nv-underlay"): {name: None}}, False)
            with filter_tables.lock():
                address_sets.destroy(name)
