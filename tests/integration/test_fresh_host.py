"""Every play in check mode on a host that nobody has enrolled: it says all, and makes nothing."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import hosts
from lab.naming import lab_name_of
from tests.fixtures.hand_lab import ROOT, Lab

pytestmark = pytest.mark.lab

LAB_NAME = os.environ.get("NOVELLA_TEST_LAB") or lab_name_of("f", ROOT)
HOST = "fresh1"
SERVER = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
# A play, its end, and what it must say; empty for one that has nothing to do.
SAYS = [
    ("host_info", 0, ""),
    ("host_enroll", 0, "/usr/local/lib/novella/metadata_server.py"),
    ("server_create", 2, "Enrol the host (playbooks/host_enroll.yml)"),
    ("server_delete", 0, ""),
    ("server_stop", 0, ""),
]


@pytest.fixture(scope="module")
def fresh(tiny_image: Path) -> Iterator[Lab]:
    directory = ROOT / "var" / "tests" / LAB_NAME
    hosts.down(directory, name=LAB_NAME, purge=True)
    try:
        hosts.up(directory, (HOST,), name=LAB_NAME)
        yield Lab(directory, tiny_image)
    finally:
        hosts.down(directory, name=LAB_NAME, purge=True)


def everything(lab: Lab) -> str:
    """Each file of the host with its age where plays write, and all that a kernel keeps of them."""
    folders = "/etc /opt /usr/local /var/lib/dpkg/status /var/lib/novella /run /root"
    # What sessions and daemons write by themselves.
    own = "-path /run/libvirt -o -path /root/.ansible"
    listed = f"find {folders} -xdev \\( {own} \\) -prune -o -printf '%p %s %m %T@\\n'"
    rules = "iptables-save; ip6tables-save; ebtables-nft-save; ipset save"
    kernel = "ls /sys/class/net; ip netns; virsh list --all --uuid; virsh pool-list --all"
    script = f"{{ {listed}; {kernel}; getent passwd; {rules}; }} 2>/dev/null | grep -v '^[#:]'"
    return lab.output(HOST, "sh", "-c", script)


@pytest.mark.parametrize(("play", "code", "says"), SAYS)
def test_a_play_in_check_mode_leaves_a_fresh_host_as_it_was(
    fresh: Lab, play: str, code: int, says: str
) -> None:
    before = everything(fresh)
    done = fresh.playbook(
        play, "--check", "--diff", "-l", HOST,
        *("-e", f"@{ROOT}/examples/server.yml", "-e", f"image_path={fresh.image}"),
        *("-e", f"network_prefix={fresh.external_prefix}"),
        *("-e", "controller_public_key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJlcGxhY2UgdGg='"),
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    would_change = sum(map(int, re.findall(r"changed=(\d+)", done.stdout))) > 0
    assert would_change == (bool(says) and not code), done.stdout
    assert says in " ".join(done.stdout.split())
    assert set(everything(fresh).splitlines()) ^ set(before.splitlines()) == set()
