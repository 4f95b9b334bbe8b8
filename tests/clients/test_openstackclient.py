"""The unmodified openstack client, from nothing to a server that answers SSH, and back."""

import pytest

from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


def test_life_of_a_server(cloud: CloudForTests) -> None:
    created = cloud.openstack(
        "server", "create", "life", "--image", "tiny", "--flavor", "m1.nano",
        "--network", "public", "--key-name", "tests", "--property", "role=web", "--wait",
    )  # fmt: skip
    assert created["status"] == "ACTIVE"
    server = cloud.tenant.compute.get_server(created["id"])

    assert cloud.in_guest(server, "hostname").strip() == "life"
    listed = cloud.openstack("server", "list")
    assert [row["Name"] for row in listed if row["ID"] == server.id] == ["life"]
    shown = cloud.openstack("server", "show", "life")
    assert shown["properties"] == {"role": "web"}
    console = cloud.openstack_raw("console", "log", "show", "life").stdout
    assert "NOVELLA-GUEST-READY" in console

    assert cloud.openstack_raw("server", "stop", "life").returncode == 0
    cloud.settle(server, "SHUTOFF")
    assert cloud.openstack_raw("server", "start", "life").returncode == 0
    cloud.settle(server)
    events = cloud.openstack("server", "event", "list", "life")
    assert [event["Action"] for event in events] == ["start", "stop", "create"]

    done = cloud.openstack_raw("server", "delete", "life", "--wait")
    assert done.returncode == 0, done.stderr
    assert cloud.openstack_raw("server", "show", "life").returncode != 0


def test_the_administrator_sees_hosts_and_services(cloud: CloudForTests) -> None:
    hypervisors = cloud.openstack("hypervisor", "list", login="admin")
    assert {row["Hypervisor Hostname"] for row in hypervisors} == {"h1", "h2"}
    services = cloud.openstack("compute", "service", "list", login="admin")
    assert {row["Host"] for row in services if row["Binary"] == "nova-compute"} == {"h1", "h2"}


def test_a_tenant_is_told_no(cloud: CloudForTests) -> None:
    refused = cloud.openstack_raw("hypervisor", "list")
    assert refused.returncode != 0
    assert "403" in refused.stderr
