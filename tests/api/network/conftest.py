"""What the tests of the Network API make by the API itself."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.core import ports
from controller.core.context import Context
from controller.db.models import Host, Operation, Server

V2 = "/network/v2.0"


def make(caller: Any, noun: str, **values: Any) -> dict[str, Any]:
    """Return what a create answered, which must have worked."""
    answer = caller.post(f"{V2}/{noun.replace('_', '-')}s", json={noun: values})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json[noun]
    return found


@pytest.fixture
def public(admin: Any) -> dict[str, Any]:
    """A shared, external flat network on physnet1 without a subnet."""
    return make(
        admin,
        "network",
        name="public",
        shared=True,
        **{
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": "physnet1",
        },
    )


@pytest.fixture
def public_subnet(admin: Any, public: dict[str, Any]) -> dict[str, Any]:
    return make(
        admin,
        "subnet",
        network_id=public["id"],
        cidr="10.91.1.0/24",
        allocation_pools=[{"start": "10.91.1.2", "end": "10.91.1.200"}],
    )


@pytest.fixture
def private(alice: Any) -> dict[str, Any]:
    """An isolated network of project alpha, without a subnet."""
    return make(alice, "network", name="private")


@pytest.fixture
def private_subnet(alice: Any, private: dict[str, Any]) -> dict[str, Any]:
    return make(alice, "subnet", network_id=private["id"], cidr="192.168.7.0/24")


@pytest.fixture
def refused() -> Callable[..., str]:
    """Check a refusal's status and type in Neutron's form; return its message."""

    def check(answer: Any, status: int, fault_type: str) -> str:
        assert answer.status_code == status, answer.text
        assert set(answer.json) == {"NeutronError"}, answer.text
        fault = answer.json["NeutronError"]
        assert fault["type"] == fault_type, fault
        assert fault["detail"] == ""
        message: str = fault["message"]
        return message

    return check


@pytest.fixture
def alpha(alice):
    return Context("req-1", user_id=alice.user_id, project_id=alice.project_id)


@pytest.fixture
def boot(services, settings, alpha):
    """Return the id of a new server with the ports that `networks` asks for."""

    def boot(networks=None, groups=(), context=alpha, host_id=None):
        with services.db.write() as session:
            server = Server(
                project_id=context.project_id, user_id="u", name="s", hostname="s", flavor={},
                reservation_id="r-1", host_id=host_id,
            )  # fmt: skip
            session.add(server)
            session.flush()
            ports.prepare_for_servers(session, settings, context, [server], networks, groups)
            if host_id:
                ports.bind(session, server.id, host_id)
            return server.id

    return boot


@pytest.fixture
def hosts(services):
    with services.db.write() as session:
        rows = [
            Host(name=name, address=address, tunnel_ip=address)
            for name, address in (("one", "192.0.2.1"), ("two", "192.0.2.2"))
        ]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


@pytest.fixture
def waiting(services):
    """Return the hosts with a port_update waiting, and take those away."""

    def waiting():
        with services.db.write() as session:
            found = session.query(Operation).filter_by(kind="port_update", state="queued").all()
            for operation in found:
                operation.state = "succeeded"
            return sorted(operation.host_id for operation in found)

    return waiting
