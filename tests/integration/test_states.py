"""The actions that stay on a server's host and move no disk, on one real guest."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from lab import hosts
from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests
from tests.fixtures.comparison import leave_mark, look

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def server(cloud: CloudForTests) -> Iterator[Any]:
    """The guest of all these tests; each leaves it running."""
    made = cloud.boot("states", metadata={"colour": "blue"})
    yield made
    cloud.delete(made)


def domain_state(cloud: CloudForTests, server: Any) -> str:
    return cloud.on_host(cloud.host_of(server), "virsh", "domstate", server.id).stdout.strip()


def power_state(cloud: CloudForTests, server: Any) -> int:
    return int(cloud.tenant.compute.get_server(server.id).power_state)


def test_a_paused_guest_stands_still_and_goes_on(cloud: CloudForTests, server: Any) -> None:
    before = leave_mark(cloud, server)
    cloud.tenant.compute.pause_server(server)
    cloud.settle(server, "PAUSED")
    assert (domain_state(cloud, server), power_state(cloud, server)) == ("paused", 3)
    cloud.tenant.compute.unpause_server(server)
    cloud.settle(server)
    assert power_state(cloud, server) == 1
    assert look(cloud, server) == before


def test_a_suspended_guest_goes_on_after_a_boot_of_its_host(
    cloud: CloudForTests, server: Any
) -> None:
    before, host = leave_mark(cloud, server), cloud.host_of(server)
    cloud.tenant.compute.suspend_server(server)
    cloud.settle(server, "SUSPENDED")
    assert (domain_state(cloud, server), power_state(cloud, server)) == ("shut off", 4)
    hosts.kill(cloud.cloud.lab_dir, host)
    hosts.start(cloud.cloud.lab_dir, host)
    wait_until(
        lambda: cloud.on_host(host, "virsh", "list", check=False).returncode == 0,
        what=f"host {host} answers", timeout_s=60, interval_s=0.5,
    )  # fmt: skip
    cloud.tenant.compute.resume_server(server)
    cloud.settle(server)
    # The same boot of the guest: what it had in memory is there.
    assert look(cloud, server) == before


def test_a_start_never_goes_on_from_memory_saved_before(cloud: CloudForTests, server: Any) -> None:
    """An administrator's word has the server out of SUSPENDED; a rebuild could follow."""
    before = leave_mark(cloud, server)
    cloud.tenant.compute.suspend_server(server)
    cloud.settle(server, "SUSPENDED")
    cloud.admin.compute.reset_server_state(server, "error")
    cloud.tenant.compute.stop_server(server)
    cloud.settle(server, "SHUTOFF")
    cloud.tenant.compute.start_server(server)
    cloud.settle(server)
    after = look(cloud, server)
    assert after.boot_id != before.boot_id
    assert after == before.but(boot_id=after.boot_id)


def test_changed_metadata_are_served_to_the_running_guest(
    cloud: CloudForTests, server: Any
) -> None:
    before = leave_mark(cloud, server)
    cloud.tenant.compute.set_server_metadata(server, colour="green", odd="{{ 7*7 }} <&>")
    changed = (("colour", "green"), ("odd", "{{ 7*7 }} <&>"))
    wait_until(
        lambda: look(cloud, server).served[-1] == changed,
        what="the guest is served its new metadata", timeout_s=60, interval_s=0.5,
    )  # fmt: skip
    after = look(cloud, server)
    assert after == before.but(metadata=changed, served=(*before.served[:-1], changed))


def test_the_guests_agent_sets_a_new_password(cloud: CloudForTests, server: Any) -> None:
    before, password = leave_mark(cloud, server), "n3w 'pass' {{ 7*7 }}"
    cloud.tenant.compute.change_server_password(server, password)
    cloud.settle(server)
    shadow = cloud.in_guest(server, "grep ^root: /etc/shadow").split(":")[1]
    salt = shadow.split("$")[2]
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", salt, "-stdin"],
        input=password, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert made.stdout.strip() == shadow
    assert look(cloud, server) == before


def test_a_guest_without_its_agent_keeps_its_password(cloud: CloudForTests, server: Any) -> None:
    cloud.in_guest(server, "mv /etc/guest-agent /etc/gone; killall qemu-ga; :")
    before = cloud.in_guest(server, "cat /etc/shadow")
    cloud.tenant.compute.change_server_password(server, "other")
    cloud.settle(server)
    assert cloud.in_guest(server, "cat /etc/shadow") == before
    cloud.in_guest(server, "mv /etc/gone /etc/guest-agent")


def test_an_interrupt_reaches_the_guest(cloud: CloudForTests, server: Any) -> None:
    before = leave_mark(cloud, server)
    cloud.tenant.compute.trigger_server_crash_dump(server)
    wait_until(
        lambda: "NMI received" in cloud.in_guest(server, "dmesg"),
        what="the guest has seen the interrupt", timeout_s=60, interval_s=0.5,
    )  # fmt: skip
    assert look(cloud, server) == before


def test_diagnostics_count_what_the_guest_does(cloud: CloudForTests, server: Any) -> None:
    before = leave_mark(cloud, server)
    found = cloud.admin.compute.get_server_diagnostics(server)
    assert (found.state, found.driver) == ("running", "libvirt")
    [(_, _, mac_address)] = before.addresses
    [card] = found.nic_details
    assert (card["mac_address"], card["rx_octets"] > 0) == (mac_address, True)
    assert found.disk_details[0]["write_bytes"] > 0
    assert found.cpu_details[0]["time"] > 0
