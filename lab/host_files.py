"""The text of every file that makes a lab host: identity, sshd, libvirt and its s6 services."""

import uuid
from dataclasses import dataclass

from lab.record import LabRecord

# Folders of a host that lie on the real disk, and so outlive a power failure as a disk would.
# Everything else of a host is in memory.
PERSISTENT = (
    "etc/libvirt",
    "etc/novella",
    "etc/pki",
    "etc/ssh",
    "root/.ssh",
    "usr/local/lib/novella",
    "var/cache/libvirt",
    "var/lib/libvirt",
    "var/lib/novella",
    "var/log",
)

# Files of accounts, which outlive a power failure too: a play makes users.
ACCOUNTS = ("etc/passwd", "etc/group", "etc/gshadow")

SCAN_DIR = "/run/service"

# Debian's package makes these below /var/lib/libvirt and /var/log; qemu and libvirtd expect them.
LIBVIRT_FOLDERS = (
    "etc/libvirt/qemu/networks/autostart",
    "var/lib/libvirt/boot",
    "var/lib/libvirt/images",
    "var/lib/libvirt/qemu",
    "var/log/libvirt/qemu",
)

SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile .ssh/authorized_keys
UsePAM no
UseDNS no
PrintMotd no
SetEnv LANG=C.UTF-8
# Many plays may connect at once; MaxSessions keeps its default of 10, as on a real host.
MaxStartups 100
Subsystem sftp internal-sftp
"""

LIBVIRTD_CONF = """\
host_uuid = "{host_uuid}"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
"""

QEMU_CONF = """\
# A host made of namespaces has no security module, no cgroup tree and no udev of its own.
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "logd"
"""

SERVICES = {
    "virtlogd": "exec /usr/sbin/virtlogd >>/var/log/libvirt/virtlogd.log 2>&1",
    # Its guests are not its children: qemu makes itself a daemon, so s6 ending or restarting
    # libvirtd leaves them running.
    "libvirtd": "exec /usr/sbin/libvirtd >>/var/log/libvirt/libvirtd.log 2>&1",
    "sshd": "mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e >>/var/log/sshd.log 2>&1",
}


@dataclass(frozen=True)
class HostFile:
    """A file of a host: its text and its permissions."""

    text: str
    mode: int = 0o644


def first_boot_files(host_uuid: uuid.UUID, authorized_key: str) -> dict[str, HostFile]:
    """Return the files written to a new host's disk once: a play may change them for good."""
    return {
        "root/.ssh/authorized_keys": HostFile(f"{authorized_key}\n", 0o600),
        "etc/ssh/sshd_config": HostFile(SSHD_CONFIG),
        "etc/libvirt/libvirtd.conf": HostFile(LIBVIRTD_CONF.format(host_uuid=host_uuid)),
        "etc/libvirt/qemu.conf": HostFile(QEMU_CONF),
    }


def boot_files(record: LabRecord, host: str) -> dict[str, HostFile]:
    """Return the files written each time the host starts, by path from its root."""
    machine_id = record.names.host_uuid(host).hex
    files = {
        "etc/hostname": HostFile(f"{host}\n"),
        "etc/hosts": HostFile(etc_hosts(record)),
        "etc/machine-id": HostFile(f"{machine_id}\n", 0o444),
        "var/lib/dbus/machine-id": HostFile(f"{machine_id}\n", 0o444),
        "etc/resolv.conf": HostFile("# A lab host has no name server: /etc/hosts names the lab.\n"),
        # The machine's own hooks would run at each SSH command: one with a slow start made each
        # take a minute.
        "etc/bash.bashrc": HostFile(""),
        # sshd refuses accounts whose password is locked with "!", key or no key. "*" only means
        # that no password fits; it also keeps the machine's password hashes out of the host.
        "etc/shadow": HostFile("root:*:19000:0:99999:7:::\n", 0o600),
    }
    for name, command in SERVICES.items():
        files[f"{SCAN_DIR[1:]}/{name}/run"] = HostFile(f"#!/bin/sh\n{command}\n", 0o755)
    return files


def etc_hosts(record: LabRecord) -> str:
    """Return /etc/hosts with all hosts of the lab: a migration goes to a host by its name."""
    lines = ["127.0.0.1 localhost\n"]
    lines += [f"{record.names.mgmt_ip(host.number)} {host.name}\n" for host in record.hosts]
    return "".join(lines)
