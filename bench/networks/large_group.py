"""One host's part in the change of a large group: its run, with the arguments that it would have.

The group's ports are rows in a database of their own; the run is the executor's, on a real host of
a lab, as the worker would start it. Rules are set before a guest is there, so none is needed. Each
round changes a rule of all ports.
"""

import json
import shutil
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import dispatch
from bench.cpu import groups
from bench.report import Report
from controller.conductor import runs
from controller.db.models import (
    Base,
    Host,
    IPAllocation,
    Network,
    Port,
    PortSecurityGroup,
    SecurityGroup,
    SecurityGroupRule,
    Server,
    Subnet,
)
from controller.db.session import Database
from controller.runner.ansible import AnsibleExecutor
from controller.runner.requests import OK, Run
from controller.runner.warm import processes
from controller.settings import load
from lab import hosts
from lab.cloud import Cloud

HOSTS, PORTS = 20, 1000
# A port that a rule opens, and in the next round doesn't.
OPENED = 8080


def measure(cloud: Cloud, report: Report, rounds: int) -> None:
    """Add time, CPU and size of the run. `cloud` has hosts; its first one is used, and kept."""
    folder = cloud.directory / "large-group"
    folder.mkdir()
    told = _told(folder)
    host = dispatch.first_host(load(cloud.config))
    pid = next(each.pid for each in hosts.status(cloud.lab_dir) if each.name == host.name)
    assert pid is not None
    settings = replace(load(cloud.config), state_dir=folder / "state")
    server = dispatch.start_fork_server(folder, settings)
    costs: list[tuple[float, ...]] = []
    try:
        executor = AnsibleExecutor(settings)
        try:
            with groups([server.pid], [pid, *processes.descendants(pid)]) as each:
                # The first makes all chains.
                for number in range(rounds + 1):
                    _open(told, number % 2 == 0)
                    before = (time.monotonic(), *(group.seconds() for group in each))
                    run = Run(str(uuid.uuid4()), "port_update", (host,), told)
                    result = executor.run(run)
                    after = (time.monotonic(), *(group.seconds() for group in each))
                    if result.status != OK or not result.warm:
                        raise SystemExit(f"bench: a run ended {result.status}: {result.message}")
                    costs.append(tuple(b - a for a, b in zip(before, after, strict=True)))
        finally:
            executor.close()
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    own = len(told["servers"])
    about = f"group of {PORTS:,} ports on {HOSTS} hosts, the run of one with {own}"
    walls, controller, on_host = zip(*costs[1:], strict=True)
    report.add(f"rule changes ({about})", "s", walls)
    report.add(f"CPU of controller for it ({about})", "s", controller)
    report.add(f"CPU of host for it ({about})", "s", on_host)
    report.add(f"arguments of it ({about})", "kB", [len(json.dumps(told)) / 1000])


def _open(told: dict[str, Any], is_open: bool) -> None:
    (group,) = told["security_groups"]
    rules = [rule for rule in group["rules"] if rule["protocol"] is None]
    opened = {**rules[0], "remote_group_id": None, "protocol": "tcp"}
    opened |= {"port_range_min": OPENED, "port_range_max": OPENED}
    group["rules"] = [*rules, opened] if is_open else rules


def _told(folder: Path) -> dict[str, Any]:
    """Return what the first of the hosts is told, as the conductor makes it of rows."""
    db = Database(f"sqlite:///{folder / 'group.db'}")
    try:
        Base.metadata.create_all(db.engine)
        with db.write() as session:
            named = [Host(name=f"h{number}", address="192.0.2.1") for number in range(HOSTS)]
            network = Network(project_id="p", network_type="vxlan", segmentation_id=5)
            group = SecurityGroup(project_id="p", name="large")
            session.add_all([*named, network, group])
            session.flush()
            subnet = Subnet(network_id=network.id, project_id="p", cidr="10.80.0.0/16")
            rule = SecurityGroupRule(
                security_group_id=group.id, project_id="p", direction="ingress",
                remote_group_id=group.id,
            )  # fmt: skip
            session.add_all([subnet, rule])
            session.flush()
            for number in range(PORTS):
                host_id = named[number % HOSTS].id
                server = Server(
                    project_id="p", user_id="u", name="large", hostname="large", flavor={},
                    reservation_id="r", host_id=host_id, state="active",
                )  # fmt: skip
                session.add(server)
                session.flush()
                high, low = divmod(10 + number, 256)
                port = Port(
                    network_id=network.id, project_id="p", host_id=host_id, device_id=server.id,
                    device_owner="compute:nova", mac_address=f"fa:16:3e:50:{high:02x}:{low:02x}",
                )  # fmt: skip
                session.add(port)
                session.flush()
                allocation = IPAllocation(
                    subnet_id=subnet.id, ip_address=f"10.80.{high}.{low}", position=10 + number,
                    port_id=port.id,
                )  # fmt: skip
                link = PortSecurityGroup(port_id=port.id, security_group_id=group.id)
                session.add_all([allocation, link])
            session.flush()
            told = runs.rules_of_host(session, named[0].id)
        # By hand: no run of the cloud is older than it.
        for entry in told["servers"]:
            del entry["generation"]
        return told
    finally:
        db.dispose()
