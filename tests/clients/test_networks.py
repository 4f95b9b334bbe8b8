"""Networks by the unmodified openstack client and openstacksdk, on a controller without hosts."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack.connection
import pytest
from openstack.config import OpenStackConfig

from lab import contents
from lab.cloud import Cloud

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as path:
        made = Cloud(Path(path) / "cloud")
        made.configure()
        password = secrets.token_urlsafe(12)
        made.prepare_database(password)
        contents.write_clouds_yaml(made, {"admin": contents.Login("admin", password, "admin")})
        made.start_controller()
        try:
            yield made
        finally:
            made.stop_controller()


@pytest.fixture(scope="module")
def run(cloud: Cloud) -> Run:
    """Return what the client answers, as JSON where it says something."""
    environment = {
        **os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": "admin",
    }  # fmt: skip
    client = str(Path(sys.executable).with_name("openstack"))

    def call(line: str, *more: str, quiet: bool = False) -> Any:
        form = () if quiet else ("-f", "json")
        done = subprocess.run(
            [client, *line.split(), *more, *form],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    return call


def test_the_client_makes_networks_of_all_kinds(run: Run) -> None:
    blue = run("network create blue --mtu 1400 --description x --tag red")
    assert (blue["provider:network_type"], blue["mtu"], blue["tags"]) == ("vxlan", 1400, ["red"])
    vlan = run(
        "network create office --share --provider-network-type vlan "
        "--provider-physical-network physnet1 --provider-segment 100"
    )
    assert (vlan["provider:segmentation_id"], vlan["shared"]) == (100, True)
    run("network set blue --name sky --tag green", quiet=True)
    assert run("network show sky")["tags"] == ["green", "red"]
    listed = run("network list --tags red --long")
    assert [row["Name"] for row in listed] == ["sky"]
    policy = run("network rbac create --type network --action access_as_shared", "--target-project",
                 "admin", "sky")  # fmt: skip
    assert [row["ID"] for row in run("network rbac list")].count(policy["id"]) == 1
    run(f"network rbac delete {policy['id']}", quiet=True)


def test_the_client_makes_subnets_of_both_versions_and_ports(run: Run) -> None:
    run("network create both")
    pool = run("subnet pool create pool --pool-prefix 10.7.0.0/16 --default-prefix-length 26")
    assert pool["default_prefixlen"] == 26
    four = run("subnet create four --network both --subnet-pool pool --dns-nameserver 9.9.9.9 "
               "--host-route destination=10.0.0.0/8,gateway=10.7.0.9")  # fmt: skip
    assert four["cidr"] == "10.7.0.0/26"
    six = run("subnet create six --network both --ip-version 6 --subnet-range fd00:7::/64 "
              "--ipv6-ra-mode slaac --ipv6-address-mode slaac")  # fmt: skip
    assert six["ipv6_address_mode"] == "slaac"
    port = run(
        "port create p1 --network both --dns-name web --mac-address fa:16:3e:12:34:56 "
        "--extra-dhcp-option name=mtu,value=1400 --allowed-address ip-address=fd00:8::/64"
    )
    addresses = {each["ip_address"] for each in port["fixed_ips"]}
    assert "fd00:7::f816:3eff:fe12:3456" in addresses
    assert len(addresses) == 2
    assert port["dns_assignment"][0]["hostname"] == "web"
    assert port["extra_dhcp_opts"] == [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}]
    run("port set p1 --no-allowed-address --tag db", quiet=True)
    assert len(run("port list --fixed-ip subnet=six --tags db")) == 1
    run("port unset p1 --tag db", quiet=True)
    scope = run("address scope create s --ip-version 6 --share")
    assert scope["shared"] is True
    run("address scope delete s", quiet=True)


def test_the_client_gets_itself_a_network(run: Run) -> None:
    run("network create outside --external --default")
    run("subnet create o --network outside --subnet-range 10.91.1.0/24 --no-dhcp")
    run("subnet pool create d --pool-prefix 10.8.0.0/16 --default-prefix-length 26 --default "
        "--share")  # fmt: skip
    command = "network auto allocated topology"
    # The client has a column for the answer, and leaves it empty; it fails where the check does.
    run(f"{command} create --check-resources")
    assert "auto_allocated_router" not in {row["Name"] for row in run("router list")}
    made = run(f"{command} create --or-show")["id"]
    assert run("network show auto_allocated_network")["id"] == made
    run(f"{command} delete", quiet=True)
    assert "auto_allocated_router" not in {row["Name"] for row in run("router list")}


def test_the_client_reads_and_sets_quotas(run: Run) -> None:
    run("quota set --networks 50 --rbac-policies 3 admin", quiet=True)
    shown = {row["Resource"]: row["Limit"] for row in run("quota show admin --network")}
    assert shown["networks"] == 50
    usage = {row["Resource"]: row["In Use"] for row in run("quota show admin --network --usage")}
    assert usage["networks"] >= 1
    run("quota delete admin --network", quiet=True)


def test_the_client_reads_what_there_is(run: Run) -> None:
    aliases = {row["Alias"] for row in run("extension list --network")}
    assert {"rbac-policies", "standard-attr-tag", "subnet_allocation"} <= aliases
    assert run("network agent list") == []
    zones = run("availability zone list --network")
    assert {row["Zone Name"] for row in zones} == {"nova"}


def test_the_sdk_pages_sorts_and_filters(cloud: Cloud) -> None:
    loader = OpenStackConfig(config_files=[str(cloud.clouds_yaml)])
    connection: Any = openstack.connection.Connection(config=loader.get_one("admin"))
    network = connection.network.create_network(name="paged")
    made = [connection.network.create_port(network_id=network.id, name=f"p{n}") for n in range(5)]
    found = connection.network.ports(network_id=network.id, limit=2, sort_key="name")
    assert [port.name for port in found] == [f"p{number}" for number in range(5)]
    only = list(connection.network.ports(network_id=network.id, fields=["id"], name="p3"))
    assert [port.id for port in only] == [made[3].id]
    connection.network.set_tags(network, ["a", "b"])
    assert connection.network.get_network(network.id).tags == ["a", "b"]
    for port in made:
        connection.network.delete_port(port)
    connection.network.delete_network(network)
    assert connection.network.find_network("paged") is None
