"""The arguments that the conductor makes of rows are those that the roles' specs take."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from controller.db.models import IPAllocation, Network, Port, Subnet
from controller.runner.requests import Run
from tests.unit.conductor.conftest import Cloud

SPECS = Path(__file__).resolve().parents[3] / "roles" / "server" / "meta" / "argument_specs.yml"


def refusals(run: Run) -> list[str]:
    """Return what the role's argument spec finds wrong with the arguments of a run."""
    specs = yaml.safe_load(SPECS.read_text())["argument_specs"]
    entry = specs[run.playbook.removeprefix("server_")]["options"]
    arguments: dict[str, Any] = {**run.arguments, "server_secrets": dict(run.secrets)}
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
