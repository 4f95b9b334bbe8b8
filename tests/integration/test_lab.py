"""The lab itself: hosts in namespaces that behave as hosts, and a guest that boots on one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import hosts, network
from lab.errors import LabError
from lab.guest_image import ensure_image
from lab.naming import lab_name_of
from lab.processes import pids_in_netns
from lab.record import load_existing
from lab.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
LAB_NAME = lab_name_of("l", ROOT)
READY_TIMEOUT_S = 240
GUEST_MAC = "52:54:00:00:00:11"
HOSTILE = "{{ 7*7 }} \"quoted\"\n<name>&amp;'$(id)',"
USER_DATA = "#!/bin/sh\necho '{{ 7*7 }}' > /root/ran\nsync\n"

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two hosts, the second with a disk of 64 MiB, in a lab of their own."""
    for path in Path("/sys/class/net").glob(f"nv-{LAB_NAME}-m"):
        # A run that was killed left it; only the folder that made it may take it down.
        folder = Path((path / "ifalias").read_text(encoding="utf-8").strip())
        hosts.down(folder, name=LAB_NAME, purge=True)
    folder = tmp_path_factory.mktemp("lab")
    try:
        hosts.up(folder, ["h1", "h2"], name=LAB_NAME, disk_limit_mb={"h2": 64})
        yield folder
    finally:
        hosts.down(folder, purge=True)


@pytest.fixture
def running(lab_dir: Path) -> Path:
    """The lab with both hosts on, whatever the test before did to them."""
    hosts.up(lab_dir, ["h1", "h2"])
    return lab_dir


def pid_of(lab_dir: Path, name: str) -> int | None:
    return {host.name: host.pid for host in hosts.status(lab_dir)}[name]


def test_ansible_reaches_both_hosts_with_pinned_keys(running: Path) -> None:
    ansible = Path(sys.executable).with_name("ansible")
    argv = [str(ansible), "-i", str(running / "inventory.yml"), "all", "-m", "ping", "-o"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"ping": "pong"') == 2


def test_a_host_with_another_key_is_refused(running: Path) -> None:
    record = load_existing(running)
    address = record.names.mgmt_ip(record.host("h1").number)
    pins = running / "known_hosts"
    wrong = running / "wrong_hosts"
    swapped = {f"{address} {line.split(' ', 1)[1]}" for line in pins.read_text().splitlines()[1:]}
    wrong.write_text("".join(f"{line}\n" for line in swapped))
    options = ["-o", f"UserKnownHostsFile={wrong}", "-o", "StrictHostKeyChecking=yes"]
    key = ["-i", str(running / "id_ed25519"), "-o", "BatchMode=yes"]
    done = subprocess.run(
        ["ssh", *options, *key, f"root@{address}", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_hosts_that_run_are_left_alone_by_up(running: Path) -> None:
    before = [pid_of(running, name) for name in ("h1", "h2")]
    hosts.up(running, ["h1", "h2"])
    assert [pid_of(running, name) for name in ("h1", "h2")] == before


def test_a_host_sees_nothing_of_the_machine_but_its_software(running: Path) -> None:
    assert hosts.run(running, "h1", ["test", "-e", str(running)], check=False).returncode == 1
    assert hosts.run(running, "h1", ["test", "-e", str(ROOT)], check=False).returncode == 1
    assert hosts.run(running, "h1", ["ls", "/root/.ssh"]).stdout.split() == ["authorized_keys"]
    passwords = hosts.run(running, "h1", ["cat", "/etc/shadow"]).stdout
    assert passwords == "root:*:19000:0:99999:7:::\n"


def test_no_host_gets_a_shell_on_another(running: Path) -> None:
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
    done = hosts.run(running, "h1", ["ssh", *options, "root@h2", "true"], check=False)
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr


def test_a_service_dropped_in_is_started_and_kept_up(running: Path) -> None:
    script = """
        set -e
        mkdir -p /run/service/probe
        printf '#!/bin/sh\\nexec sleep 1000000\\n' > /run/service/probe/run
        chmod +x /run/service/probe/run
        s6-svscanctl -a /run/service
    """
    hosts.run(running, "h1", ["sh", "-c", script])

    def probe_pid() -> str:
        argv = ["s6-svstat", "-o", "pid", "/run/service/probe"]
        return hosts.run(running, "h1", argv, check=False).stdout.strip()

    wait_until(lambda: int(probe_pid() or -1) > 0, what="the service runs", timeout_s=20)
    first = probe_pid()
    hosts.run(running, "h1", ["kill", "-9", first])
    wait_until(
        lambda: int(probe_pid() or -1) > 0 and probe_pid() != first,
        what="the service runs again",
        timeout_s=20,
    )


def test_a_full_disk_is_full_on_that_host_alone(running: Path) -> None:
    fill = ["dd", "if=/dev/zero", "of=/var/lib/novella/fill", "bs=1M", "count=100", "status=none"]
    done = hosts.run(running, "h2", fill, check=False)
    hosts.run(running, "h2", ["rm", "/var/lib/novella/fill"])
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    hosts.run(running, "h1", fill)
    hosts.run(running, "h1", ["rm", "/var/lib/novella/fill"])


def test_a_power_failure_keeps_disks_and_loses_what_was_in_memory(running: Path) -> None:
    for name in ("h1", "h2"):
        hosts.run(running, name, ["sh", "-c", "echo kept > /var/lib/novella/f; touch /run/gone"])
        hosts.run(running, name, ["ip", "link", "add", "brgone", "type", "bridge"])
        # What enrolment has done must be there after a boot, or the host is lost to its controller.
        hosts.run(running, name, ["sh", "-c", "echo '# kept' >> /root/.ssh/authorized_keys"])
        hosts.run(running, name, ["useradd", "--system", "kept"])
        hosts.kill(running, name)
        assert pid_of(running, name) is None
        hosts.start(running, name)
        assert hosts.run(running, name, ["cat", "/var/lib/novella/f"]).stdout == "kept\n"
        keys = hosts.run(running, name, ["cat", "/root/.ssh/authorized_keys"]).stdout
        assert keys.endswith("# kept\n")
        assert hosts.run(running, name, ["id", "-un", "kept"]).stdout == "kept\n"
        assert hosts.run(running, name, ["test", "-e", "/run/gone"], check=False).returncode == 1
        assert "brgone" not in hosts.run(running, name, ["ip", "link"]).stdout


def test_hosts_reach_each_other_by_name(running: Path) -> None:
    script = "import socket; print(socket.create_connection(('h2', 22), 5).recv(4).decode())"
    assert hosts.run(running, "h1", ["python3", "-c", script]).stdout == "SSH-\n"


def test_hosts_outlive_the_session_that_started_them(running: Path) -> None:
    hosts.kill(running, "h2")
    argv = [sys.executable, "-m", "lab", "start-host", "h2", "--lab-dir", str(running)]
    subprocess.run(
        ["setsid", "--wait", *argv],
        check=True, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert {host.state for host in hosts.status(running)} == {"up"}


@pytest.fixture(scope="module")
def guest(lab_dir: Path) -> Iterator["Guest"]:
    """A guest on h1, by hand: bridge, dnsmasq, config drive, virsh."""
    hosts.up(lab_dir, ["h1", "h2"])
    made = Guest(lab_dir)
    made.start()
    yield made
    hosts.run(lab_dir, "h1", ["virsh", "destroy", "guest"], check=False)


class Guest:
    """The tiny guest with a config drive of hostile metadata, plugged into the external network."""

    def __init__(self, lab_dir: Path) -> None:
        self.lab_dir = lab_dir
        prefix = load_existing(lab_dir).names.external_prefix
        self.address, self.gateway = f"{prefix}.50", f"{prefix}.1"
        self.network, self.host_address = f"{prefix}.0", f"{prefix}.11"
        self.console = lab_dir / "shared" / "console.log"
        public_key = (lab_dir / "id_ed25519.pub").read_text(encoding="utf-8")
        self.meta_data = json.dumps(
            {
                "uuid": "0b5e8d6c-7d5e-4f55-9d6b-0d9a3f6d1a11",
                "name": HOSTILE,
                "meta": {HOSTILE: HOSTILE, "hostname": "wrong"},
                "hostname": "guest-one.novalocal",
                "public_keys": {HOSTILE: public_key},
            }
        )

    def start(self) -> None:
        shared = self.lab_dir / "shared"
        image = ROOT / "var" / "cache" / "tiny.qcow2"
        ensure_image(image)
        subprocess.run(["cp", str(image), str(shared / "disk.qcow2")], check=True)
        drive = shared / "drive" / "openstack" / "latest"
        drive.mkdir(parents=True)
        (drive / "meta_data.json").write_text(self.meta_data, encoding="utf-8")
        (drive / "user_data").write_text(USER_DATA, encoding="utf-8")
        self.run_on_host("sh", "-ec", self._network_script())
        self.run_on_host(
            *("genisoimage", "-quiet", "-r", "-J", "-V", "config-2"),
            *("-o", "/srv/shared/drive.iso", "/srv/shared/drive"),
        )
        hosts.run(self.lab_dir, "h1", ["tee", "/tmp/guest.xml"], stdin=DOMAIN_XML)
        self.run_on_host("virsh", "define", "/tmp/guest.xml")
        self.run_on_host("virsh", "start", "guest")
        wait_until(self.is_ready, what="the guest is ready", timeout_s=READY_TIMEOUT_S)

    def is_ready(self) -> bool:
        return "NOVELLA-GUEST-READY" in self.console.read_text(errors="replace")

    def run_on_host(self, *argv: str) -> str:
        return hosts.run(self.lab_dir, "h1", argv).stdout

    def ssh(self, command: str) -> str:
        """Return what a command prints in the guest, over SSH from this machine."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        key = [
            "-i",
            str(self.lab_dir / "id_ed25519"),
            "-o",
            "BatchMode=yes",
            "-o",
            "LogLevel=ERROR",
        ]
        argv = ["ssh", *options, *key, "-o", "ConnectTimeout=20", f"root@{self.address}", command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _network_script(self) -> str:
        return f"""
            ip link add brflat type bridge
            ip link set brflat up
            ip link set eth1 master brflat
            ip addr add {self.host_address}/24 dev brflat
            dnsmasq --port=0 --interface=brflat --bind-interfaces \
                --dhcp-range={self.network},static,255.255.255.0 \
                --dhcp-host={GUEST_MAC},{self.address} --dhcp-option=option:mtu,1450 \
                --dhcp-option=121,0.0.0.0/0,{self.gateway},169.254.169.254/32,{self.host_address} \
                --dhcp-leasefile=/run/leases --pid-file=/run/dnsmasq.pid
        """


DOMAIN_XML = f"""
<domain type='qemu'>
  <name>guest</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/><tcg><tb-cache unit='MiB'>64</tb-cache></tcg></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/srv/shared/disk.qcow2'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='/srv/shared/drive.iso'/><target dev='hda' bus='ide'/><readonly/>
    </disk>
    <interface type='bridge'>
      <source bridge='brflat'/><mac address='{GUEST_MAC}'/><model type='virtio'/>
    </interface>
    <serial type='pty'><log file='/srv/shared/console.log' append='off'/></serial>
    <channel type='unix'>
      <source mode='bind'/><target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""


def test_the_guest_takes_hostname_key_and_script_from_hostile_metadata(guest: Guest) -> None:
    assert guest.ssh("hostname") == "guest-one\n"
    assert guest.ssh("cat /root/ran") == "{{ 7*7 }}\n"


def test_the_guest_keeps_what_it_was_given_byte_for_byte(guest: Guest) -> None:
    assert guest.ssh("cat /var/lib/init/meta_data.json") == guest.meta_data
    assert guest.ssh("cat /var/lib/init/user_data") == USER_DATA


def test_the_guest_follows_dhcps_routes_and_mtu(guest: Guest) -> None:
    routes = guest.ssh("ip route")
    assert f"default via {guest.gateway} dev eth0" in routes
    assert f"169.254.169.254 via {guest.host_address} dev eth0" in routes
    assert guest.ssh("cat /sys/class/net/eth0/mtu") == "1450\n"


def test_the_guest_answers_through_its_agent(guest: Guest) -> None:
    addresses = guest.run_on_host("virsh", "domifaddr", "guest", "--source", "agent")
    assert guest.address in addresses


def test_killing_libvirtd_brings_it_back_and_keeps_the_guest(guest: Guest) -> None:
    qemu = guest.run_on_host("pidof", "qemu-system-x86_64")
    libvirtd = guest.run_on_host("pidof", "libvirtd")
    guest.run_on_host("kill", "-9", libvirtd.strip())

    def is_back() -> bool:
        found = hosts.run(guest.lab_dir, "h1", ["virsh", "domstate", "guest"], check=False)
        return found.stdout.strip() == "running"

    wait_until(is_back, what="libvirtd answers again", timeout_s=60)
    assert guest.run_on_host("pidof", "libvirtd") != libvirtd
    assert guest.run_on_host("pidof", "qemu-system-x86_64") == qemu
    assert guest.ssh("hostname") == "guest-one\n"


def test_the_power_button_switches_the_guest_off(guest: Guest) -> None:
    guest.run_on_host("virsh", "shutdown", "guest", "--mode", "acpi")
    wait_until(
        lambda: guest.run_on_host("virsh", "domstate", "guest").strip() == "shut off",
        what="the guest is off",
        timeout_s=READY_TIMEOUT_S,
    )


def test_down_leaves_nothing_also_without_the_record(tmp_path: Path) -> None:
    name = f"{LAB_NAME}x"
    hosts.up(tmp_path, ["h1"], name=name)
    pid = pid_of(tmp_path, "h1")
    (tmp_path / "lab.json").unlink()
    hosts.down(tmp_path, purge=True)
    assert not Path(f"/proc/{pid}").exists()
    assert network.host_namespaces(name) == []
    assert network.owner_of(name) is None
    assert pids_in_netns(f"novella.{name}") == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text(encoding="utf-8")
    assert not tmp_path.exists()
    hosts.down(tmp_path)  # a second time: nothing to do, no error


def test_a_lab_is_not_touched_from_another_folder(running: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="it is up from"):
        hosts.down(tmp_path, name=LAB_NAME)
    assert {host.state for host in hosts.status(running)} == {"up"}
