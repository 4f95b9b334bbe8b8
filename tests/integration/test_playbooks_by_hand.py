"""The playbooks alone, with no controller running: what an operator does by hand."""

import base64
import copy
import datetime
import html
import json
import re
import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.waiting import wait_until
from tests.fixtures.hand_lab import ROOT, Lab

pytestmark = pytest.mark.lab

EXAMPLE = ROOT / "examples" / "server.yml"
HOST = "h1"
STATE_PATH = "/var/lib/novella"
SERVER = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
IMAGE_BASE = f"{STATE_PATH}/instances/_base"
DIRECTORY = f"{STATE_PATH}/instances/{SERVER}"
OTHER_SERVER = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a11"
NETWORK = "6a1f8f2e-0c83-4f3b-9a6e-1d2b3c4d5e6f"
BRIDGE = "nvb6a1f8f2e0c8"
TAP = "nvtc0ffee00111"
PAIR = (SERVER, OTHER_SERVER)
MAC = "fa:16:3e:5f:2c:bb"
BOOT_TIMEOUT_S = 180
# A play, and what it must say that it would do to a server that runs; empty if nothing.
CHECKED = {
    "server_create": "",
    "server_start": "",
    "server_attach_interface": "",
    "server_converge": "",
    "server_detach_interface": "",
    "port_update": "",
    "host_enroll": "",
    "host_adopt": "",
    "host_domains": "",
    "host_info": "",
    "server_stop": "-state: running",
    "server_reboot": "+state: running, started again",
    "server_hard_reboot": "-state: running",
    "server_rebuild": f"content of {DIRECTORY}/disk",
    "server_rescue": f"disk {DIRECTORY}/disk.rescue",
    "server_unrescue": "",
    "server_create_image": "+a copy of the disk",
    "server_create_backup": "+a copy of the disk",
    "server_shelve": "+a copy of the disk",
    "server_shelve_offload": f"-{DIRECTORY}/disk",
    "server_unshelve": "",
    "server_evacuate": "",
    "server_live_resize": "",
    "server_create_snapshot": "+novella-",
    "server_delete_snapshot": "",
    "image_verify": "",
    "server_pause": "+state: paused",
    "server_unpause": "",
    "server_suspend": "+state: stopped, memory saved",
    "server_resume": "",
    "server_soft_delete": "-state: running",
    "server_restore": "",
    "server_update_metadata": "",
    "server_trigger_crash_dump": "+interrupted",
    "server_receive": "+/etc/pki/libvirt-migrate: CN=h1",
    # With a destination: what was there is removed then.
    "server_live_migrate": f"-{DIRECTORY}/disk",
    "server_move_out": f"+{DIRECTORY}_resize",
    "server_resize": "",
    "server_revert_resize": "",
    "server_confirm_resize": "",
    "server_delete": f"-{DIRECTORY}/disk",
}
# The others are checked by `make test-full`.
CHECKED_OFTEN = {
    "host_enroll", "port_update", "server_create", "server_delete", "server_hard_reboot",
    "server_move_out",
}  # fmt: skip
EACH_WAY = pytest.mark.parametrize(
    "way",
    [
        pytest.param((), id="one execution"),
        pytest.param(
            ("-e", "server_apply=false"), id="a task for each step", marks=pytest.mark.slow
        ),
    ],
)


class ByHand:
    """An operator in front of one host, with examples/server.yml."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def play(self, operation: str, *more: str) -> str:
        """Return the output of a play that must succeed."""
        done = self.try_play(operation, *more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_play(self, operation: str, *more: str, file: Path = EXAMPLE) -> Any:
        return self.lab.playbook(
            operation,
            *("-l", HOST, "-e", f"@{file}"),
            *("-e", f"image_path={self.lab.image}"),
            *("-e", f"network_prefix={self.lab.external_prefix}"),
            *more,
        )

    def on_host(self, *argv: str, host: str = HOST) -> str:
        return self.lab.output(host, *argv)

    def console(self) -> str:
        return self.lab.ssh(HOST, ["cat", f"{DIRECTORY}/console.log"]).stdout

    def wait_for_boots(self, number: int) -> None:
        wait_until(
            lambda: self.console().count("NOVELLA-GUEST-READY") >= number,
            what=f"the guest has booted {number} times",
            timeout_s=BOOT_TIMEOUT_S,
            interval_s=0.5,
        )

    def domain_state(self) -> str:
        return self.lab.ssh(HOST, ["virsh", "domstate", SERVER]).stdout.strip()

    def traces(self) -> dict[str, str]:
        """All on the host that a server or its network could have left behind."""
        return {
            "links": self.on_host("sh", "-c", "ls /sys/class/net"),
            # Not `ip netns`: it adds numbers that the kernel gives anew.
            "namespaces": self.on_host("ls", "/run/netns"),
            "domains": self.on_host("virsh", "list", "--all", "--name"),
            "instances": self.on_host("sh", "-c", f"ls {STATE_PATH}/instances | grep -v _base; :"),
            "networks": self.on_host("sh", "-c", f"find {STATE_PATH}/networks -type f"),
            "claims": self.on_host("sh", "-c", "find /run/novella/bridges -type f; :"),
            "services": self.on_host("sh", "-c", "ls -d /run/service/* /run/novella/services/*; :"),
            "rules": self.on_host("sh", "-c", "iptables-save | grep -v '^[#:]'; :"),
            "sets": self.on_host("ipset", "list", "-name"),
            "frames": self.on_host("sh", "-c", "ebtables-nft-save | grep -v '^[#:]'; :"),
        }

    def everything(self, host: str = HOST) -> str:
        """Each file that is ours with its age, all that the kernel keeps, and the domain."""
        folders = f"{STATE_PATH} /run/novella /usr/local/lib/novella /etc/libvirt /root/.ssh"
        script = f"""
            find {folders} -name console.log -o -name leases -o -printf '%p %s %m %T@\\n' | sort
            virsh dumpxml {SERVER} 2>&1; virsh domstate {SERVER} 2>&1
            ls /sys/class/net; ip netns; ipset list -name
            iptables-save; ip6tables-save; ebtables-nft-save"""
        lines = self.on_host("sh", "-c", script, host=host).splitlines()
        # Counters and the time of day are nobody's doing.
        return "\n".join(line for line in lines if not line.startswith(("#", ":")))

    def step_times(self, server: str) -> tuple[float, float]:
        """When the steps of the last run on `server` began and ended, in seconds."""
        steps = json.loads(self.on_host("cat", f"{STATE_PATH}/journal/{server}.json"))["steps"]
        first, last = steps[0]["started_at"], steps[-1]["finished_at"]
        began, ended = (datetime.datetime.fromisoformat(time) for time in (first, last))
        return began.timestamp(), ended.timestamp()

    def answers_ssh(self) -> bool:
        """Whether a neighbour of the guest gets through to its SSH."""
        try:
            address = (f"{self.lab.external_prefix}.100", 22)
            socket.create_connection(address, timeout=2).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def by_hand(lab: Lab) -> ByHand:
    return ByHand(lab)


@pytest.fixture
def server(by_hand: ByHand) -> Iterator[ByHand]:
    """A running server, made by hand."""
    by_hand.play("server_create")
    by_hand.wait_for_boots(1)
    yield by_hand
    by_hand.play("server_delete")


def marked_unsafe(value: Any) -> Any:
    """Return `value` with each string marked in JSON's form of !unsafe, as the controller does."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, dict):
        return {key: marked_unsafe(part) for key, part in value.items()}
    if isinstance(value, list):
        return [marked_unsafe(part) for part in value]
    return value


def changed(output: str) -> int:
    counts = re.findall(r"changed=(\d+)", output)
    assert counts, output
    return sum(map(int, counts))


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


@EACH_WAY
def test_check_and_diff_show_everything_and_make_nothing(
    by_hand: ByHand, way: tuple[str, ...]
) -> None:
    before = by_hand.traces()
    shown = by_hand.play("server_create", "--check", "--diff", *way)
    assert f"disk {DIRECTORY}/disk" in shown
    assert "+format: qcow2" in shown
    assert "bridge nvb6a1f8f2e0c8" in shown
    assert f"+    <uuid>{SERVER}</uuid>".replace("    ", "  ") in shown
    assert f'+      <mac address="{MAC}" />' in shown
    assert re.search(rf"\+.*iptables.*{TAP[3:]}", shown), shown
    assert by_hand.traces() == before


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


def example_servers(*changes: dict[str, Any]) -> dict[str, Any]:
    """Return the example's arguments, its one server repeated with each of `changes`."""
    example: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    [one] = example["servers"]
    example["servers"] = [{**copy.deepcopy(one), **change} for change in changes]
    return example


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


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param(CHECKED_OFTEN, id="those that make, repair and remove"),
        pytest.param(CHECKED.keys() - CHECKED_OFTEN, id="all others", marks=pytest.mark.slow),
    ],
)
def test_no_play_changes_anything_in_check_mode(
    operations: Collection[str], by_hand: ByHand, tmp_path: Path
) -> None:
    """Of a server that runs; test_fresh_host.py has the plays on a host that has nothing."""
    example = example_servers({})
    example["servers"][0]["image"] = {"id": OTHER_SERVER, "format": "raw", "path": "{{ empty }}"}
    file, empty = tmp_path / "servers.yml", tmp_path / "empty.raw"
    file.write_text(yaml.safe_dump(example))
    empty.write_bytes(bytes(1024**2))
    given = ("-e", f"empty={empty}", "-e", "server_destination=h2")
    try:
        assert by_hand.try_play("server_create", *given, file=file).returncode == 0
        before = by_hand.everything()
        for operation in sorted(operations):
            done = by_hand.try_play(operation, "--check", "--diff", *given, file=file)
            assert done.returncode == 0, done.stdout + done.stderr
            says = CHECKED[operation]
            assert (changed(done.stdout) > 0) == bool(says), done.stdout
            assert not says or says in done.stdout
            assert by_hand.everything() == before, operation
    finally:
        by_hand.try_play("server_delete", *given, file=file)


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


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"flavour": {"vcpus": 1}}, "flavour"),
        ({"image": {"id": "x", "format": "vhdx"}}, "qcow2, raw, iso"),
        ({"flavor": {"vcpus": "many", "memory_mb": 1, "disk_gb": 1}}, "vcpus"),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name_and_what_is_allowed(
    by_hand: ByHand, tmp_path: Path, argument: dict[str, Any], said: str
) -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    example["servers"][0].update(argument)
    wrong = tmp_path / "server.yml"
    wrong.write_text(yaml.safe_dump(example))
    done = by_hand.try_play("server_create", file=wrong)
    assert done.returncode != 0
    assert said in done.stdout
    assert SERVER not in by_hand.on_host("ls", f"{STATE_PATH}/instances")


def test_a_server_is_not_made_on_two_hosts(by_hand: ByHand) -> None:
    done = by_hand.lab.playbook("server_create", "-e", f"@{EXAMPLE}")
    assert done.returncode != 0
    assert "Name it with -l HOST" in done.stdout + done.stderr


def test_tenant_text_stays_text_into_the_guests_metadata(by_hand: ByHand, tmp_path: Path) -> None:
    """Strings of an API are marked unsafe by whoever writes the arguments; nothing undoes that."""
    jinja, awkward = "{{ 7*7 }}", "\"'<&>]]>\n%{# ${HOME} #}"
    text = EXAMPLE.read_text().replace("{{ network_prefix }}", by_hand.lab.external_prefix)
    one = yaml.safe_load(text.replace("{{ image_path }}", str(by_hand.lab.image)))["servers"][0]
    one["networks"][0]["physical_network"] = "physnet1"
    one["networks"][0]["subnets"][0]["gateway_served"] = False
    one["name"] = jinja + awkward
    one["config_drive"] = True
    one["guest"]["meta"] = {jinja: jinja, "x": awkward}
    one["guest"]["public_keys"] = {jinja: f"ssh-ed25519 AAAA {jinja}"}
    user_data = base64.b64encode(f"#!/bin/sh\necho '{jinja}'\n".encode()).decode()
    arguments = tmp_path / "server.json"
    given = {"servers": [one], "server_secrets": {SERVER: {"user_data": user_data}}}
    arguments.write_text(json.dumps(marked_unsafe(given)))
    try:
        done = by_hand.try_play("server_create", file=arguments)
        assert done.returncode == 0, done.stdout
        named = re.search(
            "<novella:name>(.*?)</", by_hand.on_host("virsh", "dumpxml", SERVER), re.S
        )
        assert named
        assert html.unescape(named[1]) == jinja + awkward
        folder = f"{STATE_PATH}/networks/{NETWORK}/metadata"
        pushed = json.loads(by_hand.on_host("sh", "-c", f"cat {folder}/*.json"))
        bodies = [base64.b64decode(body).decode() for body in pushed["bodies"]]
        met = json.loads(bodies[pushed["paths"]["openstack/latest/meta_data.json"]])
        assert met["name"] == jinja + awkward
        assert met["meta"] == {jinja: jinja, "x": awkward}
        assert met["public_keys"] == {jinja: f"ssh-ed25519 AAAA {jinja}"}
        assert jinja in bodies[pushed["paths"]["openstack/latest/user_data"]]
        drive = by_hand.on_host(
            "sh", "-c", f"isoinfo -J -x /openstack/latest/user_data -i {DIRECTORY}/disk.config"
        )
        assert jinja in drive
    finally:
        by_hand.play("server_delete")


def test_a_controllers_server_is_left_alone_by_hand(server: ByHand) -> None:
    cloud = "3f0c8b1e-6f0a-4b7e-8a8e-1f7a2f1d9c55"
    record = f"{STATE_PATH}/fence/{SERVER}.json"
    kept = server.on_host("cat", record)
    claimed = json.dumps({"generation": 7, "owner": cloud})
    server.on_host("sh", "-c", f"echo '{claimed}' > {record}")
    try:
        done = server.try_play("server_stop")
        assert done.returncode != 0
        assert "server_override_owner" in done.stdout + done.stderr
        assert server.domain_state() == "running"
    finally:
        server.on_host("sh", "-c", f"echo '{kept.strip()}' > {record}")


def test_secrets_are_in_no_output_and_no_journal(by_hand: ByHand) -> None:
    canary = "c2VjcmV0LWNhbmFyeS1mb3ItdGhlLWd1ZXN0"
    plain = "secret-canary-for-the-guest"
    secrets = json.dumps({"server_secrets": {SERVER: {"user_data": canary, "admin_pass": plain}}})
    try:
        shown = by_hand.play("server_create", "--diff", "-vvv", "-e", secrets)
        # -vvv names the arguments of ansible-playbook itself, where this test put them.
        shown = shown.replace(secrets, "")
        assert canary not in shown
        assert plain not in shown
        journal = by_hand.on_host("cat", f"{STATE_PATH}/journal/{SERVER}.json")
        assert canary not in journal
        assert plain not in journal
    finally:
        by_hand.play("server_delete")


def test_enrolling_again_changes_nothing(lab: Lab) -> None:
    done = lab.playbook("host_enroll")
    assert done.returncode == 0, done.stdout
    assert changed(done.stdout) == 0


def test_check_mode_works_on_an_enrolled_host(lab: Lab) -> None:
    done = lab.playbook("host_enroll", "--check", "--diff")
    assert done.returncode == 0, done.stdout


def test_host_info_reads_what_a_host_has(lab: Lab) -> None:
    done = lab.playbook("host_info", "-v")
    assert done.returncode == 0, done.stdout
    assert re.search(r"memory_mb\D+\d+", done.stdout)
