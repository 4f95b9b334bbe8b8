"""Many servers by one request: what they cost, and that nobody gets another's address or MAC."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from controller.api.common.calls import Services
from controller.core import addresses, macs
from controller.db.models import IPAllocation, Network, Operation, Port, Server, Subnet
from controller.settings import Settings
from tests.api.compute.conftest import SERVERS

Body = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def room(admin: Any, alice: Any) -> None:
    quota = {"quota_set": {"instances": 100, "cores": 100}}
    path = f"/compute/v2.1/os-quota-sets/{alice.project_id}"
    assert admin.put(path, json=quota).status_code == 200


def test_a_create_costs_as_many_statements_for_one_as_for_many(
    alice: Any,
    a_server: Body,
    count_statements: Callable[[], AbstractContextManager[list[str]]],
) -> None:
    alice.post(SERVERS, json=a_server())  # makes the project's default group
    seen = {}
    for count in (1, 30):
        with count_statements() as statements:
            answer = alice.post(SERVERS, json=a_server(min_count=count, max_count=count))
        assert answer.status_code == 202
        seen[count] = statements
    assert len(seen[30]) == len(seen[1])


def test_each_of_many_has_an_address_and_an_operation_of_its_own(
    alice: Any, a_server: Body, services: Services
) -> None:
    assert alice.post(SERVERS, json=a_server(min_count=30, max_count=30)).status_code == 202
    with services.db.read() as session:
        servers = {row.id: row for row in session.query(Server)}
        ports = list(session.query(Port))
        assert {port.device_id for port in ports} == servers.keys()
        assert len({port.mac_address for port in ports}) == 30
        assert {row.port_id for row in session.query(IPAllocation)} == {port.id for port in ports}
        operations = list(session.query(Operation))
        assert {operation.server_id for operation in operations} == servers.keys()
        assert len({operation.action_id for operation in operations}) == 30
        assert sorted(row.launch_index for row in servers.values()) == list(range(30))


@pytest.mark.parametrize(("pool", "status"), [(12, 202), (11, 409)])
def test_many_take_the_last_addresses_of_several_subnets(
    alice: Any, a_server: Body, services: Services, network: Network, pool: int, status: int
) -> None:
    with services.db.write() as session:
        first = session.query(Subnet).one()
        first.allocation_pools = [{"start": "10.91.1.10", "end": "10.91.1.17"}]
        session.add(
            Subnet(
                network_id=network.id, project_id=network.project_id, cidr="10.92.0.0/24",
                allocation_pools=[{"start": "10.92.0.10", "end": f"10.92.0.{10 + pool - 9}"}],
            )
        )  # fmt: skip
    answer = alice.post(SERVERS, json=a_server(min_count=12, max_count=12))
    assert answer.status_code == status, answer.json
    with services.db.read() as session:
        assert session.query(IPAllocation).count() == (12 if status == 202 else 0)
        assert session.query(Server).count() == (12 if status == 202 else 0)


def test_a_mac_address_that_is_drawn_twice_is_drawn_again(
    alice: Any, a_server: Body, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([*["fa:16:3e:00:00:01"] * 3, *(f"fa:16:3e:00:01:{n:02x}" for n in range(9))])
    monkeypatch.setattr(macs, "_generate", lambda: next(drawn))
    assert alice.post(SERVERS, json=a_server(min_count=3, max_count=3)).status_code == 202
    with services.db.read() as session:
        assert len({port.mac_address for port in session.query(Port)}) == 3


def test_addresses_that_others_take_meanwhile_are_drawn_again(
    alice: Any, a_server: Body, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alice.post(SERVERS, json=a_server()).status_code == 202
    with services.db.read() as session:
        taken = session.query(IPAllocation.position).scalar()
    honest = addresses._some_free
    stale = iter([[taken, taken + 1, taken + 2]])
    monkeypatch.setattr(
        addresses, "_some_free", lambda *arguments: next(stale, None) or honest(*arguments)
    )
    assert alice.post(SERVERS, json=a_server(min_count=3, max_count=3)).status_code == 202
    with services.db.read() as session:
        assert session.query(IPAllocation).count() == 4


def test_a_clash_with_one_of_many_names_is_refused_whole(
    alice: Any,
    a_server: Body,
    services: Services,
    settings: Settings,
    another_app: Callable[[Settings], Flask],
) -> None:
    unique = replace(alice, app=another_app(replace(settings, unique_server_names="project")))
    assert unique.post(SERVERS, json=a_server(name="web-2")).status_code == 202
    refused = unique.post(SERVERS, json=a_server(name="web", min_count=3, max_count=3))
    assert refused.status_code == 409
    assert "'web-2' is taken" in refused.text
    with services.db.read() as session:
        assert session.query(Server).count() == 1
