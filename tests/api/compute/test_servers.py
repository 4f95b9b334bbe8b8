"""Servers: create, show, update, delete."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from flask import Flask

from controller.api.common.calls import Services
from controller.core.sealing import unseal
from controller.db.models import (
    Flavor,
    Host,
    Image,
    Network,
    Operation,
    Port,
    Server,
    ServerAction,
)
from controller.runner.simulated import SimulatedExecutor
from controller.settings import Settings
from tests.api.compute.conftest import SERVERS

AT_2_37 = {"OpenStack-API-Version": "compute 2.37"}
LATEST = {"OpenStack-API-Version": "compute latest"}
Body = Callable[..., dict[str, Any]]


def test_create_is_accepted_with_a_location_and_a_password(
    alice: Any, a_server: Body, host: Host, services: Services, settings: Settings
) -> None:
    answer = alice.post(SERVERS, json=a_server())
    assert answer.status_code == 202
    made = answer.json["server"]
    assert answer.headers["Location"] == made["links"][0]["href"]
    assert len(made["adminPass"]) == 12
    assert made["security_groups"] == [{"name": "default"}]
    assert made["OS-DCF:diskConfig"] == "MANUAL"
    with services.db.read() as session:
        server = session.get_one(Server, made["id"])
        operation = session.query(Operation).filter_by(kind="server_create").one()
        action = session.query(ServerAction).one()
        port = session.query(Port).filter_by(device_id=server.id).one()
    assert (server.state, server.task_state) == ("building", "scheduling")
    assert operation.action_id == action.id
    assert operation.server_id == server.id
    assert port.made_by_server
    assert unseal(settings, operation.sealed) == {"admin_pass": made["adminPass"]}


def test_a_server_becomes_active_and_shows_its_address(
    alice: Any, server: str, host: Host, image: Image
) -> None:
    shown = alice.get(f"{SERVERS}/{server}").json["server"]
    assert shown["status"] == "ACTIVE"
    assert shown["OS-EXT-STS:vm_state"] == "active"
    assert shown["OS-EXT-STS:power_state"] == 1
    assert shown["OS-EXT-STS:task_state"] is None
    assert shown["progress"] == 100
    assert shown["image"]["id"] == image.id
    assert shown["flavor"]["id"] == "1"
    assert len(shown["hostId"]) == 56
    (entry,) = shown["addresses"]["public"]
    assert entry["version"] == 4
    assert entry["addr"].startswith("10.91.")
    assert entry["OS-EXT-IPS:type"] == "fixed"
    assert entry["OS-EXT-IPS-MAC:mac_addr"].startswith("fa:16:3e:")
    assert shown["security_groups"] == [{"name": "default"}]
    assert host.name not in alice.get(f"{SERVERS}/{server}").text


@pytest.mark.parametrize(
    ("version", "there", "not_there"),
    [
        ("2.1", set(), {"locked", "host_status", "OS-EXT-SRV-ATTR:hostname", "description"}),
        ("2.46", {"locked", "description", "tags", "host_status"}, {"locked_reason"}),
        (
            "2.96",
            {
                "locked", "description", "tags", "host_status", "locked_reason", "server_groups",
                "trusted_image_certificates", "pinned_availability_zone",
                "OS-EXT-SRV-ATTR:hostname",
            },
            set(),
        ),
    ],
)  # fmt: skip
def test_what_a_server_shows_follows_the_microversion(
    admin: Any, server: str, version: str, there: set[str], not_there: set[str]
) -> None:
    headers = {"OpenStack-API-Version": f"compute {version}"}
    shown = admin.get(f"{SERVERS}/{server}", headers=headers).json["server"]
    assert there <= set(shown)
    assert not not_there & set(shown)


def test_the_flavor_is_embedded_from_2_47(alice: Any, server: str) -> None:
    before = {"X-OpenStack-Nova-API-Version": "2.46"}
    after = {"X-OpenStack-Nova-API-Version": "2.47"}
    old = alice.get(f"{SERVERS}/{server}", headers=before).json["server"]["flavor"]
    new = alice.get(f"{SERVERS}/{server}", headers=after).json["server"]["flavor"]
    assert set(old) == {"id", "links"}
    assert new == {
        "vcpus": 1,
        "ram": 128,
        "disk": 1,
        "ephemeral": 0,
        "swap": 0,
        "original_name": "m1.tiny",
        "extra_specs": {"hw:cpu_policy": "shared"},
    }


def test_only_admins_see_the_host(admin: Any, alice: Any, server: str, host: Host) -> None:
    shown = admin.get(f"{SERVERS}/{server}", headers=LATEST).json["server"]
    assert shown["OS-EXT-SRV-ATTR:host"] == host.name
    assert shown["OS-EXT-SRV-ATTR:instance_name"] == f"novella-{server}"
    assert shown["host_status"] == "UP"
    tenant = alice.get(f"{SERVERS}/{server}", headers=LATEST).json["server"]
    assert not {"OS-EXT-SRV-ATTR:host", "host_status"} & set(tenant)
    assert tenant["OS-EXT-SRV-ATTR:hostname"] == "web"


def test_another_projects_server_is_not_there(bob: Any, server: str) -> None:
    path = f"{SERVERS}/{server}"
    answers = [
        bob.get(path),
        bob.put(path, json={"server": {"name": "mine"}}),
        bob.delete(path),
        bob.post(f"{path}/action", json={"os-stop": None}),
        bob.get(f"{path}/metadata"),
        bob.put(f"{path}/metadata", json={"metadata": {}}),
        bob.get(f"{path}/ips"),
        bob.get(f"{path}/os-instance-actions"),
        bob.get(f"{path}/os-security-groups"),
        bob.post(f"{path}/action", json={"os-getConsoleOutput": {}}),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert all(answer.json["itemNotFound"]["code"] == 404 for answer in answers)


def test_a_reader_reads_and_changes_nothing(rita: Any, server: str, a_server: Body) -> None:
    path = f"{SERVERS}/{server}"
    assert rita.get(path).status_code == 200
    assert rita.post(SERVERS, json=a_server()).status_code == 403
    assert rita.delete(path).status_code == 403
    assert rita.put(path, json={"server": {"name": "x"}}).status_code == 403
    refused = rita.post(f"{path}/action", json={"os-stop": None})
    assert refused.status_code == 403
    assert "os_compute_api:servers:stop" in refused.json["forbidden"]["message"]


def test_several_servers_get_numbered_names_and_one_reservation(
    alice: Any, admin: Any, a_server: Body, host: Host
) -> None:
    body = a_server(name="Web Farm", min_count=2, max_count="3", return_reservation_id=True)
    answer = alice.post(SERVERS, json=body)
    assert answer.status_code == 202
    reservation = answer.json["reservation_id"]
    found = admin.get(
        f"{SERVERS}/detail?all_tenants=1&reservation_id={reservation}&sort_key=launch_index&sort_dir=asc",
        headers=LATEST,
    ).json["servers"]
    assert [server["name"] for server in found] == ["Web Farm-1", "Web Farm-2", "Web Farm-3"]
    assert [server["OS-EXT-SRV-ATTR:launch_index"] for server in found] == [0, 1, 2]
    assert [server["OS-EXT-SRV-ATTR:hostname"] for server in found] == [
        "web-farm-1",
        "web-farm-2",
        "web-farm-3",
    ]


def test_everything_a_create_can_carry_is_kept(
    alice: Any, admin: Any, a_server: Body, host: Host, image: Image, services: Services
) -> None:
    data = base64.b64encode(b"#cloud-config\n{{ 7*7 }}\n").decode()
    alice.post("/compute/v2.1/os-keypairs", json={"keypair": {"name": "mykey"}})
    body = a_server(
        name="{{ 7*7 }} \"quoted\" 'too' <xml/> & - yaml: {a: b}",
        description="{{ lookup('pipe', 'id') }}",
        key_name="mykey",
        user_data=data,
        config_drive=True,
        metadata={"role": "{{ 7*7 }}"},
        accessIPv4="192.0.2.7",
        adminPass="{{ 7*7 }}",
        availability_zone="nova",
        hostname="chosen",
        block_device_mapping_v2=[
            {
                "uuid": image.id,
                "source_type": "image",
                "destination_type": "local",
                "boot_index": 0,
                "delete_on_termination": True,
            }
        ],
    )
    body["os:scheduler_hints"] = {"group": "0b7a8a2e-6d1e-4a3c-9a55-3ce1b1ef4e21"}
    answer = alice.post(SERVERS, json=body, headers=LATEST)
    assert answer.status_code == 202, answer.json
    assert answer.json["server"]["adminPass"] == "{{ 7*7 }}"
    shown = admin.get(f"{SERVERS}/{answer.json['server']['id']}", headers=LATEST).json["server"]
    assert shown["name"] == body["server"]["name"]
    assert shown["description"] == "{{ lookup('pipe', 'id') }}"
    assert shown["key_name"] == "mykey"
    assert shown["OS-EXT-SRV-ATTR:user_data"] == data
    assert shown["config_drive"] == "True"
    assert shown["metadata"] == {"role": "{{ 7*7 }}"}
    assert shown["accessIPv4"] == "192.0.2.7"
    assert shown["pinned_availability_zone"] == "nova"
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "chosen"
    with services.db.read() as session:
        server = session.get_one(Server, shown["id"])
    assert server.public_key.startswith("ssh-ed25519 ")
    assert server.scheduler_hints == body["os:scheduler_hints"]


def test_networks_none_makes_no_port(alice: Any, a_server: Body, host: Host, work: Any) -> None:
    answer = alice.post(SERVERS, json=a_server(networks="none"), headers=AT_2_37)
    assert answer.status_code == 202, answer.json
    work()
    shown = alice.get(f"{SERVERS}/{answer.json['server']['id']}").json["server"]
    assert shown["addresses"] == {}
    assert "security_groups" not in shown


def test_networks_auto_takes_the_only_one(alice: Any, a_server: Body, host: Host) -> None:
    answer = alice.post(SERVERS, json=a_server(networks="auto"), headers=AT_2_37)
    assert answer.status_code == 202, answer.json
    server_id = answer.json["server"]["id"]
    assert set(alice.get(f"{SERVERS}/{server_id}/ips").json["addresses"]) == {"public"}


def test_networks_auto_makes_one_where_there_is_none(
    alice: Any, admin: Any, a_server: Body, host: Host, network: Network, work: Any
) -> None:
    """All or nothing: without what it is made of, neither server nor network."""
    v2 = "/network/v2.0"
    hidden = {"network": {"shared": False}}
    assert admin.put(f"{v2}/networks/{network.id}", json=hidden).status_code == 200
    refused = alice.post(SERVERS, json=a_server(networks="auto"), headers=AT_2_37)
    assert refused.status_code == 400
    message = refused.json["badRequest"]["message"]
    assert message.startswith("Unable to automatically allocate a network for project")
    assert alice.get(SERVERS).json["servers"] == []
    outside = {"name": "outside", "router:external": True, "is_default": True}
    made = admin.post(f"{v2}/networks", json={"network": outside}).json["network"]
    range_ = {"network_id": made["id"], "cidr": "10.92.0.0/24", "ip_version": 4}
    assert admin.post(f"{v2}/subnets", json={"subnet": range_}).status_code == 201
    pool = {"name": "p", "prefixes": ["10.7.0.0/16"], "default_prefixlen": 26,
            "is_default": True, "shared": True}  # fmt: skip
    assert admin.post(f"{v2}/subnetpools", json={"subnetpool": pool}).status_code == 201
    for name in ("one", "two"):
        body = a_server(networks="auto", name=name)
        answer = alice.post(SERVERS, json=body, headers=AT_2_37)
        assert answer.status_code == 202, answer.json
        work()
        shown = alice.get(f"{SERVERS}/{answer.json['server']['id']}").json["server"]
        assert shown["status"] == "ACTIVE"
        assert set(shown["addresses"]) == {"auto_allocated_network"}
    assert len(alice.get(f"{v2}/routers").json["routers"]) == 1


def test_networks_may_be_left_out_before_2_37_only(alice: Any, a_server: Body, host: Host) -> None:
    assert alice.post(SERVERS, json=a_server(networks=None)).status_code == 202
    refused = alice.post(SERVERS, json=a_server(networks=None), headers=AT_2_37)
    assert refused.status_code == 400
    assert "'networks' is a required property" in refused.json["badRequest"]["message"]


def test_delete_frees_name_port_and_quota(
    alice: Any, admin: Any, server: str, work: Any, services: Services
) -> None:
    answer = alice.delete(f"{SERVERS}/{server}")
    assert answer.status_code == 204
    assert answer.data == b""
    assert alice.delete(f"{SERVERS}/{server}").status_code == 204
    work()
    assert alice.get(f"{SERVERS}/{server}").status_code == 404
    with services.db.read() as session:
        assert session.query(Port).filter_by(device_id=server).count() == 0
        assert session.query(Operation).filter_by(kind="server_delete").count() == 1
    limits = alice.get("/compute/v2.1/limits").json["limits"]["absolute"]
    assert limits["totalInstancesUsed"] == 0
    deleted = admin.get(f"{SERVERS}/detail?all_tenants=1&deleted=1").json["servers"]
    assert [(each["id"], each["status"]) for each in deleted] == [(server, "DELETED")]


def test_a_server_can_be_deleted_while_it_is_being_built(
    alice: Any, a_server: Body, host: Host, work: Any
) -> None:
    server_id = alice.post(SERVERS, json=a_server()).json["server"]["id"]
    assert alice.delete(f"{SERVERS}/{server_id}").status_code == 204
    work()
    assert alice.get(f"{SERVERS}/{server_id}").status_code == 404


def test_an_error_shows_a_fault_without_the_hosts_name(
    alice: Any, admin: Any, a_server: Body, host: Host, executor: SimulatedExecutor, work: Any
) -> None:
    executor.fails = lambda _run, _id: "qemu-img: No space left on device"
    server_id = alice.post(SERVERS, json=a_server()).json["server"]["id"]
    work()
    path = f"{SERVERS}/{server_id}"
    shown = alice.get(path).json["server"]
    assert shown["status"] == "ERROR"
    assert set(shown["fault"]) == {"code", "created", "message"}
    assert host.name not in alice.get(path).text
    assert "qemu-img" not in alice.get(path).text
    assert admin.get(path).json["server"]["fault"]["details"]


def test_update_changes_what_may_be_changed(alice: Any, server: str) -> None:
    changes = {
        "name": "renamed {{ 7*7 }}",
        "description": "line one\nline two",
        "accessIPv4": "192.0.2.1",
        "hostname": "other",
        "OS-DCF:diskConfig": "AUTO",
    }
    answer = alice.put(f"{SERVERS}/{server}", json={"server": changes}, headers=LATEST)
    assert answer.status_code == 200, answer.json
    shown = answer.json["server"]
    assert shown["name"] == "renamed {{ 7*7 }}"
    assert shown["description"] == "line one\nline two"
    assert shown["accessIPv4"] == "192.0.2.1"
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "other"
    assert shown["OS-DCF:diskConfig"] == "AUTO"
    assert shown["status"] == "ACTIVE"
    assert shown["server_groups"] == []


def test_update_shows_less_before_2_75(alice: Any, server: str) -> None:
    body = {"server": {"name": "new"}}
    shown = alice.put(f"{SERVERS}/{server}", json=body).json["server"]
    assert shown["name"] == "new"
    assert "addresses" in shown
    assert not {"key_name", "OS-EXT-STS:vm_state", "config_drive"} & set(shown)


def test_metadata_can_be_read_added_replaced_and_removed(alice: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/metadata"
    assert alice.get(path).json == {"metadata": {}}
    assert alice.post(path, json={"metadata": {"a": "1", "b": "2"}}).json["metadata"] == {
        "a": "1",
        "b": "2",
    }
    assert alice.post(path, json={"metadata": {"b": "3"}}).json["metadata"]["a"] == "1"
    assert alice.put(f"{path}/c", json={"meta": {"c": "{{ 7*7 }}"}}).json == {
        "meta": {"c": "{{ 7*7 }}"}
    }
    assert alice.get(f"{path}/c").json == {"meta": {"c": "{{ 7*7 }}"}}
    assert alice.delete(f"{path}/c").status_code == 204
    assert alice.delete(f"{path}/c").status_code == 404
    assert alice.get(f"{path}/c").status_code == 404
    assert alice.put(f"{path}/x", json={"meta": {"y": "1"}}).status_code == 400
    assert alice.put(path, json={"metadata": {"only": "this"}}).json["metadata"] == {"only": "this"}
    assert alice.get(f"{SERVERS}/{server}").json["server"]["metadata"] == {"only": "this"}
    assert alice.put(path, json={"metadata": {"n": 1}}).status_code == 400


def test_addresses_and_security_groups_of_a_server(alice: Any, server: str) -> None:
    addresses = alice.get(f"{SERVERS}/{server}/ips").json["addresses"]
    (entry,) = addresses["public"]
    assert set(entry) == {"version", "addr"}
    assert alice.get(f"{SERVERS}/{server}/ips/public").json == {"public": [entry]}
    assert alice.get(f"{SERVERS}/{server}/ips/other").status_code == 404
    (group,) = alice.get(f"{SERVERS}/{server}/os-security-groups").json["security_groups"]
    assert group["name"] == "default"


def test_an_admin_may_choose_the_host_and_nobody_else(
    alice: Any, admin: Any, a_server: Body, host: Host, services: Services
) -> None:
    body = a_server(availability_zone=f"nova:{host.name}")
    assert alice.post(SERVERS, json=body).status_code == 403
    assert admin.post(SERVERS, json=body).status_code == 202
    with services.db.read() as session:
        operation = session.query(Operation).filter_by(kind="server_create").one()
    assert operation.arguments == {"forced_host": host.name}
    unknown = admin.post(SERVERS, json=a_server(availability_zone="nova:nowhere"))
    assert unknown.status_code == 400
    newer = admin.post(SERVERS, json=a_server(host=host.name), headers=LATEST)
    assert newer.status_code == 202, newer.json
    both = a_server(host=host.name, availability_zone=f"nova:{host.name}")
    assert admin.post(SERVERS, json=both, headers=LATEST).status_code == 400
    assert alice.post(SERVERS, json=a_server(host=host.name), headers=LATEST).status_code == 403


class TestUniqueNames:
    @pytest.fixture(params=["project", "global"])
    def settings(self, settings: Settings, request: Any) -> Settings:
        return replace(settings, unique_server_names=request.param)

    def test_a_clash_is_409_and_names_it(
        self, alice: Any, bob: Any, a_server: Body, settings: Settings, host: Host, work: Any
    ) -> None:
        first = alice.post(SERVERS, json=a_server(name="db"))
        assert first.status_code == 202
        clash = alice.post(SERVERS, json=a_server(name="DB"))
        assert clash.status_code == 409
        assert "'DB' is taken" in clash.json["conflictingRequest"]["message"]
        expected = 202 if settings.unique_server_names == "project" else 409
        assert bob.post(SERVERS, json=a_server(name="db")).status_code == expected
        other = alice.post(SERVERS, json=a_server(name="other")).json["server"]["id"]
        renamed = alice.put(f"{SERVERS}/{other}", json={"server": {"name": "db"}})
        assert renamed.status_code == 409
        work()
        alice.delete(f"{SERVERS}/{first.json['server']['id']}")
        work()
        if settings.unique_server_names == "project":
            assert alice.post(SERVERS, json=a_server(name="db")).status_code == 202

    def test_the_database_settles_a_race(
        self,
        alice: Any,
        a_server: Body,
        services: Services,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Two that both looked before either wrote: the constraint lets one through."""
        from controller.core import server_names

        def blind(_session: Any, settings: Settings, project: str, name: str, *_: Any) -> str:
            return name if settings.unique_server_names == "global" else f"{project}/{name}"

        monkeypatch.setattr(server_names, "claim", blind)
        assert alice.post(SERVERS, json=a_server()).status_code == 202
        lost = alice.post(SERVERS, json=a_server())
        assert lost.status_code == 409
        with services.db.read() as session:
            assert session.query(Server).count() == 1
            assert session.query(Port).filter(Port.device_id != "").count() == 1

    def test_of_many_at_once_one_gets_the_name(
        self, alice: Any, a_server: Body, services: Services
    ) -> None:
        """Creates and renames that start together, in threads as the API's own."""
        others = [
            alice.post(SERVERS, json=a_server(name=f"other{number}")).json["server"]["id"]
            for number in range(3)
        ]
        together = Barrier(6)

        def ask(number: int) -> int:
            together.wait()
            if number < len(others):
                path = f"{SERVERS}/{others[number]}"
                status = alice.put(path, json={"server": {"name": "db"}}).status_code
            else:
                status = alice.post(SERVERS, json=a_server(name="db")).status_code
            return int(status)

        with ThreadPoolExecutor(6) as threads:
            statuses = sorted(threads.map(ask, range(6)))
        assert statuses[0] in (200, 202)
        assert statuses[1:] == [409] * 5
        with services.db.read() as session:
            assert session.query(Server).filter(Server.name == "db").count() == 1


def test_names_may_be_the_same_by_default(alice: Any, a_server: Body) -> None:
    assert [alice.post(SERVERS, json=a_server()).status_code for _ in range(2)] == [202, 202]


def test_the_last_place_of_a_quota_goes_to_one(
    alice: Any, admin: Any, a_server: Body, services: Services
) -> None:
    quota = {"quota_set": {"instances": 2}}
    path = f"/compute/v2.1/os-quota-sets/{alice.project_id}"
    assert admin.put(path, json=quota).status_code == 200
    assert alice.post(SERVERS, json=a_server()).status_code == 202
    fitting = alice.post(SERVERS, json=a_server(min_count=1, max_count=5))
    assert fitting.status_code == 202
    refused = alice.post(SERVERS, json=a_server())
    assert refused.status_code == 403
    assert "Quota exceeded for instances" in refused.json["forbidden"]["message"]
    with services.db.read() as session:
        assert session.query(Server).count() == 2


def test_two_creates_race_for_the_last_place(
    alice: Any, admin: Any, a_server: Body, services: Services
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = f"/compute/v2.1/os-quota-sets/{alice.project_id}"
    admin.put(path, json={"quota_set": {"cores": 1}})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: alice.post(SERVERS, json=a_server()), range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 403, 403, 403]
    with services.db.read() as session:
        assert session.query(Server).count() == 1


def test_a_lasting_copy_of_flavor_and_image_is_kept(
    alice: Any, admin: Any, server: str, flavor: Flavor, services: Services
) -> None:
    assert admin.delete("/compute/v2.1/flavors/1").status_code == 202
    with services.db.write() as session:
        session.query(Image).delete()
    shown = alice.get(f"{SERVERS}/{server}", headers=LATEST).json["server"]
    assert shown["flavor"]["original_name"] == "m1.tiny"
    with services.db.read() as session:
        assert session.get_one(Server, server).image["size_bytes"] == 20_000_000


def test_an_application_has_no_state_of_its_own(
    settings: Settings, alice: Any, server: str, another_app: Callable[[Settings], Flask]
) -> None:
    """Another process answers the same."""
    again = replace(alice, app=another_app(settings))
    path = f"{SERVERS}/{server}"
    assert again.get(path).json == alice.get(path).json
