"""Two real guests, one on each host of a lab, on the external network and on an overlay network.

By the external network this machine reaches them; between them they use the overlay.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import creates
from lab import contents, hosts
from lab.cloud import Cloud
from lab.waiting import wait_until
from plugins.module_utils import names

BOOT_TIMEOUT_S = 180
PREFIX = "10.70.0"


@dataclass(frozen=True)
class Guest:
    """A guest with its addresses: `outside` is reached from this machine, `inside` by the other."""

    server_id: str
    host: str
    outside: str
    inside: str
    key: Path

    def ssh(self, command: str) -> list[str]:
        """Return the command line that runs `command` in the guest."""
        return [
            "ssh", "-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5",
            f"root@{self.outside}", command,
        ]  # fmt: skip


class World:
    """The guests with all that they stand on. Nothing else runs in the cloud."""

    def __init__(self, cloud: Cloud, directory: Path, image: Path) -> None:
        self.cloud = cloud
        self.admin = contents.connect(cloud)
        network = self.admin.network
        self.network_id = network.create_network(name="bench").id
        # No gateway: the way out is the external network's.
        network.create_subnet(
            network_id=self.network_id, cidr=f"{PREFIX}.0/24", ip_version=4, gateway_ip=None
        )
        self.group_id = network.create_security_group(name="bench").id
        # SSH from here, and whatever the guests send each other.
        self._allow(protocol="tcp", port_range_min=22, port_range_max=22)
        self._allow(remote_group_id=self.group_id)
        key = directory / "id_ed25519"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(key)],
            check=True,
        )
        public_key = key.with_suffix(".pub").read_text().strip()
        self.admin.compute.create_keypair(name="bench", public_key=public_key)
        self._image_id = contents.upload_image(self.admin, image).id
        named = [each.name for each in hosts.status(cloud.lab_dir)]
        made = [self._boot(host, number) for number, host in enumerate(named)]
        self.guests = [self._booted(server, key) for server in made]
        creates.await_rest(cloud)

    @property
    def bridge(self) -> str:
        """The overlay network's bridge, on either host."""
        return names.bridge_name(self.network_id)

    def _allow(self, **rule: Any) -> None:
        self.admin.network.create_security_group_rule(
            security_group_id=self.group_id, direction="ingress", ethertype="IPv4", **rule
        )

    def _boot(self, host: str, number: int) -> Any:
        external = self.admin.network.find_network(contents.PUBLIC_NETWORK)
        return self.admin.compute.create_server(
            name=f"bench-{host}", image_id=self._image_id, key_name="bench",
            flavor_id=self.admin.compute.find_flavor("m1.nano").id,
            availability_zone=f"nova:{host}", security_groups=[{"name": "bench"}],
            networks=[
                {"uuid": external.id},
                {"uuid": self.network_id, "fixed_ip": f"{PREFIX}.{11 + number}"},
            ],
        )  # fmt: skip

    def _booted(self, server: Any, key: Path) -> Guest:
        server = self.admin.compute.wait_for_server(server, wait=BOOT_TIMEOUT_S)
        addresses = {name: each[0]["addr"] for name, each in server.addresses.items()}
        guest = Guest(
            server.id,
            server.hypervisor_hostname,
            addresses[contents.PUBLIC_NETWORK],
            addresses["bench"],
            key,
        )
        look = guest.ssh(f"ip -4 addr show | grep -q {guest.inside}")

        def ready() -> bool:
            return subprocess.run(look, capture_output=True, check=False).returncode == 0

        wait_until(
            ready, what=f"the guest on {guest.host} has its addresses and answers SSH",
            timeout_s=BOOT_TIMEOUT_S, interval_s=1.0,
        )  # fmt: skip
        return guest
