"""What servers are made of in these tests: a flavor, an image, a network, a host, an engine."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controller.api.common.calls import Services
from controller.conductor.engine import Engine
from controller.core import hosts, network_shares
from controller.db.base import utcnow
from controller.db.models import Flavor, Host, Image, Network, Subnet
from controller.runner.simulated import FACTS, SimulatedExecutor
from controller.settings import Settings

SERVERS = "/compute/v2.1/servers"
MIGRATIONS = "/compute/v2.1/os-migrations"


def at(version: str) -> dict[str, str]:
    """Return the headers of a request of this microversion."""
    return {"OpenStack-API-Version": f"compute {version}"}


@pytest.fixture
def flavor(services: Services) -> Flavor:
    with services.db.write() as session:
        row = Flavor(flavor_id="1", name="m1.tiny", vcpus=1, memory_mb=128, disk_gb=1)
        row.extra_specs = {"hw:cpu_policy": "shared"}
        session.add(row)
    return row


@pytest.fixture
def image(services: Services, admin: Any) -> Image:
    with services.db.write() as session:
        row = Image(
            project_id=admin.project_id,
            name="tiny",
            status="active",
            visibility="public",
            disk_format="qcow2",
            container_format="bare",
            size_bytes=20_000_000,
            virtual_size_bytes=100_000_000,
            sha256="0" * 64,
        )
        session.add(row)
    return row


@pytest.fixture
def network(services: Services, admin: Any) -> Network:
    with services.db.write() as session:
        row = Network(project_id=admin.project_id, name="public", physical_network="physnet1")
        session.add(row)
        session.flush()
        network_shares.set_open(session, row, network_shares.SHARED, wanted=True)
        session.add(
            Subnet(
                network_id=row.id,
                project_id=admin.project_id,
                cidr="10.91.0.0/16",
                gateway_ip="10.91.0.1",
                dhcp_ip="10.91.0.2",
                allocation_pools=[{"start": "10.91.1.10", "end": "10.91.200.200"}],
            )
        )
    return row


@pytest.fixture
def host(services: Services, settings: Settings) -> Host:
    with services.db.write() as session:
        row = hosts.enroll_record(
            session,
            "host-a.example",
            "192.0.2.10",
            host_keys=["ssh-ed25519 AAAA"],
            variables={"compute_flat_interfaces": {"physnet1": "eth1"}},
        )
        hosts.record_facts(session, settings, row, FACTS, utcnow())
    return row


@pytest.fixture
def other_host(services: Services, settings: Settings) -> str:
    """The name of a second host."""
    with services.db.write() as session:
        row = hosts.enroll_record(
            session, "host-b.example", "192.0.2.11", host_keys=["ssh-ed25519 AAAA"],
            variables={"compute_flat_interfaces": {"physnet1": "eth1"}},
        )  # fmt: skip
        hosts.record_facts(session, settings, row, FACTS, utcnow())
    return "host-b.example"


@pytest.fixture
def executor() -> SimulatedExecutor:
    return SimulatedExecutor()


@pytest.fixture
def work(
    settings: Settings, services: Services, executor: SimulatedExecutor
) -> Iterator[Callable[[], None]]:
    """Do all work that is queued: `work()`."""
    engine = Engine(settings, services.db, executor)
    yield engine.run_until_idle
    engine.stop(5)


@pytest.fixture
def a_server(flavor: Flavor, image: Image, network: Network) -> Callable[..., dict[str, Any]]:
    """Return the body of a create: `a_server(name="web")`; an item that is None is left out."""

    def body(**changes: Any) -> dict[str, Any]:
        server = {
            "name": "web",
            "flavorRef": flavor.flavor_id,
            "imageRef": image.id,
            "networks": [{"uuid": network.id}],
            **changes,
        }
        return {"server": {name: value for name, value in server.items() if value is not None}}

    return body


@pytest.fixture
def server(
    alice: Any, a_server: Callable[..., dict[str, Any]], host: Host, work: Callable[[], None]
) -> str:
    """The id of an ACTIVE server of alice's."""
    answer = alice.post(SERVERS, json=a_server())
    assert answer.status_code == 202, answer.json
    work()
    server_id: str = answer.json["server"]["id"]
    assert alice.get(f"{SERVERS}/{server_id}").json["server"]["status"] == "ACTIVE"
    return server_id
