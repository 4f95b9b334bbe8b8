"""A hard reboot by hand, after each single thing that can be broken on a host beforehand.

All of them at once, with the content of the guest's disk: test_hard_reboot.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fixtures.by_hand import (
    BRIDGE,
    DIRECTORY,
    EXAMPLE,
    IMAGE_BASE,
    NETWORK,
    SERVER,
    STATE_PATH,
    TAP,
    ByHand,
)
from tests.fixtures.hand_lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

NETWORK_FILES = f"{STATE_PATH}/networks/{NETWORK}"
EDIT = (
    f"virsh dumpxml --inactive {SERVER} | sed 's/<vcpu[^>]*>1</<vcpu>2</' > /tmp/edited.xml && "
    "virsh define /tmp/edited.xml"
)
# What is broken, and how.
BREAKS = {
    "nothing": "true",
    "the guest hangs": f"virsh suspend {SERVER}",
    "its process was killed": f"kill -9 $(cat /run/libvirt/qemu/novella-{SERVER}.pid)",
    "its definition is gone": f"virsh undefine {SERVER}",
    "the domain is gone": f"virsh destroy {SERVER} && virsh undefine {SERVER}",
    "its definition was edited": EDIT,
    "libvirt would start it by itself": f"virsh autostart {SERVER}",
    "the copy of its definition is gone": f"rm {DIRECTORY}/libvirt.xml",
    "the copy of its definition is damaged": f"echo '<domain' > {DIRECTORY}/libvirt.xml",
    "the record of its machine type is gone": f"rm {DIRECTORY}/domain.info",
    "its base image is gone": f"rm -f {IMAGE_BASE}/[0-9a-f]*",
    "its config drive is gone": f"rm -f {DIRECTORY}/disk.config",
    "its swap disk is gone": f"rm -f {DIRECTORY}/disk.swap",
    "its card is gone": f"ip link del {TAP}",
    "its card is in no bridge": f"ip link set {TAP} nomaster",
    "the bridge is gone": f"ip link del {BRIDGE}",
    "the network's namespace is gone": f"ip netns del nvn-{NETWORK}",
    "DHCP and metadata services were killed": (
        f"kill -9 $(ip netns pids nvn-{NETWORK}) 2> /dev/null; true"
    ),
    "its DHCP entry is gone": f"rm {NETWORK_FILES}/dhcp-hosts/*",
    "its metadata are gone": f"rm {NETWORK_FILES}/metadata/*.json",
    "the packet filter was flushed": "iptables -F; iptables -X",
    "the filter of frames was flushed": "ebtables-nft -F",
    "its sets are gone": "iptables -F; ipset destroy",
}


@pytest.fixture(scope="module")
def server(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Breakable"]:
    """A running server with all kinds of disks, made by hand."""
    made = Breakable(lab, tmp_path_factory.mktemp("breaks"))
    # Bases of servers that other tests had: nobody would make those again.
    made.on_host("sh", "-c", f"rm -f {IMAGE_BASE}/[0-9a-f]*")
    made.do("server_create")
    made.wait_for_boots(1)
    yield made
    made.do("server_delete")


class Breakable(ByHand):
    """An operator with a server that has a swap disk and a config drive too."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        super().__init__(lab)
        given = yaml.safe_load(EXAMPLE.read_text())
        given["servers"][0]["config_drive"] = True
        given["servers"][0]["flavor"]["swap_mb"] = 8
        self.file = folder / "server.yml"
        self.file.write_text(yaml.safe_dump(given))

    def do(self, operation: str, *more: str) -> str:
        done = self.try_play(operation, *more, file=self.file)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def looks(self) -> dict[str, str]:
        """All that a hard reboot must leave as it was, and what it must put right."""
        return {
            **self.traces(),
            # The disk itself: the file that the guest has written to, not another one.
            "disk": self.on_host("stat", "-c", "%i %W", f"{DIRECTORY}/disk"),
            "bases": self.on_host("sh", "-c", f"ls {IMAGE_BASE} | grep -v locks; :"),
            "files": self.on_host("ls", DIRECTORY),
            "definition": self.on_host("virsh", "dumpxml", "--inactive", SERVER),
            "autostart": self.on_host("sh", "-c", "ls /etc/libvirt/qemu/autostart; :"),
            "copy": self.on_host("cat", f"{DIRECTORY}/libvirt.xml", f"{DIRECTORY}/domain.info"),
            "members": self.on_host("sh", "-c", f"ls /sys/class/net/{BRIDGE}/brif | sort"),
        }


@pytest.mark.parametrize("what", BREAKS)
def test_a_hard_reboot_repairs(server: Breakable, what: str) -> None:
    before = server.looks()
    server.on_host("sh", "-c", BREAKS[what])
    server.do("server_hard_reboot")
    assert server.domain_state() == "running"
    assert server.looks() == before
    # A start finds nothing left to do.
    assert "changed=0" in server.do("server_start")


def test_what_was_repaired_boots_and_answers(server: Breakable) -> None:
    """Once, after all of the above: its neighbours reach it, by its address and its rules."""
    boots = server.console().count("NOVELLA-GUEST-READY")
    server.do("server_hard_reboot")
    server.wait_for_boots(boots + 1)
    assert server.answers_ssh()
