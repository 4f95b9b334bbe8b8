"""Our chains in a host's iptables, ip6tables and ebtables: read, compared, written at once.

Only chains that start with `nv-` are ever written, and one jump to each entry chain; whatever else
stands in the tables is the operator's. A table is changed by one restore, which the kernel takes as
a whole or not at all. Callers hold `lock()` from reading to writing.

What this process has read or written is not read again while the kernel counts no other change: a
batch of servers has its ports' rules set one after the other.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import socket
from collections.abc import Iterator

from . import filter_generation, names, network_links, work

# A rule is text without `-A chain`; a chain that must not be there is None.
Rules = list[str]
Chains = dict[str, Rules]
Tables = dict[str, Chains]
Wanted = dict[str, dict[str, Rules | None]]

IP4, IP6, EB_NAT, EB_FILTER = "iptables", "ip6tables", "ebtables nat", "ebtables filter"
IP4_RAW, IP6_RAW = "iptables raw", "ip6tables raw"
TABLES = (EB_NAT, EB_FILTER, IP4, IP4_RAW, IP6, IP6_RAW)

LOCK_WAIT_S = 60
XTABLES_WAIT_S = "20"

# The matches that a protocol brings along.
PROTOCOL_MATCHES = frozenset({"tcp", "udp", "icmp", "icmp6", "sctp", "dccp"})
# The names that iptables-save has of itself; the others are those of the host's /etc/protocols.
OWN_PROTOCOL_NAMES = {
    "icmp": 1, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58,
    "sctp": 132, "mh": 135, "ipv6-mh": 135, "udplite": 136,
}  # fmt: skip
ETHERTYPES = {"0x0800": "IPv4", "0x0806": "ARP", "0x8035": "RARP", "0x86dd": "IPv6"}


@contextlib.contextmanager
def lock(check_mode: bool = False) -> Iterator[None]:
    """Hold the host's lock of all our chains and sets. In check mode nothing is locked."""
    if check_mode:
        yield
        return
    with work.locked(os.path.join(network_links.LOCKS, "filter.lock"), LOCK_WAIT_S):
        yield


def read() -> Tables:
    """Return all chains of the tables that hold ours. They are shared: change none of them."""
    generation = filter_generation.current()
    known = _Known.tables
    if known is not None and generation == known[0]:
        return known[1]
    tables = _read()
    # A change while they were read may be in some of them only.
    is_settled = generation is not None and filter_generation.current() == generation
    _Known.tables = (generation, tables) if generation is not None and is_settled else None
    return tables


class _Known:
    """The kernel's count of changes with the tables at that count; None when it is not known."""

    tables: tuple[int, Tables] | None = None


def _read() -> Tables:
    # Not all tables at once: an operator's `nat` may be very long.
    argvs = [
        [f"{program}-save", "-t", table] for program in (IP4, IP6) for table in ("filter", "raw")
    ]
    said = work.run_commands([(argv, None) for argv in (*argvs, ["ebtables-nft-save"])])
    *inet_tables, bridge_tables = map(parse, said)
    tables = {
        key: found.get(argv[2], {})
        for key, argv, found in zip((IP4, IP4_RAW, IP6, IP6_RAW), argvs, inet_tables, strict=True)
    }
    tables[EB_NAT] = bridge_tables.get("nat", {})
    tables[EB_FILTER] = bridge_tables.get("filter", {})
    return tables


def parse(saved: str) -> dict[str, Chains]:
    tables: dict[str, Chains] = {}
    chains: Chains = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            chains.setdefault(line[1:].split()[0], [])
        elif line.startswith("-A "):
            _, chain, rule = line.split(None, 2)
            chains.setdefault(chain, []).append(" ".join(rule.split()))
    return tables


def has_ours(present: Tables) -> bool:
    """Whether any chain of ours is there; on a host that was never used there is none."""
    return any(
        chain.startswith(names.CHAIN_PREFIX) for chains in present.values() for chain in chains
    )


def changes(present: Tables, wanted: Wanted) -> Wanted:
    """Return those chains of `wanted` that differ from `present`."""
    found: Wanted = {}
    for key, chains in wanted.items():
        for chain, rules in chains.items():
            if not is_same(present[key].get(chain), rules):
                found.setdefault(key, {})[chain] = rules
    return found


def is_same(present: Rules | None, wanted: Rules | None) -> bool:
    """Whether two chains mean the same, however a version of iptables prints them."""
    if present is None or wanted is None:
        return present is wanted
    return len(present) == len(wanted) and all(
        rule == other or normal(rule) == normal(other)
        for rule, other in zip(present, wanted, strict=True)
    )


# A batch compares the chains that list all ports once for each server.
@functools.lru_cache(maxsize=8192)
def normal(rule: str) -> tuple[str, ...]:
    """Return the options of a rule in a form that no version's printing changes."""
    groups: list[list[str]] = []
    negated = False
    for word in shlex.split(rule):
        if word == "!":
            negated = True
        elif word.startswith("-"):
            groups.append(["!", word] if negated else [word])
            negated = False
        else:
            groups[-1].append(_normal_value(groups[-1][-1], word))
    # `-p tcp` implies `-m tcp`; some versions print it and some don't.
    return tuple(sorted(" ".join(g) for g in groups if not _is_implied(g)))


def _is_implied(group: list[str]) -> bool:
    return group[0] == "-m" and group[-1] in PROTOCOL_MATCHES


def _normal_value(option: str, value: str) -> str:
    if option in ("-p", "--ip-proto"):
        value = ETHERTYPES.get(value.lower(), value)
        return str(_protocol_number(value))
    if value.endswith("/32") and ":" not in value:
        return value[:-3]
    if value.endswith("/128"):
        return value[:-4]
    if value.count(":") == 5:
        return ":".join(part.zfill(2) for part in value.lower().split(":"))
    return value


def _protocol_number(name: str) -> int | str:
    if name in OWN_PROTOCOL_NAMES:
        return OWN_PROTOCOL_NAMES[name]
    try:
        return socket.getprotobyname(name)
    except OSError:
        return name


def hooks(jumps: dict[tuple[str, str], str], present: Tables) -> dict[str, Rules]:
    """Return the restore lines for the missing `jumps`, (table, built-in chain) to rule.

    A jump goes to the top, once: one that is there stays where it is, for an operator may have
    put something before it.
    """
    lines: dict[str, Rules] = {}
    for (key, chain), rule in jumps.items():
        if normal(rule) not in [normal(other) for other in present[key].get(chain, [])]:
            lines.setdefault(key, []).append(f"-I {chain} 1 {rule}")
    return lines


def restore(
    wanted: Wanted,
    present: Tables,
    extra: dict[str, Rules] | None = None,
    *,
    side_by_side: bool = False,
) -> None:
    """Write the chains of `wanted` and the `extra` lines, a restore for each program.

    One program after the other, unless no frame that they are about can pass meanwhile.
    """
    extra = extra or {}
    texts = {
        key: restore_text(key, wanted.get(key, {}), present[key], extra.get(key, []))
        for key in TABLES
    }
    known, _Known.tables = _Known.tables, None
    # ebtables first: it sees a frame before iptables does.
    inputs = {
        "ebtables-nft": texts[EB_NAT] + texts[EB_FILTER],
        # How a packet is tracked, before what looks at that.
        IP4: texts[IP4_RAW] + texts[IP4],
        IP6: texts[IP6_RAW] + texts[IP6],
    }
    waiting = {"ebtables-nft": [], IP4: ["-w", XTABLES_WAIT_S], IP6: ["-w", XTABLES_WAIT_S]}
    commands = [
        ([f"{program}-restore", *waiting[program], "--noflush"], text)
        for program, text in inputs.items()
        if text
    ]
    for group in [commands] if side_by_side else [[command] for command in commands]:
        work.run_commands(group)
    # Each table is one change; if more are counted, somebody else's is among them.
    if known is not None and known[1] is present:
        generation = known[0] + sum(1 for text in texts.values() if text)
        if filter_generation.current() == generation:
            _Known.tables = (generation, written(present, wanted, extra))


def written(present: Tables, wanted: Wanted, extra: dict[str, Rules]) -> Tables:
    """Return the tables that `present` becomes by a restore of `wanted` and `extra`."""
    tables = {key: dict(chains) for key, chains in present.items()}
    for key, chains in wanted.items():
        for chain, rules in chains.items():
            if rules is None:
                tables[key].pop(chain, None)
            else:
                tables[key][chain] = list(rules)
    for key, lines in extra.items():
        for line in lines:
            _, chain, _, rule = line.split(None, 3)
            tables[key][chain] = [rule, *tables[key].get(chain, [])]
    return tables


def restore_text(key: str, chains: dict[str, Rules | None], present: Chains, extra: Rules) -> str:
    """Return what a restore must read to have `chains` in the table `key`, or an empty text."""
    foreign = [chain for chain in chains if not chain.startswith(names.CHAIN_PREFIX)]
    if foreign:
        raise ValueError(f"{foreign} are not ours")
    written = {chain: rules for chain, rules in chains.items() if rules is not None}
    removed = sorted(chain for chain in chains if chains[chain] is None and chain in present)
    if not (written or removed or extra):
        return ""
    is_bridge = key in (EB_NAT, EB_FILTER)
    lines = ["*" + (key.partition(" ")[2] or "filter")]
    # A chain that is named is made, or emptied if it is there.
    policy = "RETURN" if is_bridge else "- [0:0]"
    lines += [f":{chain} {policy}" for chain in (*written, *removed)]
    lines += [f"-A {chain} {rule}" for chain, rules in written.items() for rule in rules]
    lines += extra
    lines += [f"-X {chain}" for chain in removed]
    return "\n".join([*lines, *([] if is_bridge else ["COMMIT"])]) + "\n"


def describe(key: str, chain: str, rules: Rules | None) -> str:
    """Return a chain in the lines of a diff."""
    return "".join(f"{key}: -A {chain} {rule}\n" for rule in rules or [])


def diff_texts(present: Tables, changed: Wanted, extra: dict[str, Rules]) -> tuple[str, str]:
    """Return before and after, in text, of what changes: other ports' lines are left out."""
    before = after = ""
    for key, chains in changed.items():
        for chain, rules in chains.items():
            old, new = present[key].get(chain), rules
            if old and new:
                old, new = _only_in_first(old, new), _only_in_first(new, old)
            # The same rules in another order: all of them tell it.
            is_reordered = not old and not new
            before += describe(key, chain, present[key].get(chain) if is_reordered else old)
            after += describe(key, chain, rules if is_reordered else new)
    after += "".join(f"{key}: {line}\n" for key, lines in extra.items() for line in lines)
    return before, after


def _only_in_first(rules: Rules, others: Rules) -> Rules:
    known = {normal(rule) for rule in others}
    return [rule for rule in rules if normal(rule) not in known]
