"""A server that was made by hand on a host of the cloud is taken over while its guest runs on."""

import json
import subprocess
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import contents
from lab.record import load_existing
from lab.waiting import wait_until
from tests.fixtures.cloud import BOOT_TIMEOUT_S, CloudForTests
from tests.fixtures.hand_lab import Lab

pytestmark = pytest.mark.lab

HOST = "h1"
STATE_PATH = "/var/lib/novella"
NO_CLOUD = "00000000-0000-0000-0000-000000000000"


class HandMade:
    """A server of playbooks/server_create.yml alone, in the cloud's network, from its image."""

    def __init__(self, cloud: CloudForTests, image: Path, folder: Path) -> None:
        self.cloud, self.id = cloud, str(uuid.uuid4())
        self.lab = Lab(cloud.cloud.lab_dir, image)
        self.address = f"{load_existing(cloud.cloud.lab_dir).names.external_prefix}.230"
        self.group = cloud.tenant.network.create_security_group(name=f"hand-{self.id[:8]}")
        for protocol, port in (("tcp", 22), ("icmp", None)):
            cloud.tenant.network.create_security_group_rule(
                security_group_id=self.group.id, direction="ingress", ethertype="IPv4",
                protocol=protocol, port_range_min=port, port_range_max=port,
            )  # fmt: skip
        self.file = folder / "server.json"
        self.file.write_text(json.dumps({"servers": [self._entry(image)]}))

    def play(self, name: str, *more: str) -> str:
        done = self.lab.playbook(name, "-l", HOST, "-e", f"@{self.file}", *more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def boot_id(self) -> str:
        """Return the guest's boot id, waiting until it answers SSH."""
        command = [
            "ssh", "-i", str(self.cloud.key), "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
            "-o", "ConnectTimeout=3", f"root@{self.address}",
            "cat /proc/sys/kernel/random/boot_id",
        ]  # fmt: skip
        printed: list[str] = []

        def answered() -> bool:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                timeout=60,
            )  # fmt: skip
            printed[:] = [done.stdout]
            return done.returncode == 0

        wait_until(answered, what=f"{self.address} answers SSH", timeout_s=BOOT_TIMEOUT_S)
        return printed[0]

    def process(self) -> str:
        """Return the process of its QEMU, with the time that it was started at."""
        script = f"ps -o pid=,lstart= -p $(pgrep -f 'guest=novella-{self.id}' | head -n 1)"
        return self.cloud.on_host(HOST, "sh", "-c", script).stdout

    def all_of_it(self) -> list[str]:
        """Return all that the host has of whose it is, the owner last, and what its guest is told.

        In C14N: libvirt writes a mark with the white space and the prefixes that it came with.
        """
        network = json.loads(self.file.read_text())["servers"][0]["networks"][0]["id"]
        metadata = f"{STATE_PATH}/networks/{network}/metadata/{self.address}.json"
        forms = [
            ["virsh", "dumpxml", "--inactive", self.id],
            ["virsh", "dumpxml", self.id],
            ["cat", f"{STATE_PATH}/instances/{self.id}/libvirt.xml"],
        ]
        texts = [self.cloud.on_host(HOST, *argv).stdout for argv in forms]
        fence = self.cloud.on_host(HOST, "cat", f"{STATE_PATH}/fence/{self.id}.json").stdout
        return [
            *(ET.canonicalize(text, strip_text=True) for text in texts),
            self.cloud.on_host(HOST, "cat", metadata).stdout,
            str(json.loads(fence)["owner"]),
        ]

    def adopt(self, *options: str) -> tuple[int, Any]:
        done = subprocess.run(
            [*self.cloud.cloud.command, "host", "adopt", HOST, "--json", *options],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def _entry(self, image_file: Path) -> dict[str, Any]:
        image = self.cloud.admin.image.find_image(contents.TINY_IMAGE, ignore_missing=False)
        network = self.cloud.admin.network.find_network(
            contents.PUBLIC_NETWORK, ignore_missing=False
        )
        (subnet,) = self.cloud.admin.network.subnets(network_id=network.id)
        (dhcp,) = self.cloud.admin.network.ports(network_id=network.id, device_owner="network:dhcp")
        rules = self.cloud.tenant.network.security_group_rules(security_group_id=self.group.id)
        return {
            "id": self.id,
            "name": "made <by> hand",
            "hostname": "by-hand",
            "project_id": "by-hand",
            "user_id": "by-hand",
            "created_at": "2026-11-22T15:00:00Z",
            "flavor": {"name": "m1.hand", "vcpus": 1, "memory_mb": 128, "disk_gb": 1},
            "image": {"id": image.id, "format": "qcow2", "path": str(image_file)},
            "guest": {
                "availability_zone": "nova",
                "public_keys": {"tests": self.cloud.key.with_suffix(".pub").read_text().strip()},
                "meta": {"role": "web"},
            },
            "networks": [
                {
                    "id": network.id,
                    "name": network.name,
                    "mtu": network.mtu,
                    "physical_network": "physnet1",
                    "subnets": [
                        {
                            "id": subnet.id,
                            "cidr": subnet.cidr,
                            "gateway_ip": subnet.gateway_ip,
                            "gateway_served": False,
                            "dhcp_ip": dhcp.fixed_ips[0]["ip_address"],
                        }
                    ],
                }
            ],
            "ports": [
                {
                    "id": str(uuid.uuid4()),
                    "network_id": network.id,
                    "mac_address": "fa:16:3e:ad:09:7e",
                    "fixed_ips": [{"subnet_id": subnet.id, "ip_address": self.address}],
                    "security_groups": [self.group.id],
                }
            ],
            "security_groups": [
                {
                    "id": self.group.id,
                    "name": "web",
                    "rules": [
                        {
                            "direction": rule.direction,
                            "ethertype": rule.ether_type,
                            "protocol": rule.protocol,
                            "port_range_min": rule.port_range_min,
                            "port_range_max": rule.port_range_max,
                        }
                        for rule in rules
                    ],
                }
            ],
        }


@pytest.fixture
def made(cloud: CloudForTests, tiny_image: Path, tmp_path: Path) -> Iterator[HandMade]:
    """A server that runs, made by hand; it is gone afterwards, whoever has it by then."""
    server = HandMade(cloud, tiny_image, tmp_path)
    try:
        server.play("server_create")
        yield server
    finally:
        cloud.tenant.compute.delete_server(server.id, ignore_missing=True)
        wait_until(
            lambda: cloud.admin.compute.find_server(server.id, all_projects=True) is None,
            what="it is no server any more", timeout_s=120,
        )  # fmt: skip
        server.play("server_delete", "-e", "server_override_owner=true")
        cloud.tenant.network.delete_security_group(server.group.id)


def test_a_server_made_by_hand_is_adopted_while_it_runs(
    cloud: CloudForTests, made: HandMade
) -> None:
    boot_id, process, before = made.boot_id(), made.process(), made.all_of_it()
    code, listed = made.adopt()
    (found,) = [each for each in listed if each["id"] == made.id]
    assert (code, found["problems"], found["state"]) == (0, [], "running")

    # By hand: given to another cloud, and back. What it was is what it is then.
    made.play("host_adopt", "-e", f"cloud_id={uuid.uuid4()}")
    assert made.all_of_it() != before
    other = made.all_of_it()[-1]
    entry = json.loads(made.file.read_text())["servers"][0]
    back = {"servers": [{**entry, "mark_cloud_id": NO_CLOUD}], "cloud_id": other}
    made.play("host_adopt", "-e", json.dumps(back))
    assert made.all_of_it() == before

    # The default group's rules are not those that it has.
    take = ("--domain", made.id, "--project", "tests", "--user", "tester")
    code, said = made.adopt(*take)
    assert (code, said["adopted"]) == (2, False), said
    assert "nv-" in said["differs"]
    assert made.all_of_it() == before
    assert cloud.admin.compute.find_server(made.id, all_projects=True) is None
    assert not list(cloud.admin.network.ports(device_id=made.id))

    code, said = made.adopt(*take, "--security-group", made.group.name)
    assert (code, said["adopted"], said["had_room"]) == (0, True, True), said
    assert (made.boot_id(), made.process()) == (boot_id, process)
    server = cloud.tenant.compute.get_server(made.id)
    assert (server.status, server.name, server.metadata) == (
        "ACTIVE", "made <by> hand", {"role": "web"},
    )  # fmt: skip
    assert cloud.address(server) == made.address
    assert _check(cloud, made.id) == []
    assert made.id not in [each["id"] for each in made.adopt()[1]]

    cloud.tenant.compute.stop_server(server)
    cloud.settle(server, "SHUTOFF")
    cloud.tenant.compute.start_server(server)
    cloud.settle(server)
    assert cloud.in_guest(server, "cat /proc/sys/kernel/random/boot_id") != boot_id
    assert _check(cloud, made.id) == []
    cloud.delete(server)
    assert made.id not in cloud.on_host(HOST, "virsh", "list", "--all", "--name").stdout


def _check(cloud: CloudForTests, server_id: str) -> list[Any]:
    """Return what `novella server check` finds of the server."""
    done = subprocess.run(
        [*cloud.cloud.command, "server", "check", server_id, "--json"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert (said["problem"], said["compared"]) == ("", 1)
    return list(said["differ"])
