"""A network's rules stand before whoever needs them, and again in the middle of a batch.

Here is what happens between two steps of one process, so the modules' work is called by a program
on the host.
"""

from __future__ import annotations

import json
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import names
from tests.fixtures.emulated_network import Host, Network

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
PRELUDE = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from plugins.module_utils import (
    filter_tables, linux_bridge, names, network_namespace, service_s6, service_units, work
)
steps = json.loads(sys.argv[2])
network_id = steps[1][1]["network_id"]
chain = names.network_chain(network_id)
run_command, started = work.run_command, []

def have():
    for name, args in steps:
        module = {"linux_bridge": linux_bridge, "network_namespace": network_namespace}[name]
        spec = module.ARGUMENT_SPEC
        result = module.run({**{key: spec[key].get("default") for key in spec}, **args}, False)
    return result["changed"]

def watched(argv, *args, **more):
    started.append(argv[0])
    if argv[0] == "ebtables-nft-restore":
        serving.append(os.path.lexists(link))
    return run_command(argv, *args, **more)

work.run_command, serving = watched, []
service = names.dhcp_service(network_id)
link = os.path.join(service_s6.SCAN_DIRECTORY, service_s6.PREFIX + service)
"""
MIDDLE_OF_A_BATCH = """
have()
started.clear()
assert not have()
assert not started, started
run_command(["ebtables-nft", "-F", chain])
assert have()
assert filter_tables._read()[filter_tables.EB_FILTER][chain]
# The rest of the network was not looked at: it stood as this process had left it.
assert "ip" not in started, started
assert not have()
"""
AFTER_A_BOOT = """
for name in (service, names.metadata_service(network_id)):
    service_units.absent(name, "auto", False)
run_command(["ip", "link", "delete", "dev", names.veth_name(network_id)])
run_command(["ip", "netns", "delete", names.namespace_name(network_id)])
run_command(["ebtables-nft", "-F", chain])
assert have()
assert os.path.lexists(link)
assert serving == [False], serving
"""


@pytest.fixture
def network(lab_host: Any, tmp_path: Path) -> Iterator[Network]:
    """A network on the host whose modules' work is in an archive there."""
    network = Network(Host(lab_host))
    yield network
    network.lan.unplug()
    network.host.steps(network.removal())
    network.host.clean()


def run_on_host(network: Network, tmp_path: Path, program: str) -> None:
    archive = tmp_path / "modules.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for package in ("plugins", "plugins/module_utils"):
            file.writestr(f"{package}/__init__.py", "")
        for path in sorted((ROOT / "plugins" / "module_utils").glob("*.py")):
            file.write(path, path.relative_to(ROOT))
    there = f"/run/novella-test-{uuid.uuid4().hex[:8]}.zip"
    network.host.module("copy", {"src": str(archive), "dest": there})
    try:
        steps = json.dumps(network.steps())
        done = network.host.try_run("python3", "-c", PRELUDE + program, there, steps)
    finally:
        network.host.run("rm", "-f", there)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_network_chain_flushed_in_the_middle_of_a_batch_is_restored(
    network: Network, tmp_path: Path
) -> None:
    run_on_host(network, tmp_path, MIDDLE_OF_A_BATCH)


def test_rules_stand_before_services_that_know_guests_start(
    network: Network, tmp_path: Path
) -> None:
    """As after a boot: what serves a known guest would answer beyond its bridge without them."""
    port = network.port(100, [])
    host = network.host
    host.steps([*network.steps(), *network.serve(port, "web")])
    try:
        run_on_host(network, tmp_path, AFTER_A_BOOT)
    finally:
        host.steps(network.unserving(port))
    assert names.namespace_name(network.id) in host.everything()
