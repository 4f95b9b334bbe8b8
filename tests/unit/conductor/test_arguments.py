"""The arguments that the conductor makes of rows are those that the roles' specs take."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from controller.conductor.reconcilers import host_leftovers
from controller.core import port_updates, server_live_migration
from controller.db.models import IPAllocation, Network, Port, Server, Subnet
from controller.runner.requests import Run
from controller.states import TABLE
from tests.unit.conductor.conftest import CONTEXT, Cloud

ROLES = Path(__file__).resolve().parents[3] / "roles"


def refusals(run: Run) -> list[str]:
    """Return what the role's argument spec finds wrong with the arguments of a run."""
    role, _, name = run.playbook.partition("_")
    specs = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())
    entry = specs["argument_specs"][name]["options"]
    secrets = {"server_secrets": dict(run.secrets)} if run.secrets else {}
    arguments: dict[str, Any] = {**run.arguments, **secrets}
    found = ArgumentSpecValidator(entry).validate(arguments)
    return [str(message) for message in found.error_messages]


@pytest.mark.parametrize("action", ["hard_reboot", "stop", "reboot", "delete"])
def test_a_servers_arguments_are_what_its_playbooks_take(cloud: Cloud, action: str) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server(user_data="IyEvYmluL3No", config_drive=True, meta={"role": "web"})
    _give_address(cloud, cloud.add_port(server_id))
    cloud.work()
    cloud.act(server_id, action)
    cloud.work()
    created, acted = cloud.executor.runs
    assert (created.playbook, acted.playbook) == ("server_create", f"server_{action}")
    assert refusals(created) == []
    assert refusals(acted) == []


def test_what_is_told_of_a_live_migration_is_what_its_playbooks_take(cloud: Cloud) -> None:
    for name in ("h1", "h2"):
        cloud.add_host(name)
    server_id = cloud.add_server(user_data="IyEvYmluL3No", config_drive=True)
    _give_address(cloud, cloud.add_port(server_id))
    cloud.work()
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        server_live_migration.live_migrate(session, cloud.settings, CONTEXT, server)
    cloud.work()
    told = {run.playbook: run for run in cloud.executor.runs}
    assert set(TABLE["live_migrate"].playbooks) <= told.keys()
    for run in told.values():
        # The pattern of the play's host, which is no argument of the role.
        arguments = {name: run.arguments[name] for name in run.arguments if name != "target"}
        assert refusals(replace(run, arguments=arguments)) == []


def test_a_hosts_servers_are_what_port_update_takes(cloud: Cloud) -> None:
    """`shutdown_timeout_s` was missing there: no change of a rule reached any host."""
    host_id = cloud.add_host("h1")
    server_id = cloud.add_server(config_drive=True)
    _give_address(cloud, cloud.add_port(server_id))
    cloud.work()
    with cloud.db.write() as session:
        port_updates.submit_for_hosts(session, {host_id})
    cloud.work()
    run = cloud.executor.runs[-1]
    assert run.playbook == "port_update"
    assert refusals(run) == []


def test_what_is_told_of_a_leftover_is_what_its_clean_up_takes(cloud: Cloud) -> None:
    host_id = cloud.add_host("h1")
    server_id = cloud.add_server()
    _give_address(cloud, cloud.add_port(server_id))
    cloud.work()
    host = cloud.executor.hosts.hosts[host_id]
    kept = dict(host.servers)
    cloud.act(server_id, "delete")
    cloud.work()
    host.servers |= kept
    host_leftovers.run(cloud.settings, cloud.db, cloud.executor, cloud.clock, lambda _s: None)
    cloud.work()
    run = cloud.executor.runs[-1]
    assert run.arguments["servers"][0]["quarantine"] is True
    assert refusals(run) == []


def test_the_same_rows_give_the_same_arguments(cloud: Cloud) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server()
    _give_address(cloud, cloud.add_port(server_id))
    cloud.work()
    for _ in range(2):
        cloud.act(server_id, "hard_reboot")
        cloud.work()
    first, second, third = ({**run.arguments["servers"][0]} for run in cloud.executor.runs)
    for entry in (first, second, third):
        del entry["generation"], entry["operation_id"]
    assert first == second == third


def _give_address(cloud: Cloud, port_id: str) -> None:
    with cloud.db.write() as session:
        port = session.get_one(Port, port_id)
        network = session.get_one(Network, port.network_id)
        subnet = Subnet(
            network_id=network.id, project_id=network.project_id, cidr="192.0.2.0/24",
            gateway_ip="192.0.2.1", dhcp_ip="192.0.2.2",
        )  # fmt: skip
        session.add(subnet)
        session.flush()
        session.add(
            IPAllocation(subnet_id=subnet.id, port_id=port.id, ip_address="192.0.2.9", position=9)
        )
