"""The operator's way into the lab's hosts: keys, pinned host keys and an Ansible inventory.

Only the machine holds the private key; a host is given the public half, and has none of its own
with which it could reach another.
"""

import json
import shlex
from pathlib import Path

from lab.command import run_command
from lab.record import HostRecord, LabRecord


def operator_key(lab_dir: Path) -> Path:
    """Return where the operator's private key is; `.pub` beside it is its public half."""
    return lab_dir / "id_ed25519"


def known_hosts_path(lab_dir: Path) -> Path:
    """Return where the hosts' keys are pinned."""
    return lab_dir / "known_hosts"


def inventory_path(lab_dir: Path) -> Path:
    """Return where the Ansible inventory is."""
    return lab_dir / "inventory.yml"


def ensure_key(path: Path, comment: str) -> str:
    """Return the public half of the ed25519 key at `path`; make the pair when it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        run_command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    return path.with_name(f"{path.name}.pub").read_text(encoding="utf-8").strip()


def host_key(disk: Path) -> Path:
    """Return where a host's own SSH key is, given the folder of its persistent files."""
    return disk / "etc" / "ssh" / "ssh_host_ed25519_key"


def known_hosts_text(record: LabRecord, public_keys: dict[str, str]) -> str:
    """Return a known_hosts file; `public_keys` maps a host's name to its public key."""
    lines = []
    for host in record.hosts:
        kind, key = public_keys[host.name].split()[:2]
        lines.append(f"{record.names.mgmt_ip(host.number)} {kind} {key}\n")
    return "".join(lines)


def ssh_common_args(lab_dir: Path) -> str:
    """Return the ssh options that check a host's key against the lab's pins and nothing else."""
    return shlex.join(
        [
            *("-o", f"UserKnownHostsFile={known_hosts_path(lab_dir)}"),
            *("-o", "GlobalKnownHostsFile=/dev/null"),
            *("-o", "StrictHostKeyChecking=yes"),
        ]
    )


def inventory_text(record: LabRecord, lab_dir: Path) -> str:
    """Return the inventory: the lab's hosts in group compute_hosts, with how to reach them."""
    lines = [
        f"# Written by `python -m lab up --name {record.name}`; the next `up` writes it again.",
        "all:",
        "  children:",
        "    compute_hosts:",
        "      hosts:",
    ]
    for host in record.hosts:
        lines += _host_lines(record, host)
    lines += [
        "      vars:",
        "        ansible_user: root",
        f"        ansible_ssh_private_key_file: {json.dumps(str(operator_key(lab_dir)))}",
        f"        ansible_ssh_common_args: {json.dumps(ssh_common_args(lab_dir))}",
        "        ansible_python_interpreter: /usr/bin/python3",
        "        compute_service_backend: s6",
        "        compute_flat_interfaces: {physnet1: eth1}",
    ]
    return "\n".join(lines) + "\n"


def write_access_files(lab_dir: Path, record: LabRecord, public_keys: dict[str, str]) -> None:
    """Write known_hosts and the inventory of all hosts in the record."""
    known_hosts_path(lab_dir).write_text(known_hosts_text(record, public_keys), encoding="utf-8")
    inventory_path(lab_dir).write_text(inventory_text(record, lab_dir), encoding="utf-8")


def _host_lines(record: LabRecord, host: HostRecord) -> list[str]:
    return [
        f"        {host.name}:",
        f"          ansible_host: {record.names.mgmt_ip(host.number)}",
    ]
