"""The playbooks alone, with no controller running: what an operator does by hand."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.waiting import wait_until
from tests.fixtures.by_hand import (
    BRIDGE,
    DIRECTORY,
    EACH_WAY,
    EXAMPLE,
    HOST,
    IMAGE_BASE,
    MAC,
    NETWORK,
    OTHER_SERVER,
    PAIR,
    SERVER,
    STATE_PATH,
    TAP,
    ByHand,
    changed,
    example_servers,
)
from tests.fixtures.hand_lab import Lab

pytestmark = pytest.mark.lab


@EACH_WAY
def test_create_boots_a_guest_and_delete_leaves_nothing_behind(
    by_hand: ByHand, way: tuple[str, ...]
) -> None:
    before = by_hand.traces()
    try:
        assert changed(by_hand.play("server_create", *way)) > 0
        by_hand.wait_for_boots(1)
        assert "NOVELLA-GUEST-METADATA source=openstack" in by_hand.console()
        switch = f"/proc/sys/net/ipv6/conf/{TAP}/disable_ipv6"
        assert by_hand.on_host("cat", switch).strip() == "1"
        assert changed(by_hand.play("server_create", *way)) == 0
    finally:
        by_hand.play("server_delete", *way)
    assert by_hand.traces() == before
    assert changed(by_hand.play("server_delete", *way)) == 0


def test_hard_reboot_repairs_all_that_was_removed_and_keeps_disk_and_mac(
    server: ByHand,
) -> None:
    server.on_host("virsh", "destroy", SERVER)
    server.on_host("virsh", "undefine", SERVER)
    marker = f"qemu-io -f qcow2 -c 'write -P 0x5a 900M 64k' {DIRECTORY}/disk"
    server.on_host("sh", "-c", marker)
    server.on_host("rm", f"{DIRECTORY}/libvirt.xml")
    server.on_host("sh", "-c", f"rm -f {IMAGE_BASE}/[0-9a-f]*")
    server.lab.ssh(HOST, ["ip", "link", "del", TAP])
    server.on_host("iptables", "-F")
    server.on_host("sh", "-c", "iptables -X; ipset flush; ebtables-nft -F; ebtables-nft -X; :")

    server.play("server_hard_reboot")

    server.wait_for_boots(2)
    assert MAC in server.on_host("virsh", "domiflist", SERVER)
    assert TAP[3:] in server.on_host("iptables-save")
    read = f"qemu-io -U -r -f qcow2 -c 'read -P 0x5a 900M 64k' {DIRECTORY}/disk"
    assert "verification failed" not in server.on_host("sh", "-c", read)
    assert changed(server.play("server_create")) == 0


@pytest.mark.slow
def test_a_server_set_aside_comes_back_or_is_made_anew(server: ByHand) -> None:
    marker = f"qemu-io -f qcow2 -c 'write -P 0x5a 900M 64k' {DIRECTORY}/disk"
    aside = f"{DIRECTORY}_resize"
    for number, ending in enumerate(("server_revert_resize", "server_resize")):
        assert changed(server.play("server_move_out")) > 0
        assert changed(server.play("server_move_out")) == 0
        assert SERVER not in server.on_host("virsh", "list", "--all", "--uuid")
        assert TAP[3:] not in server.on_host("iptables-save")
        if number == 0:
            server.on_host("sh", "-c", marker.replace(DIRECTORY, aside))
        assert changed(server.play(ending)) > 0
        assert changed(server.play(ending)) == 0
        assert server.domain_state() == "running"
        read = f"qemu-io -U -r -f qcow2 -c 'read -P 0x5a 900M 64k' {DIRECTORY}/disk"
        assert "verification failed" not in server.on_host("sh", "-c", read)
    assert changed(server.play("server_confirm_resize")) == 1
    assert changed(server.play("server_confirm_resize")) == 0
    server.on_host("test", "!", "-e", aside)


def test_the_kept_definition_gives_the_same_domain(server: ByHand) -> None:
    """libvirt.xml is for people: virsh alone brings the server back with it."""
    dump = ["virsh", "dumpxml", "--inactive", SERVER]
    defined = server.on_host(*dump)
    server.on_host("virsh", "destroy", SERVER)
    server.on_host("virsh", "undefine", SERVER)
    server.on_host("virsh", "define", f"{DIRECTORY}/libvirt.xml")
    server.on_host("virsh", "start", SERVER)
    assert server.on_host(*dump) == defined
    server.wait_for_boots(2)


# Each play twice is also what molecule's scenario of servers does, in every `make test`.
@pytest.mark.slow
def test_stop_start_reboot_pause_and_suspend(server: ByHand) -> None:
    server.play("server_stop")
    assert server.domain_state() == "shut off"
    assert changed(server.play("server_stop")) == 0
    server.play("server_start")
    server.wait_for_boots(2)
    assert changed(server.play("server_start")) == 0
    server.play("server_reboot")
    server.wait_for_boots(3)
    for operation, state in (
        ("server_pause", "paused"),
        ("server_unpause", "running"),
        ("server_suspend", "shut off"),
        ("server_resume", "running"),
    ):
        assert changed(server.play(operation)) > 0
        assert server.domain_state() == state
        assert changed(server.play(operation)) == 0
    assert server.console().count("NOVELLA-GUEST-READY") == 3
    server.play("server_soft_delete")
    assert server.domain_state() == "shut off"
    assert changed(server.play("server_soft_delete")) == 0
    server.play("server_restore")
    server.wait_for_boots(4)
    assert changed(server.play("server_restore")) == 0


def test_rules_change_while_the_server_runs(server: ByHand, tmp_path: Path) -> None:
    # Filtered by the network's own bridge, whatever the host has for all others.
    server.on_host("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
    assert changed(server.play("port_update")) == 0
    wait_until(server.answers_ssh, what="the guest answers SSH", timeout_s=30)
    example = yaml.safe_load(EXAMPLE.read_text())
    [group] = example["servers"][0]["security_groups"]
    group["rules"].append(
        {"direction": "ingress", "protocol": "tcp", "port_range_min": 8443, "port_range_max": 8443}
    )
    group["rules"] = [rule for rule in group["rules"] if rule.get("port_range_min") != 22]
    other = tmp_path / "server.yml"
    other.write_text(yaml.safe_dump(example))
    done = server.try_play("port_update", file=other)
    assert done.returncode == 0, done.stdout
    assert "8443" in server.on_host("iptables-save")
    assert server.domain_state() == "running"
    assert not server.answers_ssh()
    server.play("port_update")
    assert server.answers_ssh()


def deaf_servers(folder: Path, *ids: str, **flavor: int) -> Path:
    """Write the arguments of servers with nothing to boot: no guest that could hear."""
    empty, file = folder / "empty.raw", folder / "servers.yml"
    empty.write_bytes(bytes(1024**2))
    deaf: dict[str, Any] = {
        "flavor": {"vcpus": 1, "memory_mb": 64, "disk_gb": 1, **flavor},
        "image": {"id": OTHER_SERVER, "format": "raw", "path": str(empty)},
        "networks": [],
        "ports": [],
        "security_groups": [],
    }
    file.write_text(yaml.safe_dump(example_servers(*({"id": each, **deaf} for each in ids))))
    return file


@pytest.mark.parametrize("name", ["disk", "disk.local"])
def test_a_server_whose_disk_is_gone_is_not_started_without_it(
    by_hand: ByHand, tmp_path: Path, name: str
) -> None:
    """Made again of the image it would boot, and nobody would learn of the loss."""
    file = deaf_servers(tmp_path, SERVER, ephemeral_gb=1)
    disk, elsewhere = f"{DIRECTORY}/{name}", f"{STATE_PATH}/kept"
    try:
        assert by_hand.try_play("server_create", file=file).returncode == 0
        by_hand.on_host("mv", disk, elsewhere)
        for operation, state in (("server_hard_reboot", "running"), ("server_start", "shut off")):
            if state == "shut off":
                by_hand.on_host("virsh", "destroy", SERVER)
            done = by_hand.try_play(operation, file=file)
            assert done.returncode != 0
            assert f"{disk}: it is gone from host" in " ".join(done.stdout.split())
            assert by_hand.domain_state() == state
        by_hand.on_host("mv", elsewhere, disk)
        assert by_hand.try_play("server_start", file=file).returncode == 0
        assert by_hand.domain_state() == "running"
    finally:
        by_hand.try_play("server_delete", file=file)


def test_a_failed_create_leaves_nothing_behind(by_hand: ByHand, tmp_path: Path) -> None:
    before = by_hand.traces()
    petabyte = {"vcpus": 1, "memory_mb": 1024**3, "disk_gb": 1, "ephemeral_gb": 1}
    file = tmp_path / "servers.yml"
    file.write_text(yaml.safe_dump(example_servers({"flavor": petabyte})))
    done = by_hand.try_play("server_create", file=file)
    assert done.returncode != 0
    assert "Define the domain, and start it" in done.stdout
    assert by_hand.traces() == before


def test_a_delete_keeps_the_network_that_a_create_beside_it_has_begun(
    by_hand: ByHand, tmp_path: Path
) -> None:
    """The create is held between its bridge and its namespace, by a subnet that is refused."""
    before = by_hand.traces()
    port = {
        "id": "c0ffee01-1111-4222-8333-444455556666",
        "network_id": NETWORK,
        "mac_address": "fa:16:3e:5f:2c:bc",
        "fixed_ips": [{"ip_address": f"{by_hand.lab.external_prefix}.101"}],
    }
    begun = example_servers({"id": OTHER_SERVER, "ports": [port], "security_groups": []})
    begun["servers"][0]["networks"][0]["subnets"][0]["cidr"] = "no network"
    file = tmp_path / "begun.yml"
    file.write_text(yaml.safe_dump(begun))
    try:
        by_hand.play("server_create")
        done = by_hand.try_play("server_create", "-e", "server_apply=false", file=file)
        assert done.returncode != 0
        assert "no network" in done.stdout
        by_hand.play("server_delete")
        assert BRIDGE in by_hand.on_host("sh", "-c", "ls /sys/class/net")
        assert NETWORK in by_hand.on_host("ip", "netns")
    finally:
        by_hand.play("server_delete")
        done = by_hand.try_play("server_delete", file=file)
    assert done.returncode == 0, done.stdout
    assert by_hand.traces() == before


def test_two_guests_that_ignore_the_power_button_take_the_time_of_one(
    by_hand: ByHand, tmp_path: Path
) -> None:
    before, timeout_s = by_hand.traces(), 10
    file = deaf_servers(tmp_path, *PAIR)
    try:
        assert by_hand.try_play("server_create", file=file).returncode == 0
        more = ("-e", f"server_shutdown_timeout_s={timeout_s}")
        done = by_hand.try_play("server_stop", *more, file=file)
        assert done.returncode == 0, done.stdout
        times = [by_hand.step_times(server) for server in PAIR]
        assert all(end - start >= timeout_s for start, end in times)
        assert max(end for _, end in times) - min(start for start, _ in times) < 1.5 * timeout_s
    finally:
        by_hand.try_play("server_delete", file=file)
    assert by_hand.traces() == before


def test_enrolling_again_changes_nothing(lab: Lab) -> None:
    done = lab.playbook("host_enroll")
    assert done.returncode == 0, done.stdout
    assert changed(done.stdout) == 0


def test_host_info_reads_what_a_host_has(lab: Lab) -> None:
    done = lab.playbook("host_info", "-v")
    assert done.returncode == 0, done.stdout
    assert re.search(r"memory_mb\D+\d+", done.stdout)
