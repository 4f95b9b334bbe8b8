"""A process reads the packet filter once, and again when anybody else has changed it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
# Runs in a network namespace of its own, with tables of its own.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from plugins.module_utils import filter_base, filter_tables, port_filter, work
from plugins.module_utils.filter_tables import IP4

PORTS = [f"5f2cbb6{n}-4f7e-4d5e-9b5c-0f4d4b5d6a10" for n in range(3)]
started = []
run_command = work.run_command

def counted(argv, *args, **more):
    started.append(argv[0])
    return run_command(argv, *args, **more)

work.run_command = counted

def readings():
    found = [name for name in started if name.endswith("tables-save") or name.endswith("nft-save")]
    started.clear()
    return len(found)

def as_read_anew(tables):
    anew = filter_tables._read()
    for key in anew:
        assert not tables[key].keys() - anew[key].keys(), key
        for chain, rules in anew[key].items():
            # A table comes with its built-in chains.
            known = tables[key].get(chain, None if chain.startswith("nv-") else [])
            assert filter_tables.is_same(rules, known), (key, chain)
    readings()

# Of iptables and ip6tables the tables filter and raw, and ebtables'.
ALL = 5

def have(port_id, state="present"):
    port = {"id": port_id, "network_id": port_id, "mac_address": "fa:16:3e:00:00:01",
            "fixed_ips": [{"ip_address": "10.0.0.5"}]}
    params = {"ports": [port], "security_groups": [], "remote_group_members": {}, "state": state}
    with filter_tables.lock():
        return port_filter._run(params, False)["changed"]

filter_tables.network_links.LOCKS = sys.argv[2]
assert have(PORTS[0])
assert readings() == ALL
# What was written is known.
assert have(PORTS[1])
assert not have(PORTS[0])
assert have(PORTS[1], "absent")
assert readings() == 0
as_read_anew(filter_tables.read())
# Somebody else's change is seen, and put right where it is ours.
chain = next(chain for chain in filter_tables.read()[IP4] if chain.startswith("nv-i-"))
run_command(["iptables", "-F", chain])
assert have(PORTS[0])
assert readings() == ALL
# Somebody else's change between our look and our write is not taken for ours.
present = filter_tables.read()
run_command(["iptables", "-A", "INPUT", "-j", "ACCEPT"])
filter_tables.restore({IP4: {"nv-mine": ["-j DROP"]}}, present)
assert "-j ACCEPT" in filter_tables.read()[IP4]["INPUT"]
assert readings() == ALL
as_read_anew(filter_tables.read())
print("all said")
"""


def test_the_tables_are_read_again_only_after_a_change_by_others(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", SCRIPT, str(ROOT), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("all said\n"), done.stdout + done.stderr
